"""The rendering: the snapshot's rows once more, every value as the text that PostgreSQL reads.

pgloader decides by declared types and changes values on the way; in a file where everything is
text there is nothing to decide. Row lengths are bounded too, since its memory is bounded by
rows, not by bytes: where a row is long, its long values are cut into pieces that travel in a
table of their own and are joined in PostgreSQL.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from database.errors import UsageError
from migration.convert import text_of
from migration.load.engine import Progress
from migration.plain import NotPlainError, PlainTable
from migration.plan import Plan, TablePlan
from migration.rows import RefusedRow, RowConverter
from migration.source import Batch, Pace, Row, read_batches

#: A row of staging has to fit a page of 8 kB, where a text takes 25 bytes at most: longer ones
#: can be moved out of the row. Wider tables do not travel by way of staging.
MOST_STAGED_COLUMNS = 300
#: Characters: rows up to this length travel whole.
_LONG_ROW = 64_000
#: Characters: in longer rows, values above this length are cut into pieces ...
_LONG_VALUE = 1_000
#: ... of this length.
_PIECE = 64_000
#: PostgreSQL's limit for one value is 1 GB less a byte.
_LONGEST_VALUE = 2**30 - 1


@dataclass
class RenderedTable:
    """A table of the rendering: `n` (position in the source), `c0`, `c1`, … in the plan's order."""

    name: str
    plan: TablePlan
    rows: int = 0
    #: Rows that have no text form; they are not in the rendering.
    refused: list[RefusedRow] = field(default_factory=list)
    #: Numbers of the columns that have values among the pieces.
    cut: set[int] = field(default_factory=set)


@dataclass
class Rendering:
    """What was rendered: the tables by target name, and the pieces of long values."""

    path: Path
    pieces_name: str
    tables: dict[str, RenderedTable] = field(default_factory=dict)
    pieces: int = 0
    #: Characters of the longest row.
    longest_row: int = 1

    @property
    def rows(self) -> int:
        """Rows of all tables, without the pieces."""
        return sum(table.rows for table in self.tables.values())

    def counts(self) -> dict[str, int]:
        """Rows by table name, the pieces included: what has to arrive in staging."""
        counts = {table.name: table.rows for table in self.tables.values()}
        return {**counts, self.pieces_name: self.pieces}


def render(snapshot: Path, plan: Plan, path: Path, token: str, progress: Progress) -> Rendering:
    """Write the rendering of all tables of the plan into a new SQLite file.

    Args:
        snapshot: the source, which nobody writes to.
        plan: what becomes of it.
        path: the file to write.
        token: ends the name of every table, so that no other run's tables have these names.
        progress: is told of every row.

    Raises:
        UsageError: the file cannot be written.
    """
    rendering = Rendering(path, f"pieces_{token}")
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            # The file is of no use after a crash.
            connection.execute("pragma journal_mode = off")
            connection.execute("pragma synchronous = off")
            connection.execute("begin")
            connection.execute(
                f"create table {rendering.pieces_name} (table_number integer, n integer, "
                "column_number integer, part integer, piece text)"
            )
            for number, table in enumerate(filter(is_staged, plan.loadable)):
                rendered = RenderedTable(f"t{number}_{token}", table)
                rendering.tables[table.target] = rendered
                writer = _TableWriter(connection, rendering, rendered, number)
                writer.write(snapshot, progress)
            connection.execute("commit")
    except (sqlite3.Error, OSError) as error:
        raise UsageError(
            f"Cannot write the rendering {path}: {error}.",
            "Choose a folder with enough free space with MIGRATION_DIR.",
        ) from error
    return rendering


def folder_of(work: Path) -> Path:
    """Where pgloader's files are, in the folder that a run works in."""
    return work / "pgloader"


def remove_renderings(work: Path) -> None:
    """Remove the renderings of this run, and of earlier ones that were killed."""
    for path in folder_of(work).glob("rendering-*"):
        path.unlink(missing_ok=True)


def is_staged(table: TablePlan) -> bool:
    """Whether the rows of this table travel by way of staging."""
    return len(table.columns) <= MOST_STAGED_COLUMNS


class _TableWriter:
    """Renders one table."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        rendering: Rendering,
        table: RenderedTable,
        number: int,
    ) -> None:
        self._connection = connection
        self._rendering = rendering
        self._table = table
        self._number = number
        self._convert = RowConverter(table.plan).convert

    def write(self, snapshot: Path, progress: Progress) -> None:
        """Create the table and fill it."""
        names = [f"c{number}" for number in range(len(self._table.plan.columns))]
        columns = ", ".join(f"{name} text" for name in names)
        marks = ", ".join("?" * (len(names) + 1))
        self._connection.execute(
            f"create table {self._table.name} (n integer primary key, {columns})"
        )
        insert = f"insert into {self._table.name} values ({marks})"  # noqa: S608
        plain, pace = PlainTable(self._table.plan), Pace()
        for batch in read_batches(snapshot, self._table.plan.table, pace):
            rows = self._plain_rows(plain, batch) or self._rows(batch)
            self._connection.executemany(insert, rows)
            self._table.rows += len(rows)
            pace.note(batch, batch.weight())
            progress.advance(self._table.plan, len(batch.rows))

    def _plain_rows(
        self, plain: PlainTable, batch: Batch
    ) -> list[tuple[int | str | None, ...]] | None:
        """The rendered rows of a batch; None where they have to be looked at one by one."""
        try:
            columns = plain.sent(batch)
        except NotPlainError:
            return None
        lengths = [[len(text) if text else 0 for text in column] for column in columns]
        by_row = list(map(sum, zip(*lengths, strict=True)))
        if max(by_row) > _LONG_ROW:
            return None
        self._rendering.longest_row = max(self._rendering.longest_row, *by_row)
        positions = range(batch.start, batch.start + len(batch.rows))
        return list(zip(positions, *columns, strict=True))

    def _rows(self, batch: Batch) -> list[tuple[int | str | None, ...]]:
        rows: list[tuple[int | str | None, ...]] = []
        for row in map(batch.row, range(len(batch.rows))):
            texts = self._texts(row)
            if isinstance(texts, RefusedRow):
                self._table.refused.append(texts)
            else:
                rows.append((row.position, *texts))
                length = sum(len(text) for text in texts if text)
                self._rendering.longest_row = max(self._rendering.longest_row, length)
        return rows

    def _texts(self, row: Row) -> list[str | None] | RefusedRow:
        converted = self._convert(row)
        if isinstance(converted, RefusedRow):
            return converted
        texts = [text_of(value) for value in converted]
        if sum(len(text) for text in texts if text) > _LONG_ROW:
            for column, text in zip(self._table.plan.columns, texts, strict=True):
                if text and len(text) > _LONGEST_VALUE:
                    reason = "longer than PostgreSQL's limit of 1 GB for a value"
                    return RefusedRow(self._table.plan, row, column.source, reason, "54000")
            texts = [self._cut(row, number, text) for number, text in enumerate(texts)]
        return texts

    def _cut(self, row: Row, number: int, text: str | None) -> str | None:
        """A long value goes among the pieces, and leaves an empty text in its row."""
        if text is None or len(text) <= _LONG_VALUE:
            return text
        pieces = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
        self._connection.executemany(
            f"insert into {self._rendering.pieces_name} values (?, ?, ?, ?, ?)",  # noqa: S608
            ((self._number, row.position, number, *part) for part in enumerate(pieces)),
        )
        self._rendering.pieces += len(pieces)
        self._rendering.longest_row = max(self._rendering.longest_row, len(pieces[0]))
        self._table.cut.add(number)
        return ""
