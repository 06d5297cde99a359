"""Ask: answers questions from events that others recorded.

Here live what a question means (verbs as people say them, kubectl's names of resources, times as people write them),
the merging of a request's stages into one row, the six answers (who, when, in which namespace, from where, what was
the response, what happened), and how foreign text is made safe to show. What never lives here: opening files (sources),
parsing of command lines and printing (the helm).
"""
