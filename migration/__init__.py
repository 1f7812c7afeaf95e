"""SQLite → PostgreSQL: snapshot, profile, plan, load, constraints, verify, report."""
