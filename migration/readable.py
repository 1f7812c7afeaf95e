"""What of a source's schema this SQLite can read, although the program that wrote it is not here.

A database may name collations, functions and modules of its application, and definitions in a
newer SQLite's words. Its rows are still there: what stands in the way of them is left out, and
said.
"""

import re
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing

from migration.quoting import fold, quote_name

_BUILT_IN_COLLATIONS = frozenset({"binary", "nocase", "rtrim"})
_COLLATE = re.compile(
    r"""\bcollate\s*(?:"((?:[^"]|"")+)"|'((?:[^']|'')+)'|`((?:[^`]|``)+)`|\[([^]]+)]|([\w$]+))""",
    re.IGNORECASE,
)
_UNREAD = {"table": "unreadable table", "view": "view"}
_BROKEN = re.compile("[\udc00-\udcff]")
_CONTENTLESS = re.compile(r"""\bcontent\s*=\s*(?:''|""|``|\[])""", re.IGNORECASE)


def open_schema(connection: sqlite3.Connection) -> None:
    """Make every table of the file readable that can be.

    Definitions that this SQLite cannot read are passed over (see `unread_objects`), and
    collations that it does not know are stood in for. Reading never needs the right order:
    rows come in the order of the table's own b-tree.

    Raises:
        sqlite3.Error: there is no schema to be read.
    """
    query = "select count(*) from sqlite_master"
    try:
        connection.execute(query).fetchone()
    except sqlite3.DatabaseError as error:
        if not str(error).startswith("malformed database schema"):
            raise
        # With this pragma SQLite keeps what it can read of a schema. Nothing is written: the
        # connection is read-only.
        connection.execute("pragma writable_schema = on")
        connection.execute(query).fetchone()
    for name in _collations(connection):
        connection.create_collation(name, _by_code_points)


def unread_objects(connection: sqlite3.Connection) -> Iterator[tuple[str, str, str]]:
    """(kind, name, reason) of every object whose definition this SQLite cannot read."""
    if not connection.execute("pragma writable_schema").fetchone()[0]:
        return
    read = {row[1] for row in connection.execute("pragma table_list") if row[0] == "main"}
    objects = connection.execute(
        "select type, name, sql from sqlite_master where type in ('table', 'view') order by name"
    ).fetchall()
    for kind, name, definition in objects:
        if name not in read:
            yield _UNREAD[kind], str(name), _complaint(str(definition))
    indexes = connection.execute(
        "select name, tbl_name, sql from sqlite_master where type = 'index' order by name"
    ).fetchall()
    for name, table, definition in indexes:
        listed = connection.execute("select name from pragma_index_list(?)", [table])
        if table in read and definition and (name,) not in listed.fetchall():
            yield "index", str(name), _complaint(str(definition))


def uncomputable_columns(
    connection: sqlite3.Connection, table: str, columns: Collection[str]
) -> dict[str, str]:
    """The virtual generated columns that cannot be computed for every row, and why.

    Args:
        connection: the source.
        table: the table's name, quoted.
        columns: the names of its columns that are computed when they are read.
    """
    if not columns or _complaint_of(connection, table, columns) is None:
        return {}
    complaints = {name: _complaint_of(connection, table, [name]) for name in columns}
    return {name: why for name, why in complaints.items() if why is not None}


def why_unreadable(connection: sqlite3.Connection, table: str, definition: str) -> str | None:
    """Why a virtual table cannot be read here; None where it can.

    Args:
        connection: the source.
        table: the table's name, quoted.
        definition: its CREATE VIRTUAL TABLE.
    """
    if _CONTENTLESS.search(definition):
        return "it is a full-text index without its text"
    try:
        connection.execute(f"select * from {table} limit 1").fetchone()  # noqa: S608
    except sqlite3.Error as error:
        return str(error)
    return None


def storage_of(name: str, tables: Collection[str]) -> list[str]:
    """The tables that are named like the storage of a virtual table."""
    prefix = fold(f"{name}_")
    return sorted(table for table in tables if fold(table).startswith(prefix))


def repair_names(connection: sqlite3.Connection) -> list[str]:
    """Make every name of a snapshot's schema one that can be asked for.

    Bytes that are not UTF-8, and NUL, become U+FFFD and their two hexadecimal digits.

    Args:
        connection: the snapshot, writable.

    Returns:
        The names of the objects whose definition was changed.
    """
    connection.execute("pragma writable_schema = on")
    factory, connection.text_factory = connection.text_factory, bytes
    try:
        rows = connection.execute(
            "select rowid, name, tbl_name, sql from sqlite_master order by rowid"
        ).fetchall()
    finally:
        connection.text_factory = factory
    broken = [row for row in rows if any(_is_broken(text) for text in row[1:] if text)]
    for rowid, *texts in broken:
        connection.execute(
            "update sqlite_master set name = ?, tbl_name = ?, sql = ? where rowid = ?",
            [*(None if text is None else _repaired(text) for text in texts), rowid],
        )
    return [_repaired(row[1]) for row in broken]


def _collations(connection: sqlite3.Connection) -> set[str]:
    names = set()
    query = "select cast(sql as blob) from sqlite_master where sql is not null"
    for (definition,) in connection.execute(query):
        for found in _COLLATE.finditer(definition.decode(errors="replace")):
            quoted = ((found[1], '"'), (found[2], "'"), (found[3], "`"))
            plain = [text.replace(mark * 2, mark) for text, mark in quoted if text]
            names.add((plain or [found[4] or found[5]])[0])
    return {name for name in names if name.lower() not in _BUILT_IN_COLLATIONS}


def _by_code_points(one: str, other: str) -> int:
    return (one > other) - (one < other)


def _complaint(definition: str) -> str:
    """What SQLite says to a definition; where it depends on others, only that it has a fault."""
    version = f"SQLite {sqlite3.sqlite_version} cannot read its definition"
    with closing(sqlite3.connect(":memory:")) as scratch:
        try:
            scratch.execute(definition)
        except sqlite3.Error as error:
            return f"{version}: {error}"
    return version


def _complaint_of(
    connection: sqlite3.Connection, table: str, columns: Collection[str]
) -> str | None:
    counts = ", ".join(f"count({quote_name(name)})" for name in columns)
    try:
        connection.execute(f"select {counts} from {table} not indexed").fetchone()  # noqa: S608
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_CORRUPT:
            raise
        return str(error)
    return None


def _is_broken(text: bytes) -> bool:
    try:
        return "\0" in text.decode()
    except UnicodeDecodeError:
        return True


def _repaired(text: bytes) -> str:
    decoded = text.decode("utf-8", "surrogateescape").replace("\0", "\udc00")
    return _BROKEN.sub(lambda found: f"\ufffd{ord(found[0]) & 0xFF:02X}", decoded)
