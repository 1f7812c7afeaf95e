"""The way back: what is changed in PostgreSQL after a cutover goes into the SQLite file.

As on the way there, keys are logged and never values: whoever applies them reads the rows as they
are by then. So nothing is replayed in order, and applying the same part of the log twice does no
harm: what was applied is deleted from the log after the SQLite file has it.
"""
