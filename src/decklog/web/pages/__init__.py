"""Pages: one module a page; each makes a value, which its template shows and its twin gives as JSON.

A page is added in three places:

1. ``pages/NAME.py``: a frozen Struct for what the page says, a function ``make(asked) -> value`` (it may block, it runs
   in a thread with a deadline), and ``PAGE = Page("/name", "name.html", make, title="Name")``;
2. ``templates/name.html``: extends ``base.html``, shows the value, which is called ``page``;
3. a line in ``routes.py``.

The twin comes by itself. Text of a log is foreign: templates escape it and spell out what cannot be seen, so never mark
it safe and never write it into a script or a style.
"""
