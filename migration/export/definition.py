"""How a table may be declared in SQLite: ways to try, the best one first.

The platform's own declaration; that of the file which the table came from; one made of
PostgreSQL's columns; and last one in which SQLite changes no value, since nearly every column is
TEXT. (A column declared JSON or DATETIME makes a number of text that looks like
one.) Which of them holds every value is not guessed but compared.
"""

import re
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from migration.export.tables import ExportedTable
from migration.quoting import fold, quote_name

#: AtlasTrinity's tables, as its ORM declares them in SQLite.
PLATFORM_SCHEMA = Path(__file__).parent / "platform.sql"

_INTEGERS = ("smallint", "integer", "bigint")
_DECLARED = {
    **dict.fromkeys(_INTEGERS, "INTEGER"),
    "double precision": "FLOAT",
    "real": "FLOAT",
    "numeric": "NUMERIC",
    "boolean": "BOOLEAN",
    "timestamp without time zone": "DATETIME",
    "timestamp with time zone": "TIMESTAMP",
    "date": "DATE",
    "time without time zone": "TIME",
    "uuid": "CHAR(36)",
    "json": "JSON",
    "jsonb": "JSON",
    "bytea": "BLOB",
}
#: As SQLite keeps the definition of an index: two or three words of its own, then the name as it
#: was written.
_INDEX_NAME = re.compile(
    r"""^(CREATE (?:UNIQUE )?INDEX )("(?:[^"]|"")*"|'(?:[^']|'')*'|`(?:[^`]|``)*`|\[[^]]*\]|\S+)"""
)
#: What SQLite holds as it is, whatever the value.
EXACT = (*_INTEGERS, "boolean", "bytea")


@dataclass(frozen=True)
class Definition:
    """One way to declare a table in SQLite."""

    #: Where it is from, in words.
    origin: str
    #: The table's name in SQLite.
    name: str
    #: CREATE TABLE, then what comes after the rows: CREATE INDEX.
    create: tuple[str, ...]
    indexes: tuple[str, ...]
    #: PostgreSQL's column → SQLite's, in the order of SQLite's table; those that are written.
    columns: dict[str, str]
    #: Everything but EXACT is written as PostgreSQL prints it.
    as_text: bool = False

    def prints(self, pg_type: str) -> bool:
        """Whether values of this type are written as PostgreSQL prints them."""
        return self.as_text and pg_type not in EXACT


def definitions(table: ExportedTable, tables: Collection[str]) -> Iterator[Definition]:
    """The ways to declare a table, the best one first.

    Args:
        tables: the names of all tables of the file, folded: an index cannot have them.
    """
    platform = _platform_tables().get(table.name)
    if platform is not None:
        definition = _of_platform(table, platform)
        if definition is not None:
            yield definition
    if table.origin is not None:
        definition = _of_origin(table, tables)
        if definition is not None:
            yield definition
    yield _made(table, as_text=False)
    yield _made(table, as_text=True)


@dataclass(frozen=True)
class _PlatformTable:
    create: str
    indexes: tuple[str, ...]
    columns: tuple[str, ...]


@cache
def _platform_tables() -> dict[str, _PlatformTable]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(PLATFORM_SCHEMA.read_text("utf-8"))
        return {
            name: _PlatformTable(
                text,
                tuple(
                    row[0]
                    for row in connection.execute(
                        "select sql from sqlite_master where type = 'index' and tbl_name = ?"
                        " and sql is not null order by rowid",
                        [name],
                    )
                ),
                tuple(
                    row[0]
                    for row in connection.execute("select name from pragma_table_info(?)", [name])
                ),
            )
            for name, text in connection.execute(
                "select name, sql from sqlite_master where type = 'table'"
            ).fetchall()
        }


def _of_platform(table: ExportedTable, platform: _PlatformTable) -> Definition | None:
    """The platform's declaration; columns that the table has beyond it are added."""
    names = {column.name for column in table.columns}
    if not names.issuperset(platform.columns):
        return None
    further = [column for column in table.columns if column.name not in platform.columns]
    added = tuple(
        f"alter table {quote_name(table.name)} add column"
        f" {quote_name(column.name)} {_declared(column.pg_type)}"
        for column in further
    )
    columns = [*platform.columns, *(column.name for column in further)]
    return Definition(
        "the platform's declaration",
        table.name,
        (platform.create, *added),
        platform.indexes,
        {name: name for name in columns},
    )


def _of_origin(table: ExportedTable, tables: Collection[str]) -> Definition | None:
    """The declaration of the file that the table came from, where it has the same columns."""
    plan = table.origin
    assert plan is not None
    source = plan.table
    targets = {column.source: column.target for column in plan.columns}
    carried = [column for column in source.columns if column.name in targets]
    same = {targets[column.name] for column in carried} == {c.name for c in table.columns}
    if source.virtual or not source.definition or not same:
        return None
    return Definition(
        "its first declaration",
        source.name,
        (source.definition,),
        tuple(
            _freely_named(index.name, index.definition, tables)
            for index in source.indexes
            if index.definition
        ),
        {targets[column.name]: column.name for column in carried if not column.generated},
    )


def _freely_named(name: str, definition: str, tables: Collection[str]) -> str:
    """The definition of an index, by another name where a table of the file has its own."""
    free = name
    while fold(free) in tables:
        free += "_index"
    if free == name:
        return definition
    return _INDEX_NAME.sub(lambda found: found[1] + quote_name(free), definition)


def _made(table: ExportedTable, *, as_text: bool) -> Definition:
    lines = []
    for column in table.columns:
        inexact = as_text and column.pg_type not in EXACT
        declared = "TEXT" if inexact else _declared(column.pg_type)
        lines.append(
            f"{quote_name(column.name)} {declared}{' NOT NULL' if column.not_null else ''}"
        )
    if table.primary_key:
        lines.append(f"PRIMARY KEY ({_list(table.primary_key)})")
    lines += [f"UNIQUE ({_list(key.columns)})" for key in table.unique_keys]
    lines += [
        f"FOREIGN KEY({_list(key.columns)}) REFERENCES {quote_name(key.parent)}"
        f" ({_list(key.references)})"
        for key in table.foreign_keys
    ]
    body = ",\n\t".join(lines)
    return Definition(
        "a declaration made of PostgreSQL's" + (", without SQLite's own types" if as_text else ""),
        table.name,
        (f"CREATE TABLE {quote_name(table.name)} (\n\t{body}\n)",),
        tuple(
            f"CREATE {'UNIQUE ' if index.unique else ''}INDEX {quote_name(index.name)}"
            f" ON {quote_name(table.name)} ({_list(index.columns)})"
            for index in table.indexes
        ),
        {column.name: column.name for column in table.columns},
        as_text=as_text,
    )


def _declared(pg_type: str) -> str:
    return _DECLARED.get(pg_type, "TEXT")


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(map(quote_name, names))
