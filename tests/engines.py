"""Both engines as parameters of a test, and what they tell their progress to."""

import shutil

import pytest

from migration.load import EngineName
from migration.plan import TablePlan

needs_pgloader = pytest.mark.skipif(
    shutil.which("pgloader") is None, reason="pgloader is not installed here"
)
ENGINES = (EngineName.COPY, pytest.param(EngineName.PGLOADER, marks=needs_pgloader))


class Quiet:
    """Progress that nobody looks at, but which adds up."""

    def __init__(self) -> None:
        self.rows = 0
        self.reasons: list[str] = []

    def advance(self, table: TablePlan, rows: int) -> None:  # noqa: ARG002
        assert rows >= 0
        self.rows += rows

    def again(self, why: str) -> None:
        self.reasons.append(why)
        self.rows = 0
