"""One table into the SQLite file, and the proof that it arrived."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from psycopg import sql

from migration.digest import RowDigester, TableDigest, source_digest, target_digest
from migration.export.definition import Definition
from migration.export.redact import redact
from migration.export.tables import Column, ExportedTable
from migration.export.values import finisher, rendered
from migration.plan import ColumnPlan, TablePlan
from migration.quoting import quote_name
from migration.schema import read_schema
from migration.source import Row, Value
from migration.statements import Connection

_ROWS_AT_ONCE = 2000
_TEXTS = ("text", "character varying", "character", "json", "jsonb")

_Values = tuple[Value, ...]


@dataclass
class Written:
    """A table that is in the file."""

    table: ExportedTable
    definition: Definition
    #: The table as a source of the migration, which then compares it with the target.
    plan: TablePlan
    rows: int = 0
    #: Rows in which secrets were replaced.
    redacted: int = 0
    #: What that changed: those rows as they were taken out, as they were written put in.
    change: TableDigest = field(default_factory=TableDigest)


class Writer:
    """Writes the tables of one schema, in one snapshot of PostgreSQL, into a new file.

    Args:
        connection: inside a transaction that sees one snapshot.
        schema: which schema.
        path: the file, which nobody else sees.
        redacting: replace what looks like a secret in text.
    """

    def __init__(self, connection: Connection, schema: str, path: Path, *, redacting: bool) -> None:
        self._connection = connection
        self._schema = schema
        self._path = path
        self._redacting = redacting
        #: Whether pages were used for what is not in the file any more.
        self.has_gaps = False

    def write(self, table: ExportedTable, definition: Definition) -> Written:
        """Create the table and copy its rows.

        Raises:
            sqlite3.Error: SQLite refuses the definition or a row.
        """
        with closing(sqlite3.connect(self._path, isolation_level=None)) as file:
            # Nobody can see the file before it is finished, so a crash needs no recovery.
            file.executescript("pragma journal_mode = off; pragma synchronous = off")
            file.execute("begin")
            for text in definition.create:
                file.execute(text)
            written = Written(table, definition, self._plan(file, table, definition))
            names = ", ".join(map(quote_name, definition.columns.values()))
            places = ", ".join("?" for _ in definition.columns)
            file.executemany(
                f"insert into {quote_name(definition.name)} ({names}) values ({places})",  # noqa: S608
                self._rows(written),
            )
            for text in definition.indexes:
                file.execute(text)
            file.execute("commit")
        return written

    def remove(self, definition: Definition) -> None:
        """Take a table out of the file again."""
        self.has_gaps = True
        with closing(sqlite3.connect(self._path, isolation_level=None)) as file:
            file.executescript("pragma journal_mode = off; pragma synchronous = off")
            file.execute(f"drop table if exists {quote_name(definition.name)}")

    def is_equal(self, written: Written) -> bool:
        """Whether the file holds every row as PostgreSQL does, but for what was redacted."""
        expected = target_digest(self._connection, written.plan)
        expected.merge(written.change)
        found = source_digest(self._path, written.plan)
        return found.rows == written.rows and expected.equals(found)

    def _rows(self, written: Written) -> Iterator[_Values]:
        definition = written.definition
        by_name = {column.name: column for column in written.table.columns}
        columns = [by_name[name] for name in definition.columns]
        change = _Change(written)
        query = sql.SQL("select {} from {}").format(
            sql.SQL(", ").join(
                rendered(column.name, column.pg_type, as_text=definition.prints(column.pg_type))
                for column in columns
            ),
            sql.Identifier(self._schema, written.table.name),
        )
        finish = _finishing(
            [None if definition.prints(c.pg_type) else finisher(c.pg_type) for c in columns]
        )
        texts = [n for n, column in enumerate(columns) if self._may_hold_secrets(written, column)]
        with self._connection.cursor(name="atlas_export", binary=True) as cursor:
            cursor.itersize = _ROWS_AT_ONCE
            for found in cursor.execute(query):
                row: _Values = found if finish is None else finish(found)  # type: ignore[assignment]
                clean = _redacted(row, texts) if texts else row
                if clean is not row:
                    change.note(row, clean)
                written.rows += 1
                yield clean

    def _may_hold_secrets(self, written: Written, column: Column) -> bool:
        """Keys are no secrets: rows refer to each other by them."""
        table = written.table
        keys = {*table.primary_key, *(name for key in table.foreign_keys for name in key.columns)}
        keys |= {name for key in table.unique_keys for name in key.columns}
        keys |= {name for key in table.indexes if key.unique for name in key.columns}
        return self._redacting and column.pg_type in _TEXTS and column.name not in keys

    def _plan(
        self, file: sqlite3.Connection, table: ExportedTable, definition: Definition
    ) -> TablePlan:
        """The table of the file with the types of PostgreSQL; of its columns, those written."""
        (declared,) = [t for t in read_schema(file).tables if t.name == definition.name]
        names = {source: name for name, source in definition.columns.items()}
        types = {column.name: column.pg_type for column in table.columns}
        found = tuple(column for column in declared.columns if column.name in names)
        return TablePlan(
            table=declared.model_copy(update={"columns": found}),
            target=table.name,
            schema_name=self._schema,
            known=True,
            rows=0,
            columns=tuple(
                ColumnPlan(
                    source=column.name,
                    target=names[column.name],
                    declared=column.declared,
                    pg_type="text"
                    if definition.prints(types[names[column.name]])
                    else types[names[column.name]],
                    not_null=False,
                    why="exported",
                    added=False,
                )
                for column in found
            ),
        )


class _Change:
    """Counts in what redaction does to a table's digest."""

    def __init__(self, written: Written) -> None:
        self._written = written
        self._digester = RowDigester(written.plan)
        order = list(written.definition.columns.values())
        # The digest's order is that of the table's columns.
        self._places = [order.index(column.source) for column in written.plan.columns]

    def note(self, before: _Values, after: _Values) -> None:
        """A row was written otherwise than it is."""
        self._written.redacted += 1
        for values, times in ((before, -1), (after, 1)):
            row = Row(0, (), tuple(values[place] for place in self._places))
            digest = self._digester.digest_of(row)
            if digest is not None:
                self._written.change.add(digest, times=times)


def _finishing(
    finishers: list[Callable[[Value], Value] | None],
) -> Callable[[tuple[object, ...]], _Values] | None:
    steps = [(n, finish) for n, finish in enumerate(finishers) if finish is not None]
    if not steps:
        return None

    def finish_row(row: tuple[object, ...]) -> _Values:
        values: list[Value] = list(row)  # type: ignore[arg-type]
        for number, finish in steps:
            values[number] = finish(values[number])
        return tuple(values)

    return finish_row


def _redacted(row: _Values, texts: list[int]) -> _Values:
    values: list[Value] | None = None
    for number in texts:
        value = row[number]
        if isinstance(value, str):
            clean = redact(value)
            if clean != value:
                values = values or list(row)
                values[number] = clean
    return row if values is None else tuple(values)
