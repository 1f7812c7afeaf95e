"""Rows as the text that COPY reads: fields between tabs, a row per line."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from migration.convert import text_of
from migration.plain import NotPlainError, PlainTable
from migration.rows import RefusedRow, RowConverter
from migration.source import Batch, Pace, read_batches

_NULL = "\\N"
#: What COPY would read as something else. The backslash goes first.
_ESCAPES = (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"))


@dataclass(frozen=True)
class Block:
    """Some rows for COPY."""

    text: str
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
            text, rows = _block(plain.sent(batch), plain.free), len(batch.rows)
            pace.note(batch, len(text))
        except NotPlainError:
            lines = list(_lines(batch, converter, refused))
            text, rows = "".join(lines), len(lines)
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
    return "\t".join(_NULL if text is None else _escaped(text) for text in texts) + "\n"


def _block(columns: Sequence[Sequence[str | None]], free: Sequence[bool]) -> str:
    """Many rows, from the texts of their values by column; `free` ones may hold any character."""
    fields = map(_fields, columns, free)
    return "\n".join(map("\t".join, zip(*fields, strict=True))) + "\n"


def _fields(texts: Sequence[str | None], is_free: bool) -> Sequence[str]:
    if not is_free:
        return [_NULL if text is None else text for text in texts]
    present: Sequence[str] = [text for text in texts if text is not None]
    joined = "".join(present)
    needed = [pair for pair in _ESCAPES if pair[0] in joined]
    if needed:
        return [_NULL if text is None else _escaped(text, needed) for text in texts]
    if len(present) == len(texts):
        return present
    return [_NULL if text is None else text for text in texts]


def _escaped(text: str, escapes: Iterable[tuple[str, str]] = _ESCAPES) -> str:
    for character, escape in escapes:
        text = text.replace(character, escape)
    return text
