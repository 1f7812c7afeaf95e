"""Loaders that are a few lines of SQL: server-side COPY, and SQLite's shell piped into psql."""

import shutil
import subprocess
from pathlib import Path

from benchmarks.migration.prepare import Column, Prepared, Table
from benchmarks.migration.statements import literal, quoted
from database.apply import ADMIN, psql_environment, run_psql
from database.binaries import client_program
from database.connect import passfile
from database.errors import TargetError
from database.settings import Server

_FRACTIONS = ("double precision", "real", "numeric")


def server_copy(prepared: Prepared, target: Server, folder: Path) -> None:
    """`COPY table FROM file`, in text format: nothing travels, nothing is converted."""
    script = folder / "copy.sql"
    commands = (
        f"copy public.{quoted(table)} from {literal(str(path))};\n"
        for table, path in prepared.files.items()
    )
    script.write_text("".join(commands), encoding="utf-8")
    run_psql(target, script)


def pipe(prepared: Prepared, target: Server, folder: Path) -> None:
    """One `sqlite3 -csv`, one psql, one pipe; SQLite's shell prints the COPY commands too."""
    program = shutil.which("sqlite3")
    assert program is not None
    script = folder / "select.sql"
    script.write_text("".join(map(_dump, prepared.tables)), encoding="utf-8")
    errors = folder / "errors.log"
    with (
        passfile(target, ADMIN) as password_file,
        script.open() as commands,
        errors.open("w") as complaints,
        subprocess.Popen(
            # A file that is only read, and rows that end as PostgreSQL's do.
            [program, "-readonly", "-batch", "-bail", "-csv", "-newline", "\n", prepared.source],
            stdin=commands,
            stdout=subprocess.PIPE,
            stderr=complaints,
        ) as reader,
    ):
        writer = subprocess.run(
            [
                client_program("psql"),
                *("--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1"),
                *("--username", ADMIN),
            ],
            env=psql_environment(target, password_file),
            stdin=reader.stdout,
            stderr=complaints,
            check=False,
        )
    if writer.returncode or reader.returncode:
        raise TargetError(f"sqlite3 | psql failed: {errors.read_text(errors='replace').strip()}")


def pipe_is_missing() -> str | None:
    """Why there can be no pipe."""
    return None if shutil.which("sqlite3") else "the program sqlite3 is not installed"


def _dump(table: Table) -> str:
    """Commands for SQLite's shell that print a COPY command, the rows, and their end."""
    names = ", ".join(quoted(column.target) for column in table.columns)
    copy = f"copy public.{quoted(table.target)} ({names}) from stdin (format csv);"
    values = ", ".join(map(_value, table.columns))
    return (
        f".print {literal(copy)}\n"
        f"select {values} from {quoted(table.source)};\n"
        # The shell reads no escapes between single quotes.
        ".print '\\.'\n"
    )


def _value(column: Column) -> str:
    """The column as text that PostgreSQL reads without loss."""
    name = quoted(column.source)
    if column.pg_type == "bytea":
        return rf"'\x' || hex({name})"
    if column.pg_type in _FRACTIONS:
        # The shell prints 15 digits of a real: others than were stored.
        return f"case typeof({name}) when 'real' then printf('%!.17g', {name}) else {name} end"
    return name
