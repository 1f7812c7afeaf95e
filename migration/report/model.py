"""The report's form. `docs/reference/report.md` and `report.schema.json` are checked against it.

Names, keys and values of the source are data: whoever shows them has to escape them.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 3
#: The first one whose digests are sums of SHA-256; before, they were of MD5.
SHA256_SINCE = 3


class _Part(BaseModel):
    # Defaults are there for reading reports that an older version wrote.
    model_config = ConfigDict(frozen=True, extra="forbid")


def _field(description: str, **more: Any) -> Any:  # noqa: ANN401 (as pydantic's own Field)
    return Field(description=description, **more)


class Phase(_Part):
    """A step of the run."""

    name: str = _field("which step")
    seconds: float = _field("how long it took")


class Source(_Part):
    """The SQLite file."""

    path: str = _field("the file that was migrated")
    size_bytes: int = _field("size of the snapshot")
    sha256: str = _field("of the snapshot, in hexadecimal")
    snapshot_path: str = _field("the snapshot, which is the backup from before the migration")
    sqlite_version: str = _field("the SQLite that read it")
    journal_mode: str = _field("of the source: `wal`, `delete`, …")


class Target(_Part):
    """The PostgreSQL database."""

    host: str = _field("address or socket folder")
    port: int = _field("port")
    database: str = _field("name of the database")
    schema_name: str = _field("schema that the tables lie in")
    server_version: str = _field("as the server calls itself")


class Column(_Part):
    """What became of a column."""

    source: str = _field("name in SQLite")
    target: str = _field("name in PostgreSQL")
    declared: str = _field("type as SQLite declares it; empty where it declares none")
    pg_type: str = _field("type in PostgreSQL, which decides the conversion")
    why: str = _field("the evidence for this type")
    policy: dict[str, str] = _field("policies that the user chose for it, by name")


class Table(_Part):
    """What became of a table, in rows, bytes, seconds and digests."""

    source: str = _field("name in SQLite")
    target: str = _field("name in PostgreSQL")
    known: bool = _field("whether `sql/` has it; else it was created")
    rows_source: int = _field("rows of the snapshot")
    rows_loaded: int = _field("rows that arrived")
    rows_quarantined: int = _field("rows that were refused")
    rows_already_there: int = _field("rows that a merge found in the target, equal")
    rows_thrown_away: int = _field("rows that were in the target before, and were replaced")
    rows_verified: int = _field("rows whose every value was found equal on both sides")
    bytes: int = _field("size in the target, without indexes")
    seconds: float = _field("duration of the load")
    digest_source: str | None = _field("64 bits over all rows of the source that arrived")
    digest_target: str | None = _field("the same of the target; equal when the contents are")
    verified: bool = _field("whether both sides are equal")
    columns: tuple[Column, ...] = _field("its columns")


class NotCarried(_Part):
    """Something of the source that does not arrive as such."""

    kind: str = _field("`view`, `trigger`, `index`, `check`, …")
    name: str = _field("its name in SQLite")
    why: str = _field("why not")
    loses_rows: bool = _field("whether rows are lost with it: pages that cannot be read")


class Cause(_Part):
    """Rows that were refused for one reason."""

    table: str = _field("table in PostgreSQL")
    column: str | None = _field("the refused column; null: the whole row")
    reason: str = _field("why, in words, without the value")
    sqlstate: str = _field("PostgreSQL's code for it")
    rows: int = _field("how many rows")


class Refused(_Part):
    """A row that was refused."""

    table: str = _field("table in PostgreSQL")
    key: dict[str, Any] = _field("its key in the source by column, or `row`: its number")
    column: str | None = _field("the refused column; null: the whole row")
    reason: str = _field("why, in words")
    sqlstate: str = _field("PostgreSQL's code for it")


class Differing(_Part):
    """A value that is not the same on both sides."""

    table: str = _field("table in PostgreSQL")
    key: str = _field("key of the row")
    column: str | None = _field("which column; null: the whole row is on one side alone")
    source: str = _field("the value in SQLite")
    target: str = _field("the value in PostgreSQL")


class Applied(_Part):
    """A policy that was applied."""

    table: str = _field("table in PostgreSQL")
    column: str | None = _field("column in PostgreSQL; null: the table")
    policy: str = _field("its name: `nul`, `epoch`, `orphans`, …; `backfill`: a lacking column")
    choice: str = _field("what was chosen")
    rows: int | None = _field("how many values it changed; null: it changes none")


class Document(_Part):
    """The report of a run."""

    schema_version: int = _field("version of this form")
    verdict: Literal["verified", "quarantined", "salvaged", "failed"] = _field(
        "`verified`: every value is equal; `quarantined`: all but the rows in quarantine; "
        "`salvaged`: all that could be read of a damaged source; `failed`"
    )
    command: str = _field("the command line; no secret is ever part of it")
    engine: str = _field("`copy` or `pgloader`")
    started_at: str = _field("UTC, ISO 8601")
    finished_at: str = _field("UTC, ISO 8601")
    seconds: float = _field("duration of the run")
    phases: tuple[Phase, ...] = _field("steps in their order")
    source: Source = _field("the SQLite file")
    target: Target = _field("the PostgreSQL database")
    versions: dict[str, str] = _field("of the programs and libraries that took part")
    tables: tuple[Table, ...] = _field("all tables")
    not_carried: tuple[NotCarried, ...] = _field("what does not arrive as such")
    quarantine_causes: tuple[Cause, ...] = _field("refused rows by cause, the most frequent first")
    quarantine: tuple[Refused, ...] = _field("the first 200 refused rows")
    quarantine_file: str | None = _field(
        "file beside the report that holds all refused rows in full; null: there are none"
    )
    differences: tuple[Differing, ...] = _field(
        "what differs; empty unless the verdict is `failed`"
    )
    policies: tuple[Applied, ...] = _field("policies that were applied")


#: The parts, in the order of the reference.
PARTS: tuple[type[BaseModel], ...] = (
    Document, Source, Target, Phase, Table, Column, NotCarried, Cause, Refused, Differing, Applied,
)  # fmt: skip
