"""Carriers: takes events out of the envelopes that clouds and shippers put round them. One module a family.

Here live the recognising of an envelope by its own keys, the question whether it is the envelope of an audit stream,
and what the envelope says besides (provenance). Pure: bytes in, messages out. What never lives here: files, lines, and
what an event means.

A message counts only where the envelope says that it comes from an audit log; each module says how it tells. What a
container wrote to its output is never taken for an event, whatever it says: anybody who may start a pod could write it.
"""
