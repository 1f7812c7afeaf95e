"""What a hazard is: a source that holds it, and what must become of every row of it."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

#: A value as SQLite stores it; text that is not UTF-8 holds surrogate escapes.
Stored = int | float | str | bytes | None
Rows = list[tuple[object, ...]]


@dataclass(frozen=True)
class Refused:
    """A row that goes to quarantine: by which column and SQLSTATE, with which exact value there.

    Where no single column is at fault, `column` is None and `value` is that of `of_column`.
    """

    table: str
    column: str | None
    sqlstate: str
    value: Stored
    #: A part of the reason, in its words.
    reason: str
    of_column: str = ""


@dataclass(frozen=True)
class Stop:
    """The run must stop and change nothing: with this exit code, saying this (a pattern)."""

    exit_code: int
    says: str


@dataclass(frozen=True)
class Hazard:
    """A row of docs/reference/hazards.md, and the case that proves it."""

    name: str
    #: A script for a new database, or something that writes the file and may keep it busy.
    source: str | Callable[[Path], AbstractContextManager[None]] = ""
    #: Query → its rows, after the run.
    arrives: Mapping[str, Rows] = field(default_factory=dict)
    #: Every row that is quarantined, in any order.
    refused: tuple[Refused, ...] = ()
    #: (kind, name) of what the report must say is not carried; it may say more.
    said: tuple[tuple[str, str], ...] = ()
    stops: Stop | None = None
    #: A script for the target before the run, as the administrator.
    target: str = ""
    #: A script for the target after a run that stopped: the next one must arrive.
    cure: str = ""
    #: Options of the run that are not the default.
    options: Mapping[str, object] = field(default_factory=dict)
    #: The source goes on changing, so that a second run finds another one.
    changing: bool = False
    #: Minutes rather than seconds: only `make test-deep` runs it.
    deep: bool = False
    #: The test that proves it, `module:function`, where it needs more than one run.
    elsewhere: str = ""
