"""Conformance: decklog against facts that the real kube-apiserver produced.

`python -m conformance [DIR …]` (or `make conformance CASES=DIR`) finds the case tables and recorded runs that it
knows by their file names, runs the product's own code on each row and prints one line a file, ``name passed/total``.
A row may be excused only with a reason that holds for the row's content, never for its name; excused rows are listed.
"""
