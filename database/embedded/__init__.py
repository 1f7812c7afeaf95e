"""PostgreSQL 17 without Docker: an own server in an own folder, for demo, tests, small hosts."""
