"""Receiving: a door. Audit webhooks post EventLists here, and are answered 200 when every event is on the disk.

Here live the connections and their limits, who may send, taking a body apart into its items, and what becomes of a body
that cannot be taken apart. Where items go is an argument. What never lives here: how they are stored, and what an event
means.
"""
