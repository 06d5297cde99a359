"""The hall: the words that every room shares.

Here live frozen values (Event, Attributes, Decision, Query), the two contracts that everything downstream obeys
(Sink, Backend) and pure functions over them (resolve, the wire). What never lives here: I/O, clocks, configuration,
or anything that only one room needs.
"""
