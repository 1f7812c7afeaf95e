"""A b-tree whose pages may be damaged: what is sound of it, and a new tree made of that.

Leaves stay where they are; damaged cells are taken out of them, and interior pages are made
anew. The root keeps its number, so the schema stays as it is.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from migration.salvage.pages import (
    INDEX_INTERIOR,
    INDEX_LEAF,
    TABLE_INTERIOR,
    TABLE_LEAF,
    DamageError,
    Page,
    PageFile,
    write_varint,
)

_FILE_HEADER = 100
_LARGEST_ROWID = 2**63 - 1
_SMALLEST_ROWID = -(2**63)


@dataclass(frozen=True)
class Leaf:
    """A leaf that is sound now; the smallest and the largest rowid of a table's leaf."""

    number: int
    first: int = 0
    last: int = 0


@dataclass(frozen=True)
class Gap:
    """Rowids that may have been lost: from `first` to `last`, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        if self.first == _SMALLEST_ROWID and self.last == _LARGEST_ROWID:
            return "all"
        if self.first == self.last:
            return str(self.first)
        if self.first == _SMALLEST_ROWID:
            return f"up to {self.last}"
        return (
            f"from {self.first}" if self.last == _LARGEST_ROWID else f"{self.first} to {self.last}"
        )


@dataclass
class Tree:
    """What is sound of a tree, in its order: leaves, and the rows that separate an index's."""

    root: int
    index: bool = False
    parts: list[Leaf | bytes] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    damaged_pages: int = 0
    #: How many values its longest record has, and as many as the table has columns.
    columns: int = 0
    declared_columns: int = 0
    #: Leaves with damaged cells, which are to be written again.
    mended: list[Page] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing is damaged."""
        return not self.damaged_pages

    @property
    def leaves(self) -> list[Leaf]:
        """Its leaves."""
        return [part for part in self.parts if isinstance(part, Leaf)]


def read_tree(file: PageFile, root: int, *, index: bool) -> Tree:
    """Walk a tree, and take its pages."""
    tree = Tree(root, index)
    _walk(file, tree, root, _SMALLEST_ROWID, _LARGEST_ROWID)
    return tree


def _walk(file: PageFile, tree: Tree, number: int, low: int, high: int) -> None:
    """Add what is under a page, where rowids from low to high belong."""
    kinds = (INDEX_LEAF, INDEX_INTERIOR) if tree.index else (TABLE_LEAF, TABLE_INTERIOR)
    try:
        file.take(number)
        page = file.page(number, kinds)
    except DamageError:
        tree.damaged_pages += 1
        tree.gaps.append(Gap(low, high))
        return
    if not tree.index:
        _order(page, low, high)
    tree.columns = max([tree.columns, *(cell.columns for cell in page.cells)])
    if page.damaged:
        tree.damaged_pages += 1
    if page.leaf:
        _add_leaf(tree, page, low, high)
        return
    start, smallest = len(tree.leaves) if page.damaged else 0, low
    for cell in page.cells:
        assert cell.child is not None
        _walk(file, tree, cell.child, low, high if cell.key is None else cell.key)
        if cell.key is None:
            tree.parts.append(cell.body)
        else:
            low = cell.key + 1
    _walk(file, tree, page.right_child, low, high)
    if page.damaged:
        # Whatever a lost cell led to is somewhere between the leaves that were found.
        _add_gaps_between(tree, tree.leaves[start:], smallest, high)


def _add_gaps_between(tree: Tree, leaves: list[Leaf], low: int, high: int) -> None:
    for leaf in [*leaves, Leaf(0, high + 1, high + 1)]:
        gap = Gap(low, leaf.first - 1)
        known = (other.first <= gap.last and gap.first <= other.last for other in tree.gaps)
        if gap.first <= gap.last and not any(known):
            tree.gaps.append(gap)
        low = leaf.last + 1


def _order(page: Page, low: int, high: int) -> None:
    """Drop cells whose rowids do not belong on the page, or not there."""
    for place, cell in enumerate(page.slots):
        if cell is None:
            continue
        assert cell.key is not None
        if low <= cell.key <= high:
            low = cell.key + 1
        else:
            page.slots[place] = None


def _add_leaf(tree: Tree, page: Page, low: int, high: int) -> None:
    if page.damaged:
        tree.mended.append(page)
        tree.gaps += [] if tree.index else _gaps(page, low, high)
    cells = page.cells
    if cells:
        tree.parts.append(Leaf(page.number, cells[0].key or 0, cells[-1].key or 0))


def _gaps(page: Page, low: int, high: int) -> Iterator[Gap]:
    """The rowids among which a leaf's damaged cells have theirs."""
    damaged = False
    for cell in page.slots:
        if cell is None:
            damaged = True
            continue
        assert cell.key is not None
        if damaged and low < cell.key:
            yield Gap(low, cell.key - 1)
        low, damaged = cell.key + 1, False
    if damaged and low <= high:
        yield Gap(low, high)


def merged(gaps: Iterable[Gap]) -> list[Gap]:
    """The same gaps in order; those that touch are one."""
    result: list[Gap] = []
    for gap in sorted(gaps, key=lambda gap: gap.first):
        if result and gap.first <= result[-1].last + 1:
            result[-1] = Gap(result[-1].first, max(result[-1].last, gap.last))
        else:
            result.append(gap)
    return result


def adopt(file: PageFile, trees: list[Tree]) -> None:
    """Give detached leaves back to the one damaged table whose gap they fit into.

    Where an interior page is lost, the leaves under it are still in the file, but nothing
    leads to them. A leaf that might belong to two tables is given to none.
    """
    for number in range(2, file.count + 1):
        if file.taken[number]:
            continue
        try:
            page = file.page(number, (TABLE_LEAF,))
        except DamageError:
            continue
        _order(page, _SMALLEST_ROWID, _LARGEST_ROWID)
        if page.damaged or not page.slots:
            continue
        leaf = Leaf(number, page.cells[0].key or 0, page.cells[-1].key or 0)
        columns = max(cell.columns for cell in page.cells)
        fitting = [
            (tree, gap)
            for tree in trees
            for gap in tree.gaps
            if gap.first <= leaf.first
            and leaf.last <= gap.last
            and columns == (tree.columns or tree.declared_columns)
        ]
        if len(fitting) == 1:
            tree, gap = fitting[0]
            file.taken[number] = 1
            tree.parts.append(leaf)
            tree.parts.sort(key=lambda part: part.first if isinstance(part, Leaf) else 0)
            place = tree.gaps.index(gap)
            tree.gaps[place : place + 1] = [
                Gap(first, last)
                for first, last in ((gap.first, leaf.first - 1), (leaf.last + 1, gap.last))
                if first <= last
            ]


def rebuild(file: PageFile, tree: Tree) -> None:
    """Write the tree anew from its sound parts."""
    leaf, interior = (INDEX_LEAF, INDEX_INTERIOR) if tree.index else (TABLE_LEAF, TABLE_INTERIOR)
    if tree.index:
        children, separators = _packed(file, _rows(file, tree))
    else:
        for page in tree.mended:
            cells = [cell.body for cell in page.cells]
            file.write(page.number, _page(file, page.number, leaf, cells))
        children = [part.number for part in tree.leaves]
        separators = [write_varint(part.last) for part in tree.leaves[:-1]]
    if not children:
        file.write(tree.root, _page(file, tree.root, leaf, []))
    elif children != [tree.root]:
        if len(children) == 1 and tree.root != 1:
            file.write(tree.root, file.read(children[0]))
            return
        while sum(map(_taken, separators)) > _room(file, tree.root):
            children, separators = _level(file, interior, children, separators)
        cells = _interior_cells(children, separators)
        file.write(tree.root, _page(file, tree.root, interior, cells, children[-1]))


def _rows(file: PageFile, tree: Tree) -> Iterator[bytes]:
    """Every sound row of an index tree."""
    mended = {page.number: page for page in tree.mended}
    for part in tree.parts:
        if isinstance(part, bytes):
            yield part
        else:
            page = mended.get(part.number) or file.page(part.number, (INDEX_LEAF,), again=True)
            yield from (cell.body for cell in page.cells)


def _packed(file: PageFile, rows: Iterable[bytes]) -> tuple[list[int], list[bytes]]:
    """New leaves for the rows of an index, and the rows between them."""
    children: list[int] = []
    separators: list[bytes] = []
    leaf: list[bytes] = []
    used = 0
    for row in rows:
        if leaf and used + _taken(row) > file.usable - 8:
            children.append(file.append(_page(file, 0, INDEX_LEAF, leaf)))
            separators.append(row)
            leaf, used = [], 0
        else:
            leaf.append(row)
            used += _taken(row)
    if separators and not leaf:
        leaf = [separators.pop()]
    if leaf:
        children.append(file.append(_page(file, 0, INDEX_LEAF, leaf)))
    return children, separators


def _level(
    file: PageFile, kind: int, children: list[int], separators: list[bytes]
) -> tuple[list[int], list[bytes]]:
    """New interior pages over the children, and what stands between those."""
    parents: list[int] = []
    raised: list[bytes] = []
    room = _room(file, 0)
    start = used = 0
    last = len(separators) - 1
    for place, separator in enumerate(separators):
        size = _taken(separator)
        # An interior page has two children at least, the last one too.
        ahead = _taken(separators[last]) if place == last - 1 else 0
        if used + size + ahead > room:
            cells = _interior_cells(children[start : place + 1], separators[start:place])
            parents.append(file.append(_page(file, 0, kind, cells, children[place])))
            raised.append(separator)
            start, used = place + 1, 0
        else:
            used += size
    cells = _interior_cells(children[start:], separators[start:])
    parents.append(file.append(_page(file, 0, kind, cells, children[-1])))
    return parents, raised


def _interior_cells(children: list[int], separators: list[bytes]) -> list[bytes]:
    pairs = zip(children, separators, strict=False)
    return [child.to_bytes(4, "big") + separator for child, separator in pairs]


def _taken(separator: bytes) -> int:
    """The bytes that a row or a key takes on an interior page, its pointer included."""
    return len(separator) + 6


def _room(file: PageFile, number: int) -> int:
    """The bytes that an interior page has for cells and their pointers."""
    return file.usable - 12 - (_FILE_HEADER if number == 1 else 0)


def _page(file: PageFile, number: int, kind: int, cells: list[bytes], right: int = 0) -> bytes:
    start = _FILE_HEADER if number == 1 else 0
    data = bytearray(file.page_size)
    content = file.usable
    pointers = b""
    for cell in cells:
        # SQLite reads no cell that is shorter than four bytes.
        padded = cell.ljust(4, b"\0")
        content -= len(padded)
        data[content : content + len(padded)] = padded
        pointers += content.to_bytes(2, "big")
    header = bytes([kind, 0, 0]) + len(cells).to_bytes(2, "big")
    header += (content % 65536).to_bytes(2, "big") + b"\0"
    if kind in (TABLE_INTERIOR, INDEX_INTERIOR):
        header += right.to_bytes(4, "big")
    data[start : start + len(header) + len(pointers)] = header + pointers
    return bytes(data)
