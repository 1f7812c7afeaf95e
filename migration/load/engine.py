"""What an engine does: load every row of the snapshot, and say which rows it could not."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from database.settings import Server
from migration.plan import Plan, TablePlan
from migration.rows import RefusedRow
from migration.statements import Connection


class EngineName(StrEnum):
    """The engines by the name of their setting."""

    COPY = "copy"
    PGLOADER = "pgloader"


@dataclass
class LoadedTable:
    """The outcome of one table.

    Invariant: source rows = `rows` + len(`refused`) + `already_there`.
    """

    table: TablePlan
    rows: int = 0
    #: Rows that the target had before, each with the same values.
    already_there: int = 0
    #: Bytes that the table takes in the target, without indexes.
    bytes: int = 0
    refused: list[RefusedRow] = field(default_factory=list)
    seconds: float = 0.0


class Progress(Protocol):
    """Where an engine says how far it is."""

    def advance(self, table: TablePlan, rows: int) -> None:
        """`rows` more rows of `table` are on their way."""

    def again(self, why: str) -> None:
        """What was said so far does not count: it begins once more."""


class Engine(Protocol):
    """A way to load. `prepare` may work outside the transaction, `load` runs inside it."""

    name: EngineName
    #: Whether `prepare` has anything to do.
    stages: bool

    def prepare(self, snapshot: Path, plan: Plan, progress: Progress) -> None:
        """Do what has to happen before the transaction that changes the target."""

    def load(
        self, connection: Connection, snapshot: Path, table: TablePlan, progress: Progress
    ) -> LoadedTable:
        """Load one table inside the caller's transaction.

        Raises:
            TargetError: rows were lost on the way (sent ≠ loaded + refused).
        """

    def clean(self) -> None:
        """Remove whatever `prepare` left behind; also after a failure."""


def make_engine(name: EngineName, server: Server, work: Path) -> Engine:
    """The engine of this name."""
    # Each engine is imported when it is chosen: pgloader's needs a program that may be absent.
    if name is EngineName.PGLOADER:
        from migration.load.pgloader import PgloaderEngine  # noqa: PLC0415

        return PgloaderEngine(server, work)
    from migration.load.copy import CopyEngine  # noqa: PLC0415

    return CopyEngine()
