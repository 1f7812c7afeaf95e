"""Backups of a PostgreSQL server: taken, archived, restored to any moment, and proven."""
