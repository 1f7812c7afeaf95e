"""Names in SQL text."""


def quote_name(name: str) -> str:
    """An identifier as SQLite and PostgreSQL both read it."""
    return '"' + name.replace('"', '""') + '"'
