"""Traces that the platform left in its own rows: locks that it met, analytics that it asked for."""

import re
import sqlite3
from dataclasses import dataclass

from migration.quoting import quote_name
from scripts.database_size.reading import Reader, raise_if_unreadable
from scripts.database_size.tables import TableSize

_ERROR_COLUMNS = ("message", "error_message", "error_before", "error")
_QUERY_COLUMNS = ("arguments", "query", "sql", "statement")
_RECENT_ROWS = 50_000
_RECENT_QUERIES = 5_000
_ANALYTICS = re.compile(
    r"\bover\s*\(|\bwith\s+(recursive\s+)?\w+\s+as\s*(not\s+)?(materialized\s*)?\(|"
    r"\bjson_(extract|each|tree|group_array|group_object)\s*\(|->>",
    re.IGNORECASE,
)
_SELECT = re.compile(r"\bselect\b", re.IGNORECASE)


@dataclass(frozen=True)
class Evidence:
    """What was found in the newest rows. Counts are of rows."""

    locked_errors: int = 0
    locked_tables: tuple[str, ...] = ()
    analytic_queries: int = 0
    queries: int = 0
    #: Columns declared as JSON, and tables that have any.
    json_columns: int = 0


def read_evidence(reader: Reader, tables: list[TableSize]) -> Evidence:
    """Look through the newest rows of every table that holds errors or queries."""
    locked = queries = analytic = json_columns = 0
    locked_tables = []
    for table in tables:
        found = reader.columns(table.name)
        columns = {name.lower(): name for name, _ in found}
        json_columns += sum("JSON" in declared.upper() for _, declared in found)
        for name in _ERROR_COLUMNS:
            if name in columns and (count := _locked(reader, table.name, columns[name])):
                locked += count
                locked_tables.append(table.name)
        for name in _QUERY_COLUMNS:
            if name in columns:
                seen, matching = _queries(reader, table.name, columns[name])
                queries, analytic = queries + seen, analytic + matching
    return Evidence(locked, tuple(locked_tables), analytic, queries, json_columns)


def _newest(table: str, column: str, rows: int) -> str:
    return (
        f"(select {quote_name(column)} as value from {quote_name(table)} "  # noqa: S608
        f"order by _rowid_ desc limit {rows})"
    )


def _locked(reader: Reader, table: str, column: str) -> int:
    try:
        return (
            reader.number(
                f"select count(*) from {_newest(table, column, _RECENT_ROWS)} "  # noqa: S608
                "where value like '%database is locked%' or value like '%database table is locked%'"
            )
            or 0
        )
    except sqlite3.OperationalError as error:
        raise_if_unreadable(error)
        return 0


def _queries(reader: Reader, table: str, column: str) -> tuple[int, int]:
    try:
        rows = reader.rows(
            f"select substr(value, 1, 20000) from {_newest(table, column, _RECENT_QUERIES)} "  # noqa: S608
            "where value like '%select%'"
        )
    except sqlite3.OperationalError as error:
        raise_if_unreadable(error)
        return 0, 0
    texts = [value for (value,) in rows or [] if isinstance(value, str) and _SELECT.search(value)]
    return len(texts), sum(bool(_ANALYTICS.search(text)) for text in texts)
