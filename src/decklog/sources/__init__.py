"""Sources: reads what others wrote. A place that the user names becomes a stream of records.

Here live finding the files (a file with its rotated family, a directory, standard input), undoing gzip, cutting lines,
and naming each line's place and each thing that could not be read. A record holds the verbatim line, where it stood,
and the event in it or the reason why there is none. What never lives here: any judgement of what an event means.
"""
