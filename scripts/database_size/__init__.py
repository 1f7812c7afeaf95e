"""How large a SQLite database is, how it is used, and whether it is time to leave SQLite.

Invariant: nothing is written, and the application that uses the file is not disturbed. Files are
opened read-only, statements are bounded in time, and locks are looked at, never taken.
"""
