"""What the contenders need: the source, bare tables to load, and what makes them whole again.

All of it comes out of one finished migration of the same source, so that every contender loads
into the very tables, and rebuilds the very keys and indexes, that the migration ends with.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import sql

from benchmarks.migration import ours
from benchmarks.migration.statements import quoted, statement
from database.apply import ADMIN, apply_schema
from database.connect import connect
from database.embedded.account import server_account
from database.errors import TargetError
from database.settings import Server

_BARE = "bench_bare"
_FINISHED = "bench_finished"


@dataclass(frozen=True)
class Column:
    """A column on both sides."""

    source: str
    target: str
    pg_type: str


@dataclass(frozen=True)
class Table:
    """A table on both sides."""

    source: str
    target: str
    columns: tuple[Column, ...]
    #: As SQLite counts them.
    rows: int


@dataclass(frozen=True)
class Prepared:
    """A source, and all that a way from it into PostgreSQL may need."""

    source: Path
    tables: tuple[Table, ...]
    #: A database with sql/ applied, and one with bare tables: templates of the targets.
    declared: Server
    bare: Server
    #: Makes the keys, indexes and foreign keys of the bare tables again.
    rebuild: Path
    #: By table, what `COPY table FROM file` reads.
    files: Mapping[str, Path]
    #: By table, a sum over all values.
    digests: Mapping[str, int]

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables)

    @property
    def row_bytes(self) -> int:
        """The average length of a row as text, of the table with the longest rows."""
        filled = [table for table in self.tables if table.rows]
        lengths = [self.files[entry.target].stat().st_size // entry.rows for entry in filled]
        return max(lengths, default=1)


@contextmanager
def prepared(server: Server, source: Path, folder: Path) -> Iterator[Prepared]:
    """Migrate the source once, unmeasured, and take from the result what is needed.

    Args:
        server: the database with sql/ applied.
        source: the SQLite database.
        folder: that the server's own user can enter; files are left in it.
    """
    with fresh_database(server, _FINISHED) as finished:
        # A copy does not inherit the privileges on the database itself.
        apply_schema(finished)
        report = ours.migrate(finished, source, "copy", folder / "first")
        tables = tables_of(report, source)
        check_counts(finished, tables)
        digests = contents(finished, tables)
        files = _write_files(finished, tables, folder / "files")
        with fresh_database(finished, _BARE) as bare:
            rebuild = folder / "rebuild.sql"
            _strip(bare, rebuild)
            yield Prepared(source, tables, server, bare, rebuild, files, digests)


def tables_of(report: Mapping[str, Any], source: Path) -> tuple[Table, ...]:
    """The tables that a run's report names, with the rows that the source has of each."""
    with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return tuple(
            Table(
                source=entry["source"],
                target=entry["target"],
                columns=tuple(
                    Column(column["source"], column["target"], column["pg_type"])
                    for column in entry["columns"]
                ),
                rows=connection.execute(
                    f"select count(*) from {quoted(entry['source'])}"
                ).fetchone()[0],
            )
            for entry in report["tables"]
        )


def check_counts(target: Server, tables: tuple[Table, ...]) -> None:
    """Every row has arrived.

    Raises:
        TargetError: of some table, not.
    """
    with connect(target, ADMIN, autocommit=True) as connection:
        for table in tables:
            query = sql.SQL("select count(*) from {}").format(_relation(table))
            row = connection.execute(query).fetchone()
            if row != (table.rows,):
                found = row[0] if row else 0
                raise TargetError(f"{table.target} has {found} rows, the source {table.rows}.")


def contents(target: Server, tables: tuple[Table, ...]) -> dict[str, int]:
    """By table, a sum over all of its values."""
    found = {}
    with connect(target, ADMIN, autocommit=True) as connection:
        for table in tables:
            query = statement("contents").format(relation=_relation(table))
            row = connection.execute(query).fetchone()
            assert row is not None
            found[table.target] = int(str(row[1]))
    return found


@contextmanager
def fresh_database(template: Server, name: str) -> Iterator[Server]:
    """A copy of a database, dropped at the end."""
    fresh = sql.Identifier(name)
    with connect(template.with_database("postgres"), ADMIN, autocommit=True) as connection:
        original = sql.Identifier(template.database)
        connection.execute(sql.SQL("create database {} template {}").format(fresh, original))
        try:
            yield template.with_database(name)
        finally:
            connection.execute(sql.SQL("drop database {} with (force)").format(fresh))


def _write_files(finished: Server, tables: tuple[Table, ...], folder: Path) -> dict[str, Path]:
    """Let the server write each table into a file that it can read again."""
    folder.mkdir()
    server_account().own(folder)
    files = {table.target: folder / f"{number}.copy" for number, table in enumerate(tables)}
    with connect(finished, ADMIN, autocommit=True) as connection:
        for table in tables:
            path = sql.Literal(str(files[table.target]))
            connection.execute(sql.SQL("copy {} to {}").format(_relation(table), path))
    return files


def _strip(bare: Server, rebuild: Path) -> None:
    """Leave nothing but empty tables with their columns; write down what was dropped."""
    with connect(bare, ADMIN) as connection:
        connection.execute("set local search_path = ''")
        rules = connection.execute(statement("rules")).fetchall()
        tables = connection.execute(
            "select tablename from pg_catalog.pg_tables where schemaname = 'public'"
        ).fetchall()
        names = sql.SQL(", ").join(sql.Identifier("public", str(name)) for (name,) in tables)
        connection.execute(sql.SQL("truncate {}").format(names))
        for drop, _ in reversed(rules):
            connection.execute(str(drop).encode())
    lines = ["begin;", *(f"{make};" for _, make in rules), "commit;"]
    rebuild.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _relation(table: Table) -> sql.Identifier:
    return sql.Identifier("public", table.target)
