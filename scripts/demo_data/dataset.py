"""Rows of a `dataset_*` table: what the platform makes of a user's data frame at run time."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random

from scripts.demo_data.platform import Row
from scripts.demo_data.text import VOCABULARY

TABLE = "dataset_kyiv_orders"


def dataset_rows(rng: Random, start: datetime, span: timedelta, count: int) -> Iterator[Row]:
    """`count` rows over `span` in column order; every column but the key has NULLs."""
    moment, gap = start, span.total_seconds() / max(count, 1)
    for _ in range(count):
        moment += timedelta(seconds=rng.expovariate(1 / gap))
        values: tuple[object, ...] = (
            rng.choice(VOCABULARY["cities"]),
            rng.randint(-5, 500),
            rng.choice((0.1 + 0.2, 1e-07, 1234.5, -0.0, rng.uniform(0, 1e5))),
            moment.isoformat(" ", "microseconds"),
            rng.randint(0, 1),
            rng.choice(VOCABULARY["remarks"]),
        )
        yield (None, *(None if rng.random() < 0.06 else value for value in values))
