"""The next item is made while the present one is used, in one thread of its own."""

import threading
from collections.abc import Generator

import pytest

from migration.load.one_ahead import one_ahead


def test_all_arrive_in_order_and_each_is_begun_before_the_one_ahead_is_used_up() -> None:
    begun = [threading.Event() for _ in range(3)]

    def items() -> Generator[int, None, None]:
        for number, event in enumerate(begun):
            event.set()
            yield number

    seen = []
    for number in one_ahead(items()):
        seen.append(number)
        assert all(event.wait(60) for event in begun[: number + 2])
    assert seen == [0, 1, 2]


def test_an_error_arrives_where_its_item_would() -> None:
    def items() -> Generator[int, None, None]:
        yield 0
        raise ValueError("no more")

    made = one_ahead(items())
    assert next(made) == 0
    with pytest.raises(ValueError, match="no more"):
        next(made)


def test_who_stops_early_has_it_ended_in_its_own_thread() -> None:
    threads = []

    def items() -> Generator[int, None, None]:
        threads.append(threading.current_thread())
        try:
            while True:
                yield 0
        finally:
            threads.append(threading.current_thread())

    made = one_ahead(items())
    next(made)
    made.close()
    first, last = threads
    assert first is last is not threading.current_thread()
    assert not first.is_alive()
