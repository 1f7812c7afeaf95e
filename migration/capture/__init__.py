"""Live capture in the SQLite file: triggers that log the keys of changed rows, and reading the log.

What is logged are keys, never values: whoever catches up reads the rows as they are by then. So
nothing is replayed in order, and applying the same part of the log twice does no harm.
"""
