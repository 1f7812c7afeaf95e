"""The rendering: the snapshot's rows once more, every value as the text that PostgreSQL reads.

pgloader decides by declared types and changes values on the way; in a file where everything is
text there is nothing to decide. Row lengths are bounded too, since its memory is bounded by
rows, not by bytes: where a row is long, its long values are cut into pieces that travel in a
table of their own and are joined in PostgreSQL.

The rendering comes in parts, each a file of its own, so that pgloader loads one while the next one
is written, and the disk never holds more than two of them.
"""

from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from database.errors import UsageError
from migration.batches import Batch, Pace, read_batches
from migration.convert import text_of
from migration.load.engine import Progress
from migration.own_sqlite import open_new
from migration.plain import NotPlainError, PlainTable
from migration.plan import Plan, TablePlan
from migration.rows import RefusedRow, RowConverter
from migration.source import Row

#: A row of staging has to fit a page of 8 kB, where a text takes 25 bytes at most: longer ones
#: can be moved out of the row. Wider tables do not travel by way of staging.
MOST_STAGED_COLUMNS = 300
#: Characters: rows up to this length travel whole.
_LONG_ROW = 64_000
#: Characters: in longer rows, values above this length are cut into pieces ...
_LONG_VALUE = 1_000
#: ... of this length.
_PIECE = 64_000
#: Characters: the first part has so many, so that pgloader need not wait for long, ...
_FIRST_PART = 64_000_000
#: ... and each one twice as many as the one before, up to this: every start of pgloader costs half
#: a second.
_LARGEST_PART = 256_000_000
#: PostgreSQL's limit for one value is 1 GB less a byte.
_LONGEST_VALUE = 2**30 - 1


#: A position in the source, and the texts of the columns.
_Row = tuple[int | str | None, ...]


@dataclass
class RenderedTable:
    """A table of the rendering: `n` (position in the source), `c0`, `c1`, … in the plan's order."""

    name: str
    number: int
    plan: TablePlan
    #: Rows that have no text form; they are not in the rendering.
    refused: list[RefusedRow] = field(default_factory=list)
    #: Numbers of the columns that have values among the pieces.
    cut: set[int] = field(default_factory=set)


@dataclass
class Rendering:
    """What is rendered: the tables by target name, and the pieces of long values."""

    pieces_name: str
    tables: dict[str, RenderedTable]

    @property
    def names(self) -> list[str]:
        """Of all of its tables, the pieces' included."""
        return [*(table.name for table in self.tables.values()), self.pieces_name]


@dataclass
class Part:
    """One file of the rendering, with some of the rows of some tables."""

    path: Path
    #: Rows by table name, the pieces included: what has to arrive in staging.
    rows: Counter[str] = field(default_factory=Counter)
    #: Characters of all rows.
    characters: int = 0
    #: Characters of the longest row.
    longest_row: int = 1


def rendering_of(plan: Plan, token: str) -> Rendering:
    """The tables of a rendering that is still to be written.

    Args:
        plan: what becomes of the source.
        token: ends the name of every table, so that no other run's tables have these names.
    """
    staged = filter(is_staged, plan.loadable)
    tables = {
        table.target: RenderedTable(f"t{number}_{token}", number, table)
        for number, table in enumerate(staged)
    }
    return Rendering(f"pieces_{token}", tables)


def render(
    snapshot: Path, rendering: Rendering, folder: Path, progress: Progress
) -> Generator[Part, None, None]:
    """Write all rows, part by part; a part is yielded once it is whole.

    Args:
        snapshot: the source, which nobody writes to.
        rendering: its tables.
        folder: for the files.
        progress: is told of every row.

    Raises:
        UsageError: a file cannot be written.
    """
    writer = _Writer(rendering, folder)
    try:
        with closing(writer):
            for table in rendering.tables.values():
                yield from _TableRenderer(writer, table).parts(snapshot, progress)
            if last := writer.finish():
                yield last
    except (apsw.Error, OSError) as error:
        raise UsageError(
            f"Cannot write the rendering into {folder}: {error}.",
            "Choose a folder with enough free space with MIGRATION_DIR.",
        ) from error


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


class _Writer:
    """Writes parts, one after the other."""

    def __init__(self, rendering: Rendering, folder: Path) -> None:
        self.rendering = rendering
        self._folder = folder
        self._connection: apsw.Connection | None = None
        self._part = Part(folder)
        self._parts = 0
        #: Characters with which the part at hand is full.
        self._full = min(_FIRST_PART, _LARGEST_PART)

    @property
    def is_full(self) -> bool:
        """Whether the part at hand has enough."""
        return self._part.characters >= self._full

    def write(self, table: RenderedTable, rows: list[_Row], lengths: list[int]) -> None:
        """Put rows of a table into the part at hand, each with its characters."""
        if not rows:
            return
        connection = self._open()
        if table.name not in self._part.rows:
            names = ", ".join(f"c{number} text" for number in range(len(table.plan.columns)))
            connection.execute(f"create table {table.name} (n integer primary key, {names})")
        marks = ", ".join("?" * len(rows[0]))
        connection.executemany(f"insert into {table.name} values ({marks})", rows)  # noqa: S608
        self._note(table.name, lengths)

    def write_pieces(self, table: RenderedTable, n: int, column: int, text: str) -> None:
        """Put a long value among the pieces."""
        pieces = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
        self._open().executemany(
            f"insert into {self.rendering.pieces_name} values (?, ?, ?, ?, ?)",  # noqa: S608
            ((table.number, n, column, *part) for part in enumerate(pieces)),
        )
        table.cut.add(column)
        self._note(self.rendering.pieces_name, list(map(len, pieces)))

    def finish(self) -> Part | None:
        """The part at hand, whole; None where nothing is in it."""
        if self._connection is None:
            return None
        self._connection.execute("commit")
        self.close()
        return self._part

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> apsw.Connection:
        if self._connection is None:
            self._parts += 1
            if self._parts > 1:
                self._full = min(2 * self._full, _LARGEST_PART)
            name = f"rendering-{self.rendering.pieces_name}-{self._parts}.db"
            self._part = Part(self._folder / name)
            self._connection = open_new(self._part.path)
            self._connection.execute("begin")
            self._connection.execute(
                f"create table {self.rendering.pieces_name} (table_number integer, n integer, "
                "column_number integer, part integer, piece text)"
            )
        return self._connection

    def _note(self, name: str, lengths: list[int]) -> None:
        self._part.rows[name] += len(lengths)
        self._part.characters += sum(lengths)
        self._part.longest_row = max(self._part.longest_row, *lengths)


class _TableRenderer:
    """Renders one table."""

    def __init__(self, writer: _Writer, table: RenderedTable) -> None:
        self._writer = writer
        self._table = table
        self._plain = PlainTable(table.plan)
        self._convert = RowConverter(table.plan).convert

    def parts(self, snapshot: Path, progress: Progress) -> Iterator[Part]:
        """Write all rows; what is full on the way is yielded."""
        pace = Pace()
        for batch in read_batches(snapshot, self._table.plan.table, pace):
            plain = self._plain_rows(batch)
            rows, lengths = plain or self._rows(batch)
            self._writer.write(self._table, rows, lengths)
            pace.note(batch, sum(lengths) if plain else batch.weight())
            progress.advance(self._table.plan, len(batch.rows))
            if self._writer.is_full and (part := self._writer.finish()):
                yield part

    def _plain_rows(self, batch: Batch) -> tuple[list[_Row], list[int]] | None:
        """The rendered rows of a batch; None where they have to be looked at one by one."""
        try:
            columns = self._plain.sent(batch)
        except NotPlainError:
            return None
        by_column = [[len(text) if text else 0 for text in column] for column in columns]
        lengths = list(map(sum, zip(*by_column, strict=True)))
        if max(lengths) > _LONG_ROW:
            return None
        positions = range(batch.start, batch.start + len(batch.rows))
        return list(zip(positions, *columns, strict=True)), lengths

    def _rows(self, batch: Batch) -> tuple[list[_Row], list[int]]:
        rows: list[_Row] = []
        lengths: list[int] = []
        for row in map(batch.row, range(len(batch.rows))):
            texts = self._texts(row)
            if isinstance(texts, RefusedRow):
                self._table.refused.append(texts)
            else:
                rows.append((row.position, *texts))
                lengths.append(sum(len(text) for text in texts if text))
        return rows, lengths

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
        self._writer.write_pieces(self._table, row.position, number, text)
        return ""
