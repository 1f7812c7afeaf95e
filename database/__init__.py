"""How every program here reaches PostgreSQL: settings, secrets, errors, sql/, own servers."""
