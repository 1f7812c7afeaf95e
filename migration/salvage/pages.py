"""A SQLite file's pages and what is on them, read without SQLite, which stops at any damage.

The format is https://www.sqlite.org/fileformat2.html; the names here are its own. A cell is
sound when it lies within its page, its record's lengths add up, and its overflow pages are there.
"""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Self

TABLE_LEAF, TABLE_INTERIOR = 0x0D, 0x05
INDEX_LEAF, INDEX_INTERIOR = 0x0A, 0x02
_LEAVES = (TABLE_LEAF, INDEX_LEAF)
_FILE_HEADER = 100
_FIXED_LENGTHS = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)
_LARGEST_VARINT = 9
#: A record of 2000 columns has a header of at most this many bytes.
_LONGEST_HEADER = 20_000


class DamageError(Exception):
    """A page or a cell is not what it should be."""


@dataclass(frozen=True)
class Cell:
    """A cell of a b-tree page. `body` is the cell without its left child's number."""

    offset: int
    body: bytes
    #: Of table pages: the rowid, or in interior pages the largest one to the left.
    key: int | None = None
    child: int | None = None
    columns: int = 0


@dataclass
class Page:
    """A b-tree page: its cells, and where one is damaged."""

    number: int
    kind: int
    #: In the order of their keys; None stands for a damaged one.
    slots: list[Cell | None] = field(default_factory=list)
    right_child: int = 0

    @property
    def cells(self) -> list[Cell]:
        """The sound cells."""
        return [cell for cell in self.slots if cell is not None]

    @property
    def damaged(self) -> bool:
        """Whether a cell is damaged."""
        return None in self.slots

    @property
    def leaf(self) -> bool:
        """Whether it has no children."""
        return self.kind in _LEAVES


class PageFile:
    """The pages of a file by their numbers, which start at 1.

    Raises:
        DamageError: the file's header makes no sense.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        header = os.pread(file.fileno(), _FILE_HEADER, 0)
        size = int.from_bytes(header[16:18], "big")
        self.page_size = 65536 if size == 1 else size
        if self.page_size < 512 or self.page_size & (self.page_size - 1):
            raise DamageError(f"a page size of {self.page_size} bytes")
        self.usable = self.page_size - header[20]
        if self.usable < 480:
            raise DamageError(f"{header[20]} reserved bytes on a page")
        # A page that is cut off has its header without its rows.
        self.count = os.fstat(file.fileno()).st_size // self.page_size
        declared = int.from_bytes(header[28:32], "big")
        #: Pages that the header promises and the file does not have.
        self.missing = max(declared - self.count, 0) if header[24:28] == header[92:96] else 0
        self._first_free = int.from_bytes(header[32:36], "big")
        #: Pages that have their place: in a tree, in an overflow chain, or free.
        self.taken = bytearray(self.count + 1)

    @classmethod
    def open(cls, path: Path) -> Self:
        """For reading and writing; the file is to be closed with `close`."""
        return cls(path.open("r+b"))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, number: int) -> bytes:
        """The bytes of a page."""
        if not 1 <= number <= self.count:
            raise DamageError(f"page {number} is not in the file")
        return os.pread(self._file.fileno(), self.page_size, (number - 1) * self.page_size)

    def write(self, number: int, data: bytes) -> None:
        """Replace a page; page 1 keeps the file's header."""
        skipped = _FILE_HEADER if number == 1 else 0
        position = (number - 1) * self.page_size + skipped
        os.pwrite(
            self._file.fileno(), data[skipped:].ljust(self.page_size - skipped, b"\0"), position
        )

    def append(self, data: bytes) -> int:
        """Add a page; its number."""
        self.count += 1
        self.taken.append(1)
        self.write(self.count, data)
        return self.count

    def finish(self) -> None:
        """Make the header agree with the file: rollback journal, its length, no free pages.

        Pages that are missing at the end become empty ones, since the schema may point there.
        """
        descriptor = self._file.fileno()
        os.ftruncate(descriptor, self.count * self.page_size)
        self.taken.extend(bytes(self.missing))
        self.count, self.missing = self.count + self.missing, 0
        os.ftruncate(descriptor, self.count * self.page_size)
        counter = os.pread(descriptor, 4, 24)
        os.pwrite(descriptor, b"\1\1", 18)
        os.pwrite(descriptor, self.count.to_bytes(4, "big") + bytes(8), 28)
        os.pwrite(descriptor, counter, 92)

    def take(self, number: int) -> None:
        """Give a page its place; no page has two."""
        if not self._is_untaken(number):
            raise DamageError(f"page {number} belongs elsewhere")
        self.taken[number] = 1

    def take_free_pages(self) -> None:
        """Take the free pages: what is on them was deleted.

        Raises:
            DamageError: their list is damaged.
        """
        trunk = self._first_free
        while trunk:
            self.take(trunk)
            data = self.read(trunk)
            trunk, entries = (int.from_bytes(data[at : at + 4], "big") for at in (0, 4))
            if entries > self.usable // 4 - 2:
                raise DamageError("the list of free pages is damaged")
            for at in range(8, 8 + 4 * entries, 4):
                self.take(int.from_bytes(data[at : at + 4], "big"))

    def page(self, number: int, kinds: tuple[int, ...], *, again: bool = False) -> Page:
        """Read a b-tree page that is of one of these kinds.

        Args:
            number: which page.
            kinds: what it may be.
            again: it was read before, so its overflow pages are its own.

        Raises:
            DamageError: it is none.
        """
        data = self.read(number)
        start = _FILE_HEADER if number == 1 else 0
        page = Page(number, data[start])
        if page.kind not in kinds:
            raise DamageError(f"page {number} is no page of this table")
        pointers = start + (8 if page.leaf else 12)
        count = int.from_bytes(data[start + 3 : start + 5], "big")
        if pointers + 2 * count > self.usable:
            raise DamageError(f"page {number} has too many cells")
        if not page.leaf:
            page.right_child = int.from_bytes(data[start + 8 : start + 12], "big")
        for at in range(pointers, pointers + 2 * count, 2):
            offset = int.from_bytes(data[at : at + 2], "big")
            cell = None
            if offset >= pointers + 2 * count:
                with suppress(DamageError, IndexError):
                    cell = self._cell(data, page.kind, offset, again=again)
            page.slots.append(cell)
        return page

    def _cell(self, data: bytes, kind: int, offset: int, *, again: bool) -> Cell:
        data = data[: self.usable]
        child, at = None, offset
        if kind not in _LEAVES:
            child, at = int.from_bytes(data[at : at + 4], "big"), at + 4
        start = at
        if kind == TABLE_INTERIOR:
            key, at = varint(data, at)
            return Cell(offset, data[start:at], key, child)
        length, at = varint(data, at)
        rowid = None
        if kind == TABLE_LEAF:
            rowid, at = varint(data, at)
        local = self._local(length, kind)
        end = at + local + (0 if local == length else 4)
        if length < 0 or end > self.usable:
            raise DamageError("a cell that leaves its page")
        payload = data[at : at + local]
        if again:
            return Cell(offset, data[start:end], rowid, child)
        if local < length:
            payload += self._overflow(data[end - 4 : end], length - local)
        return Cell(offset, data[start:end], rowid, child, _columns(payload, length))

    def _local(self, length: int, kind: int) -> int:
        """How many bytes of a payload are on the page itself."""
        largest = self.usable - 35 if kind == TABLE_LEAF else (self.usable - 12) * 64 // 255 - 23
        if length <= largest:
            return length
        smallest = (self.usable - 12) * 32 // 255 - 23
        local = smallest + (length - smallest) % (self.usable - 4)
        return local if local <= largest else smallest

    def _overflow(self, pointer: bytes, length: int) -> bytes:
        """The overflow pages' first bytes, as many as a record's header can need."""
        found, taken = b"", []
        for _ in range(-(-length // (self.usable - 4))):
            number = int.from_bytes(pointer, "big")
            if not self._is_untaken(number):
                pointer = b"lost"
                break
            self.taken[number] = 1
            taken.append(number)
            data = self.read(number)
            pointer = data[:4]
            if len(found) < _LONGEST_HEADER:
                found += data[4 : self.usable]
        if any(pointer):
            for number in taken:
                self.taken[number] = 0
            raise DamageError("an overflow chain that breaks off, or goes on")
        return found

    def _is_untaken(self, number: int) -> bool:
        return 1 <= number <= self.count and not self.taken[number]


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of one to nine bytes, signed, and where it ends."""
    value = 0
    for _ in range(1, _LARGEST_VARINT):
        byte = data[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at
    value = value << 8 | data[at]
    return (value - 2**64 if value >= 2**63 else value), at + 1


def write_varint(value: int) -> bytes:
    """The shortest form of a signed number."""
    value %= 2**64
    if value >= 2**56:
        high, groups = value >> 8, [value & 0xFF]
        for _ in range(_LARGEST_VARINT - 1):
            groups.append(high & 0x7F | 0x80)
            high >>= 7
        return bytes(reversed(groups))
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F | 0x80)
    return bytes(reversed(groups))


def _columns(payload: bytes, length: int) -> int:
    """How many values a record has. Their lengths must add up to the payload's."""
    size, at = varint(payload, 0)
    if not at <= size <= min(length, len(payload)):
        raise DamageError("a record whose header is too long")
    total, count = size, 0
    while at < size:
        kind, at = varint(payload, at)
        if kind < 0 or kind in (10, 11):
            raise DamageError("a value of no kind")
        total += _FIXED_LENGTHS[kind] if kind < len(_FIXED_LENGTHS) else (kind - 12) // 2
        count += 1
    if at != size or total != length:
        raise DamageError("a record whose lengths do not add up")
    return count
