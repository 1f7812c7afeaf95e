"""What the SQLite file declares: tables, columns, keys, indexes, and what else is in it."""

import sqlite3
from collections.abc import Mapping
from functools import cached_property

from pydantic import BaseModel, ConfigDict

from migration.quoting import fold, quote_name
from migration.readable import (
    storage_of,
    uncomputable_columns,
    unread_objects,
    why_unreadable,
)

_ROWID_NAMES = ("rowid", "_rowid_", "oid")


class Column(BaseModel):
    """A column as declared. `declared` is the type's text, which SQLite hardly enforces."""

    model_config = ConfigDict(frozen=True)

    name: str
    declared: str
    not_null: bool
    default: str | None
    generated: bool
    #: The generated column is not stored in the file, but computed when it is read.
    virtual: bool = False


class ForeignKey(BaseModel):
    """A foreign key; `references` is empty where it means the parent's primary key."""

    model_config = ConfigDict(frozen=True)

    columns: tuple[str, ...]
    parent: str
    references: tuple[str, ...]
    on_update: str
    on_delete: str


class Index(BaseModel):
    """An index; `columns` holds None for an expression."""

    model_config = ConfigDict(frozen=True)

    name: str
    columns: tuple[str | None, ...]
    unique: bool
    partial: bool
    #: 'c' made by CREATE INDEX, 'u' by a UNIQUE constraint, 'pk' by the primary key.
    origin: str
    collations: tuple[str, ...]
    descending: tuple[bool, ...]
    #: The text of CREATE INDEX; empty where a constraint made it.
    definition: str


class Table(BaseModel):
    """A table (or a readable virtual table) of the source."""

    model_config = ConfigDict(frozen=True)

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    #: The column that is the rowid itself (INTEGER PRIMARY KEY), if any.
    rowid_alias: str | None
    without_rowid: bool
    virtual: bool
    foreign_keys: tuple[ForeignKey, ...] = ()
    indexes: tuple[Index, ...] = ()
    #: The AUTOINCREMENT high-water mark of sqlite_sequence, if there is one.
    high_water_mark: int | None = None
    #: The text of CREATE TABLE.
    definition: str = ""

    @property
    def is_stored(self) -> bool:
        """Whether every value stands in the file, so that any SQLite reads the same."""
        return not self.virtual and not any(column.virtual for column in self.columns)

    @cached_property
    def key_names(self) -> tuple[str, ...]:
        """What identifies a row in reports and in quarantine; empty where nothing does."""
        if self.without_rowid:
            return self.primary_key
        if self.rowid_alias:
            return (self.rowid_alias,)
        taken = {fold(column.name) for column in self.columns}
        return next(((name,) for name in _ROWID_NAMES if name not in taken), ())

    @cached_property
    def key_expressions(self) -> tuple[str, ...]:
        """`key_names`, quoted for SQLite where they are columns."""
        return tuple(
            name if name in _ROWID_NAMES and name != self.rowid_alias else quote_name(name)
            for name in self.key_names
        )


class View(BaseModel):
    """A view: its text is all there is to it."""

    model_config = ConfigDict(frozen=True)

    name: str
    definition: str


class LeftOut(BaseModel):
    """Something of the source that does not arrive as such, and why."""

    model_config = ConfigDict(frozen=True)

    kind: str
    name: str
    why: str

    @property
    def loses_rows(self) -> bool:
        """Whether rows of the source are missing in the target for it."""
        return self.kind in ("damaged pages", "unreadable table")


class Schema(BaseModel):
    """Everything that the file declares, in name order."""

    model_config = ConfigDict(frozen=True)

    tables: tuple[Table, ...]
    views: tuple[View, ...]
    left_out: tuple[LeftOut, ...]


def read_schema(
    connection: sqlite3.Connection, unreadable: Mapping[str, str] | None = None
) -> Schema:
    """Every table and view of the file, and every object that cannot be carried.

    Args:
        connection: the file.
        unreadable: virtual tables that turned out to be unreadable, and why. Their storage
            is read as ordinary tables.
    """
    tables, views = list[Table](), list[View]()
    left_out = [
        LeftOut(kind=kind, name=name, why=why) for kind, name, why in unread_objects(connection)
    ]
    marks = _high_water_marks(connection)
    listed = connection.execute("pragma table_list").fetchall()
    definitions = _definitions(connection, "table", "view")
    unreadable = dict(unreadable or {})
    kept: set[str] = set()
    # Virtual tables come first: whether they can be read decides what their storage is.
    for schema, name, kind, _, without_rowid, _strict in sorted(
        listed, key=lambda row: (row[2] != "virtual", row[1])
    ):
        if schema != "main" or name.startswith("sqlite_"):
            continue
        definition = definitions.get(name, "")
        if kind == "virtual" and name not in unreadable:
            why = why_unreadable(connection, quote_name(name), definition)
            unreadable |= {name: why} if why else {}
        if kind == "view":
            views.append(View(name=name, definition=definition))
        elif kind == "shadow" and name not in kept:
            why = "internal storage of a virtual table, whose own rows are carried"
            left_out.append(LeftOut(kind="shadow table", name=name, why=why))
        elif name in unreadable:
            storage = storage_of(name, definitions)
            kept.update(storage)
            why = f"{unreadable[name]}; its storage arrives as: {', '.join(storage) or 'none'}"
            left_out.append(LeftOut(kind="virtual table", name=name, why=why))
        else:
            table = _read_table(connection, name, definition, left_out)
            tables.append(
                table.model_copy(
                    update={
                        "without_rowid": bool(without_rowid),
                        "virtual": kind == "virtual",
                        "high_water_mark": marks.get(name),
                    }
                )
            )
    tables.sort(key=lambda table: table.name)
    left_out += _triggers(connection)
    return Schema(tables=tuple(tables), views=tuple(views), left_out=tuple(left_out))


def _definitions(connection: sqlite3.Connection, *kinds: str) -> dict[str, str]:
    rows = connection.execute("select type, name, sql from sqlite_master")
    return {name: text for kind, name, text in rows if kind in kinds and text}


def _triggers(connection: sqlite3.Connection) -> list[LeftOut]:
    why = "triggers are programs of SQLite; write it for PostgreSQL if it is still needed"
    return [
        LeftOut(kind="trigger", name=name, why=f"on {parent}; {why}")
        for name, parent in connection.execute(
            "select name, tbl_name from sqlite_master where type = 'trigger' order by name"
        )
    ]


def _read_table(
    connection: sqlite3.Connection, name: str, definition: str, left_out: list[LeftOut]
) -> Table:
    columns, key, computed = [], [], set()
    for _, column, declared, not_null, default, position, hidden in connection.execute(
        "select * from pragma_table_xinfo(?)", [name]
    ).fetchall():
        if hidden == 1:
            continue  # a hidden column of a virtual table is an argument, not data
        columns.append(
            Column(
                name=column,
                declared=(declared or "").upper(),
                not_null=bool(not_null),
                default=default,
                generated=hidden in (2, 3),
                virtual=hidden == 2,
            )
        )
        if hidden == 2:
            computed.add(column)
        if position:
            key.append((position, column, (declared or "").upper()))
    key.sort()
    indexes = _read_indexes(connection, name)
    # Only the exact word INTEGER makes the column the rowid itself, and not even that where it
    # says DESC: such a key has an index like any other, and may be NULL.
    has_index = any(index.origin == "pk" for index in indexes)
    is_rowid = len(key) == 1 and key[0][2] == "INTEGER" and not has_index
    unknown = uncomputable_columns(connection, quote_name(name), computed)
    for column, complaint in sorted(unknown.items()):
        why = f"it is computed when it is read, and cannot be here: {complaint}"
        left_out.append(LeftOut(kind="generated column", name=f"{name}.{column}", why=why))
    return Table(
        name=name,
        columns=tuple(column for column in columns if column.name not in unknown),
        primary_key=tuple(column for _, column, _ in key),
        rowid_alias=key[0][1] if is_rowid else None,
        without_rowid=False,
        virtual=False,
        foreign_keys=_read_foreign_keys(connection, name),
        indexes=indexes,
        definition=definition,
    )


def _read_foreign_keys(connection: sqlite3.Connection, name: str) -> tuple[ForeignKey, ...]:
    grouped: dict[int, list[tuple[str, ...]]] = {}
    for number, _, *parts in connection.execute(
        'select id, seq, "table", "from", "to", on_update, on_delete '
        "from pragma_foreign_key_list(?) order by id desc, seq",
        [name],
    ):
        grouped.setdefault(number, []).append(tuple(parts))
    return tuple(
        ForeignKey(
            columns=tuple(part[1] for part in parts),
            parent=parts[0][0],
            references=tuple(part[2] for part in parts if part[2]),
            on_update=parts[0][3],
            on_delete=parts[0][4],
        )
        for parts in grouped.values()
    )


def _read_indexes(connection: sqlite3.Connection, name: str) -> tuple[Index, ...]:
    indexes = []
    definitions = _definitions(connection, "index")
    for index, unique, origin, partial in connection.execute(
        'select name, "unique", origin, partial from pragma_index_list(?) order by name', [name]
    ).fetchall():
        parts = connection.execute(
            'select name, coll, "desc" from pragma_index_xinfo(?) where key order by seqno', [index]
        ).fetchall()
        indexes.append(
            Index(
                name=index,
                columns=tuple(part[0] for part in parts),
                unique=bool(unique),
                partial=bool(partial),
                origin=origin,
                collations=tuple(part[1] for part in parts),
                descending=tuple(bool(part[2]) for part in parts),
                definition=definitions.get(index, ""),
            )
        )
    return tuple(indexes)


def _high_water_marks(connection: sqlite3.Connection) -> dict[str, int]:
    exists = connection.execute(
        "select count(*) from sqlite_master where name = 'sqlite_sequence'"
    ).fetchone()[0]
    if not exists:
        return {}
    rows = connection.execute("select name, seq from sqlite_sequence")
    return {name: seq for name, seq in rows if isinstance(seq, int)}
