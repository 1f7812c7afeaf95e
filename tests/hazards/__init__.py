"""One case for each way in which a SQLite database is known to lose data on its way."""
