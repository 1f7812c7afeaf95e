"""Rows as the text that COPY reads: fields between tabs, a row per line."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from migration.batches import Batch, Pace, read_batches
from migration.convert import text_of
from migration.plain import NotPlainError, PlainTable, escaped
from migration.rows import RefusedRow, RowConverter

_NULL = "\\N"
#: What COPY would read as something else. The backslash goes first.
_ESCAPES = (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"))


@dataclass(frozen=True)
class Block:
    """Some rows for COPY."""

    text: bytes
    #: Rows in the text.
    rows: int
    #: Rows of the table that were read so far, the refused ones included.
    read: int


def copy_blocks(
    snapshot: Path, converter: RowConverter, refused: list[RefusedRow]
) -> Iterator[Block]:
    """All rows of a table; those that do not convert go to `refused`."""
    plain, pace = PlainTable(converter.table), Pace()
    for batch in read_batches(snapshot, converter.table.table, pace):
        try:
            text, rows = _block(plain.sent(batch, _NULL, _ESCAPES)), len(batch.rows)
            pace.note(batch, len(text))
        except NotPlainError:
            lines = list(_lines(batch, converter, refused))
            text, rows = "".join(lines).encode(), len(lines)
            pace.note(batch, batch.weight())
        yield Block(text, rows, batch.start + len(batch.rows))


def _lines(batch: Batch, converter: RowConverter, refused: list[RefusedRow]) -> Iterator[str]:
    for row in map(batch.row, range(len(batch.rows))):
        converted = converter.convert(row)
        if isinstance(converted, RefusedRow):
            refused.append(converted)
        else:
            yield copy_line(map(text_of, converted))


def copy_line(texts: Iterable[str | None]) -> str:
    """One row, from the texts of its values."""
    fields = (_NULL if text is None else escaped(text, _ESCAPES) for text in texts)
    return "\t".join(fields) + "\n"


def _block(columns: Iterable[Sequence[str | None]]) -> bytes:
    """Many rows, from their fields by column."""
    # Row by row: one smiley would make a text of all rows four times as wide.
    rows = map(str.encode, map("\t".join, zip(*columns, strict=True)))
    return b"\n".join(rows) + b"\n"
