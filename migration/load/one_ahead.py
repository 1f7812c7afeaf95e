"""An iterator that works at its next item while the present one is being used."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def one_ahead(items: Generator[T, None, None]) -> Generator[T, None, None]:
    """The same items; they are made in one thread of their own, from the first to the last.

    Raises:
        Exception: what making an item raises, where that item is asked for.
    """
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="one-ahead") as pool:
        try:
            pending = pool.submit(next, items, end)
            while (item := pending.result()) is not end:
                pending = pool.submit(next, items, end)
                yield item  # type: ignore[misc]  # not the end
        finally:
            # In the thread that made them: SQLite's connections belong to it.
            pool.submit(items.close).result()
