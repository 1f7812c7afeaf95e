"""PostgreSQL → SQLite: everything in one snapshot, compared before the file gets its name."""

import os
import sqlite3
from collections.abc import Callable, Collection
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from database.errors import UsageError, VerificationError
from database.settings import Server
from migration.export.definition import definitions
from migration.export.tables import ExportedTable, exported_tables
from migration.export.write import Writer, Written
from migration.plan import PUBLIC
from migration.quoting import fold
from migration.statements import Connection
from migration.target import open_target

Say = Callable[[str], None]


@dataclass(frozen=True)
class Export:
    """What is in the file."""

    path: Path
    tables: int
    rows: int
    #: Rows in which secrets were replaced.
    redacted: int


def export_sqlite(
    server: Server, path: Path, say: Say, *, redacting: bool = False, replacing: bool = False
) -> Export:
    """Write the tables of schema public into a SQLite file.

    Args:
        server: whose tables.
        path: the file; it is there when all of it was compared, and not before.
        say: takes a line for each table.
        redacting: replace what looks like a secret in text.
        replacing: a file that is there may be replaced.

    Raises:
        UsageError: the file is there already, or cannot be written.
        TargetError: PostgreSQL is unreachable or refuses, or a migration runs.
        VerificationError: SQLite cannot hold a table as it is.
    """
    path = path.absolute()
    if path.exists() and not replacing:
        raise UsageError(f"{path} is there already.", "Name another file, or use --replace.")
    draft = path.with_name(f".{path.name}.draft")
    try:
        # Of a run that was killed.
        draft.unlink(missing_ok=True)
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise UsageError(
            f"Cannot write {draft}: {error.strerror}.", "Name a file in a folder you can write to."
        ) from error
    try:
        with open_target(server) as connection, connection.transaction():
            connection.execute("set transaction isolation level repeatable read, read only")
            writer = Writer(connection, PUBLIC, draft, redacting=redacting)
            found = _write_all(connection, writer, say)
        _finish(draft, say, vacuum=writer.has_gaps)
        draft.replace(path)
        _sync(path.parent)
    except sqlite3.OperationalError as error:
        raise UsageError(
            f"SQLite cannot write {draft}: {error}.", "Free some space, or name another file."
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return Export(
        path=path,
        tables=len(found),
        rows=sum(written.rows for written in found),
        redacted=sum(written.redacted for written in found),
    )


def _write_all(connection: Connection, writer: Writer, say: Say) -> list[Written]:
    found = []
    tables = exported_tables(connection, PUBLIC)
    names = {fold(table.name) for table in tables}
    names |= {fold(table.origin.table.name) for table in tables if table.origin is not None}
    for table in tables:
        written = _write_equal(writer, table, names)
        said = f"{table.name}: {written.rows} rows, equal"
        if written.redacted:
            said += f" but for secrets in {written.redacted} of them"
        say(f"{said} ({written.definition.origin})")
        found.append(written)
    return found


def _write_equal(writer: Writer, table: ExportedTable, names: Collection[str]) -> Written:
    """Write a table by the first of its definitions in which SQLite keeps every value."""
    refused = ""
    for definition in definitions(table, names):
        try:
            written = writer.write(table, definition)
            if writer.is_equal(written):
                return written
            refused = "it keeps some values in another form"
        except sqlite3.DatabaseError as error:
            if _is_full(error):
                raise
            # An expression, a collation or a function that only another program knows.
            refused = str(error)
        writer.remove(definition)
    raise VerificationError(
        f"SQLite cannot hold table {table.name} as it is: {refused}.",
        "Take it out of schema public, or take a backup of PostgreSQL instead.",
    )


def _is_full(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)


def _finish(draft: Path, say: Say, *, vacuum: bool) -> None:
    """Check the file as SQLite sees it, and put it on disk."""
    with closing(sqlite3.connect(draft, isolation_level=None)) as file:
        if vacuum:
            file.execute("vacuum")
        (answer,) = file.execute("pragma integrity_check").fetchone()
        if answer != "ok":
            raise VerificationError(
                f"The file is not sound: {answer}.", "Try again on another disk."
            )
        # Declarations of other programs may have keys that SQLite itself cannot check.
        with suppress(sqlite3.OperationalError):
            for child, rows, parent in file.execute(
                'select "table", count(*), parent from pragma_foreign_key_check group by 1, 3'
            ):
                say(f"{child}: {rows} rows refer to {parent} where there is no row, as before")
    _sync(draft)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
