"""Web: a door. Pages for people over a log or a store, each with a twin in JSON at the same address plus ``.json``.

What may live here: addresses and forms → queries, page values, templates, who may look (`guard`), how much may be asked
(`limits`), and the record of who did (`reading`). What an answer is belongs to `ask`; pages put its answers side by
side. Nothing here writes to a log or a store; the sink of what was read is given from outside.

How a page is added: `pages/__init__.py`.
"""
