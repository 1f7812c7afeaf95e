"""The names that a text may use, and what they are called and hold in PostgreSQL."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from migration.quoting import fold


class ScopeColumn(NamedTuple):
    """A source column as it is planned: `name` and `pg_type` are the target's.

    `declared` is SQLite's type text: it tells whether a number is always stored as a REAL.
    `collation` is the one that the column declares. `uniform` is False where the values are
    not all of the storage class that the type suggests (a text column with numbers in it).
    """

    name: str
    pg_type: str
    declared: str = ""
    collation: str = "BINARY"
    uniform: bool = True


PlannedColumn = ScopeColumn | tuple[str, str]


class Scope:
    """One table's columns, by their source names without regard to ASCII case."""

    def __init__(self, columns: Mapping[str, PlannedColumn]) -> None:
        self.columns = {fold(name): ScopeColumn(*column) for name, column in columns.items()}


@dataclass(frozen=True)
class RelationScope:
    """A table or a view that a view may read; `columns` by folded source name, in order."""

    schema: str
    name: str
    columns: Mapping[str, PlannedColumn]


def quote_identifier(name: str) -> str:
    """An identifier for PostgreSQL."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """A text literal for PostgreSQL, under standard_conforming_strings."""
    return "'" + text.replace("'", "''") + "'"
