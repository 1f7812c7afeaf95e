"""Rows and bytes of every table: measured where SQLite can, else estimated and called so."""

import sqlite3
from dataclasses import dataclass, replace

from migration.quoting import quote_name
from scripts.database_size.reading import Reader, raise_if_unreadable

_SAMPLED_ROWS = 300
#: Header and cell pointer of a row, and the share of a page that stays free.
_ROW_OVERHEAD_BYTES = 12
_FILL = 0.85


@dataclass(frozen=True)
class TableSize:
    """A table with its indexes. `rows` and `bytes` are None where they cannot be known."""

    name: str
    rows: int | None
    rows_exact: bool
    bytes: int | None
    bytes_exact: bool
    note: str = ""


@dataclass(frozen=True)
class Pages:
    """The file's pages, of `size` bytes each; `free` ones hold nothing."""

    size: int
    count: int
    free: int

    @property
    def used_bytes(self) -> int:
        """Bytes of the pages that hold something."""
        return self.size * (self.count - self.free)


def read_pages(reader: Reader) -> Pages:
    """The file's page counts."""
    size, count, free = (
        reader.number(f"pragma {name}") or 0
        for name in ("page_size", "page_count", "freelist_count")
    )
    return Pages(size, count, free)


def table_sizes(reader: Reader, pages: Pages) -> list[TableSize]:
    """Every table with its indexes, the largest first."""
    names = reader.rows(
        "select name, rootpage from sqlite_master where type = 'table' "
        "and substr(name, 1, 7) <> 'sqlite_' order by name"
    )
    measurable = _has_dbstat(reader)
    sizes = [
        _table(reader, str(name), virtual=not root, measurable=measurable)
        for name, root in names or []
    ]
    return sorted(_scaled(sizes, pages), key=lambda entry: (-(entry.bytes or 0), entry.name))


def _has_dbstat(reader: Reader) -> bool:
    try:
        reader.rows("select 1 from dbstat limit 1")
    except sqlite3.OperationalError:
        return False
    return True


def _table(reader: Reader, name: str, *, virtual: bool, measurable: bool) -> TableSize:
    try:
        rows, rows_exact = _count(reader, name)
        if virtual:
            return TableSize(name, rows, rows_exact, 0, bytes_exact=True, note="virtual table")
        size = _measure(reader, name) if measurable else None
        if size is not None:
            return TableSize(name, rows, rows_exact, size, bytes_exact=True)
        guess = _guess(reader, name, rows or 0)
        return TableSize(name, rows, rows_exact, guess, bytes_exact=False)
    except sqlite3.DatabaseError as error:
        raise_if_unreadable(error)
        # A virtual table whose module is not loaded, for one.
        return TableSize(
            name, None, rows_exact=False, bytes=None, bytes_exact=False, note=str(error)
        )


def _count(reader: Reader, name: str) -> tuple[int | None, bool]:
    exact = reader.number(f"select count(*) from {quote_name(name)}")  # noqa: S608
    if exact is not None:
        return exact, True
    return reader.number(f"select max(_rowid_) from {quote_name(name)}"), False  # noqa: S608


def _measure(reader: Reader, name: str) -> int | None:
    trees = reader.rows(
        "select name from sqlite_master where tbl_name = ? and rootpage > 0", (name,)
    )
    total = 0
    for (tree,) in trees or []:
        query = "select sum(pgsize) from dbstat where aggregate = true and name = ?"
        size = reader.number(query, (tree,))
        if size is None:
            return None
        total += size
    return total


def _guess(reader: Reader, name: str, rows: int) -> int:
    """Bytes from the lengths of the first and the last rows, indexes not included."""
    lengths = " + ".join(
        f"coalesce(length(cast({quote_name(column)} as blob)), 0)"
        for column, _ in reader.columns(name)
    )
    total, count = 0, 0
    for order in ("", " order by _rowid_ desc"):
        try:
            sample = reader.rows(
                f"select sum({lengths}), count(*) from "  # noqa: S608
                f"(select * from {quote_name(name)}{order} limit {_SAMPLED_ROWS})"
            )
        except sqlite3.OperationalError:
            continue
        if sample and sample[0][1]:
            total += int(sample[0][0] or 0)
            count += int(sample[0][1])
    return int(rows * (total / count + _ROW_OVERHEAD_BYTES) / _FILL) if count else 0


def _scaled(sizes: list[TableSize], pages: Pages) -> list[TableSize]:
    """Estimates brought to the sum that the file's pages give."""
    guessed = sum(entry.bytes or 0 for entry in sizes if not entry.bytes_exact)
    if not guessed:
        return sizes
    known = sum(entry.bytes or 0 for entry in sizes if entry.bytes_exact)
    factor = max(pages.used_bytes - known, 0) / guessed
    return [
        entry
        if entry.bytes_exact or entry.bytes is None
        else replace(entry, bytes=int(entry.bytes * factor))
        for entry in sizes
    ]
