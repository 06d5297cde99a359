"""The backends: carry events to where they are kept, one backend a module, none knows another.

Here live the log file with its rotation (log, and what it stands on: opening, rotate, backup_names, retention,
caretaker, stream), the wrappings that are modes (blocking), and the fan-out (union); `failures` counts and tells what
went wrong. What never lives here: which events there are (recorder), what they look like as bytes (audit.wire; an
encoder comes in as an argument), or what a failure means for a request (the door knows).
"""
