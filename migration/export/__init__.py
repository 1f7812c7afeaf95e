"""The way out: PostgreSQL's tables as a SQLite file, compared value by value."""
