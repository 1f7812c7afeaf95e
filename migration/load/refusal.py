"""Finding the rows that PostgreSQL refuses, and for each one its reason and its column.

Both engines load all rows of a table at once first, which costs nothing where every row is
taken. Only what is refused is narrowed down, by positions.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from migration.batches import read_rows
from migration.convert import Converted, text_of
from migration.plan import TablePlan
from migration.rows import RefusedRow, RowConverter, rows_at
from migration.source import Row
from migration.statements import Connection, fetch
from migration.target import identifier

#: SQLSTATE classes of a row that cannot be taken: data exceptions, constraints of domains and
#: NOT NULL, views with a check, program limits (a document nested too deeply, a row too long
#: for a page), what a trigger raises.
_REFUSALS = ("22", "23", "44", "54", "P0")
#: PostgreSQL's internal limit of 1 GB for one piece of memory has no class of its own.
_TOO_LONG = "invalid memory alloc request size"

#: What became of an attempt to load some rows: how many were taken, or why none was.
Attempt = int | psycopg.Error


@dataclass(frozen=True)
class Refusal:
    """A row that PostgreSQL refuses. `column` counts in the plan; None: the row as a whole."""

    position: int
    column: int | None
    reason: str
    sqlstate: str

    def of(self, table: TablePlan, row: Row) -> RefusedRow:
        """The row itself, refused for this."""
        column = None if self.column is None else table.columns[self.column].source
        return RefusedRow(table, row, column, self.reason, self.sqlstate)


@dataclass(frozen=True)
class ColumnType:
    """A target column's type: as casts name it, and as assignments check it."""

    cast_type: str
    checked_type: str


def is_refusal(error: psycopg.Error) -> bool:
    """Whether the error is about the rows, rather than about the server or the connection."""
    state = error.sqlstate or ""
    return state.startswith(_REFUSALS) or (state == "XX000" and _TOO_LONG in str(error))


def narrow(
    low: int,
    high: int,
    attempt: Callable[[int, int], Attempt],
    explain: Callable[[int, psycopg.Error], Refusal],
) -> tuple[int, list[Refusal]]:
    """Load what can be loaded of low ≤ n < high, by halving what is refused.

    Args:
        low: the first number.
        high: the number after the last.
        attempt: loads a part, all or nothing.
        explain: says why one row is refused.

    Returns:
        How many rows were taken, and the refusals of all others.
    """
    outcome = attempt(low, high)
    if isinstance(outcome, int):
        return outcome, []
    if high - low == 1:
        return 0, [explain(low, outcome)]
    middle = (low + high) // 2
    first, refusals = narrow(low, middle, attempt, explain)
    second, others = narrow(middle, high, attempt, explain)
    return first + second, refusals + others


def column_types(connection: Connection, table: TablePlan) -> list[ColumnType]:
    """The types of the plan's columns in the target, in the plan's order."""
    name = identifier(table).as_string(connection)
    found = {
        row["name"]: ColumnType(row["cast_type"], row["checked_type"])
        for row in fetch(connection, "column_types", table=name)
    }
    return [found[column.target] for column in table.columns]


def explain_refusal(
    table: TablePlan,
    position: int,
    error: psycopg.Error | None,
    columns: Iterable[int],
    input_error: Callable[[int], tuple[object, ...] | None],
) -> Refusal:
    """Why a row is refused, and which column is the cause, if one is.

    Args:
        table: the row's.
        position: the row's.
        error: what the attempt to load this row alone raised, if it was made.
        columns: numbers of the columns whose types may refuse a text.
        input_error: message and SQLSTATE of a column's input error (PostgreSQL's
            pg_input_error_info), or NULLs; it may raise a refusal too, as some types do.
    """
    for number in columns:
        try:
            found = input_error(number)
        except psycopg.Error as raised:
            if not is_refusal(raised):
                raise
            return Refusal(position, number, _reason(raised), raised.sqlstate or "22000")
        if found and found[0] is not None:
            return Refusal(position, number, str(found[0]), str(found[1]))
    if error is None:
        return Refusal(position, None, "PostgreSQL refuses one of its values", "22000")
    names = [column.target for column in table.columns]
    named = error.diag.column_name
    column = names.index(named) if named in names else None
    return Refusal(position, column, _reason(error), error.sqlstate or "22000")


def explain_converted(
    connection: Connection,
    table: TablePlan,
    types: Sequence[str],
    sent: tuple[Row, Sequence[Converted]],
    *,
    error: psycopg.Error | None,
    columns: Iterable[int] | None = None,
) -> Refusal:
    """Why PostgreSQL does not take a row that converts, by asking it about the values.

    Args:
        connection: inside a transaction of the target.
        table: the row's.
        types: of the plan's columns, as assignments check them.
        sent: the source's row, and its values as they are sent.
        error: what the attempt to load this row alone raised, if it was made.
        columns: numbers of the columns to ask about; all where none are named.
    """
    row, values = sent

    def input_error(number: int) -> tuple[object, ...] | None:
        with connection.transaction():
            return connection.execute(
                "select message, sql_error_code from pg_input_error_info(%s, %s)",
                [text_of(values[number]), types[number]],
            ).fetchone()

    asked = range(len(values)) if columns is None else columns
    checked = [number for number in asked if types[number] not in ("text", "bytea")]
    return explain_refusal(table, row.position, error, checked, input_error)


def _reason(error: psycopg.Error) -> str:
    primary, detail = error.diag.message_primary, error.diag.message_detail
    # The detail of a text that is too long for memory says so; of others it repeats the row.
    if primary == "out of memory" and detail:
        return detail
    return primary or str(error)


def refused_rows(snapshot: Path, table: TablePlan, refusals: Iterable[Refusal]) -> list[RefusedRow]:
    """The source rows behind the refusals."""
    by_position = {refusal.position: refusal for refusal in refusals}
    refused = []
    for row in rows_at(snapshot, table, set(by_position)) if by_position else ():
        refused.append(by_position[row.position].of(table, row))
    return refused


def refuse_all(snapshot: Path, table: TablePlan) -> list[RefusedRow]:
    """Every row of a table that PostgreSQL cannot have."""
    converted = map(RowConverter(table).convert, read_rows(snapshot, table.table))
    return [row for row in converted if isinstance(row, RefusedRow)]
