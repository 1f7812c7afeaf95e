"""The ways from SQLite to PostgreSQL that are compared, all behind one interface."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from benchmarks.migration import duckdb_copy, ours, pgloader_alone, raw
from benchmarks.migration.prepare import Prepared
from database.settings import Server


class Name(StrEnum):
    """Who takes part."""

    SERVER_COPY = "server-copy"
    COPY = "copy"
    PGLOADER = "pgloader"
    PGLOADER_ALONE = "pgloader-alone"
    PIPE = "pipe"
    DUCKDB = "duckdb"


@dataclass(frozen=True)
class Contender:
    """A way to load a source.

    Those that are ours get a database with sql/ applied, do everything and return the seconds of
    their steps. The others get bare tables, load them and return None; the
    rebuild of keys, indexes and foreign keys is the same for all of them.
    """

    name: Name
    title: str
    load: Callable[[Prepared, Server, Path], dict[str, float] | None]
    #: Why it cannot be used here, if so.
    missing: Callable[[], str | None] = lambda: None
    ours: bool = False


def _migration(engine: str) -> Callable[[Prepared, Server, Path], dict[str, float] | None]:
    def load(prepared: Prepared, target: Server, folder: Path) -> dict[str, float]:
        return ours.phases_of(ours.migrate(target, prepared.source, engine, folder))

    return load


#: In the order of the tables; the first one is the limit that the others are compared with.
CONTENDERS = (
    Contender(Name.SERVER_COPY, "server-side COPY", raw.server_copy),
    Contender(Name.COPY, "ours, copy engine", _migration("copy"), ours=True),
    Contender(
        Name.PGLOADER,
        "ours, pgloader engine",
        _migration("pgloader"),
        pgloader_alone.is_missing,
        ours=True,
    ),
    Contender(
        Name.PGLOADER_ALONE, "pgloader alone, tuned", pgloader_alone.load, pgloader_alone.is_missing
    ),
    Contender(Name.PIPE, "sqlite3 | psql", raw.pipe, raw.pipe_is_missing),
    Contender(Name.DUCKDB, "DuckDB", duckdb_copy.load, duckdb_copy.is_missing),
)
TITLES = {contender.name: contender.title for contender in CONTENDERS}
