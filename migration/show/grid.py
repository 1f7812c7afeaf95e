"""The one form of table that the verbs print."""

from collections.abc import Collection

from rich.table import Table as Grid


def make_grid(*headings: str, numbers: Collection[str] = ()) -> Grid:
    """An empty table with these headings; `numbers` are those of its columns of numbers.

    Long names are folded, never cut: they are what people copy from it.
    """
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        right = heading in numbers
        grid.add_column(heading, justify="right" if right else "left", overflow="fold")
    return grid
