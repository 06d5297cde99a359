"""Store: keeps what came, for as long as wanted. A directory becomes a place that loses nothing.

Here live the journal (verbatim lines, synced before they are acknowledged), its checksums, the memory that lets an
event that is sent again be stored once, the Parquet segments that journals become, their catalog, and the reading of it
all. One writer a journal, many journals a store; readers take no lock. What never lives here: where events come from,
what they mean to a question, and any network.
"""
