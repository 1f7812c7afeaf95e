"""By what the rows of a table are told apart, in the changelog and in the target."""

from dataclasses import dataclass

from database.errors import SourceError
from migration.quoting import quote_name
from migration.schema import Index, Table

#: SQLite's own collations: an index by any other is in an order that only its program knows.
_KNOWN_COLLATIONS = frozenset({"BINARY", "NOCASE", "RTRIM"})


@dataclass(frozen=True)
class CapturedTable:
    """A table whose changes are logged.

    `key` are columns that are also in the target, so that a row can be found there; empty where
    the table has none. Then the rowid is logged, which says nothing in the target: added rows
    can be added there, anything else means to load the table anew.
    """

    number: int
    table: Table
    key: tuple[str, ...]

    @property
    def logged(self) -> tuple[str, ...]:
        """What is logged of a row, quoted for SQLite; at least one expression."""
        if self.key:
            return tuple(map(quote_name, self.key))
        # Where columns have taken every name of the rowid, all rows are logged as one.
        return self.table.key_expressions or ("null",)

    @property
    def nameless(self) -> bool:
        """Whether the rows cannot even be told apart in the source."""
        return not self.key and not self.table.key_expressions


def captured_tables(tables: tuple[Table, ...]) -> tuple[CapturedTable, ...]:
    """The tables, numbered in their order, each with its key.

    Raises:
        SourceError: one of them cannot be followed; it says why.
    """
    problems = [f"{table.name}: {why}" for table in tables if (why := why_not(table))]
    if problems:
        raise SourceError(
            "These tables cannot be followed while they are written to: " + "; ".join(problems),
            "Leave them out with a policy (skip = true), or stop the writers and use "
            "'python -m migration run'.",
        )
    return tuple(
        CapturedTable(number, table, key_of_table(table)) for number, table in enumerate(tables)
    )


def key_of_table(table: Table) -> tuple[str, ...]:
    """The columns that a row is found by: the primary key, else a unique key without NULLs."""
    if table.rowid_alias:
        return (table.rowid_alias,)
    if table.primary_key:
        return table.primary_key
    filled = {column.name for column in table.columns if column.not_null}
    for index in unique_indexes(table):
        names = tuple(name for name in index.columns if name is not None)
        if not index.partial and len(names) == len(index.columns) and filled.issuperset(names):
            return names
    return ()


def unique_indexes(table: Table) -> tuple[Index, ...]:
    """The indexes by which REPLACE finds the rows that it deletes."""
    return tuple(index for index in table.indexes if index.unique)


def why_not(table: Table) -> str:
    """Why a table's changes cannot be captured; empty where they can."""
    if table.virtual:
        return "a virtual table has no triggers"
    for index in unique_indexes(table):
        foreign = set(map(str.upper, index.collations)) - _KNOWN_COLLATIONS
        if foreign:
            return f"its unique key is in the order of {', '.join(sorted(foreign))}, unknown here"
    return ""
