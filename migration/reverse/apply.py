"""Logged changes into the SQLite file: changed rows are taken out, and put in as they are now.

As in a step of following, the order needs no care: neither triggers nor foreign keys act
meanwhile, since what they did in PostgreSQL is in the log as well. Rows that nobody changed are not
touched, so they stay byte for byte what the platform wrote.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

from psycopg import sql

from database.errors import VerificationError
from migration.canonical import sql_digest
from migration.digest import RowDigester
from migration.export.values import finisher, rendered
from migration.follow.followed import Followed
from migration.follow.refused import RefusedRows
from migration.load.refusal import column_types
from migration.quoting import quote_name
from migration.reverse.install import key_columns
from migration.source import Row, Value
from migration.statements import Connection, fetch, statement, trusted
from migration.target import identifier

#: Keys that go into one statement, and rows that are read at once.
_AT_ONCE = 2_000

_Values = tuple[Value, ...]
#: A key as the log has it: the text of each column.
LoggedKey = tuple[str | None, ...]


@dataclass
class Logged:
    """Some entries of the log."""

    ids: list[int] = field(default_factory=list)
    #: Keys by number of table. A dictionary: in the order in which they were logged, each once.
    keys: dict[int, dict[LoggedKey, None]] = field(default_factory=dict)
    #: Tables that are looked at as a whole.
    whole: set[int] = field(default_factory=set)

    @property
    def rows(self) -> int:
        """How many keys there are; a whole table counts as one."""
        return sum(map(len, self.keys.values())) + len(self.whole)


def read_log(connection: Connection, followed: Followed, most: int) -> Logged:
    """The oldest entries that are not applied yet, as this transaction sees them."""
    logged = Logged()
    for row in fetch(connection, "reverse_changes", run_id=followed.run_id, most=most):
        logged.ids.append(row["id"])
        number = row["table_number"]
        if row["key"] is None:
            logged.whole.add(number)
        else:
            logged.keys.setdefault(number, {})[tuple(row["key"])] = None
    return logged


def note_applied(connection: Connection, followed: Followed, logged: Logged) -> None:
    """Delete entries whose rows the SQLite file has."""
    connection.execute(statement("reverse_applied"), {"run_id": followed.run_id, "ids": logged.ids})


def apply_back(
    connection: Connection, file: sqlite3.Connection, followed: Followed, logged: Logged
) -> None:
    """Make the SQLite file's rows what they are in PostgreSQL, inside the caller's transactions.

    Every row that is written is read back and compared, value by value.

    Raises:
        VerificationError: the file does not have what PostgreSQL has.
        sqlite3.Error: SQLite refuses a row.
    """
    refused = RefusedRows(
        connection, followed.run_id, [table.target for table in followed.tables.values()]
    )
    with _without_triggers(file):
        tables = {
            number: _TableBack(connection, file, followed, number)
            for number in logged.keys.keys() | logged.whole
        }
        for number in logged.whole:
            tables[number].replace_all(refused)
        for number, keys in logged.keys.items():
            if number not in logged.whole:
                tables[number].replace(keys)


@contextmanager
def _without_triggers(file: sqlite3.Connection) -> Iterator[None]:
    """No trigger acts: neither the block's nor the application's."""
    triggers = file.execute("select name, sql from sqlite_master where type = 'trigger'").fetchall()
    for name, _ in triggers:
        file.execute(f"drop trigger {quote_name(name)}")
    yield
    for _, text in triggers:
        file.execute(text)


class _TableBack:
    """One table on its way back."""

    def __init__(
        self, connection: Connection, file: sqlite3.Connection, followed: Followed, number: int
    ) -> None:
        self._connection = connection
        self._file = file
        self._table = followed.tables[number]
        generated = {c.name for c in self._table.table.columns if c.generated}
        self._columns = [c for c in self._table.columns if c.source not in generated]
        by_target = {column.target: column for column in self._table.columns}
        self._key = [by_target[name] for name in key_columns(followed, number)]
        self._digester = RowDigester(self._table)
        self._name = quote_name(self._table.table.name)

    def replace(self, keys: Iterable[LoggedKey]) -> None:
        """The rows with these keys."""
        waiting = iter(keys)
        portions = list[tuple[sql.Composed, list[_Values]]]()
        while some := list(islice(waiting, _AT_ONCE)):
            changed = self._changed(some)
            portions.append((changed, self._keys(changed)))
        # All of them are taken out first: values that are unique may have been swapped.
        for _, found in portions:
            self._file.executemany(f"delete from {self._name} where {self._condition()}", found)  # noqa: S608
            self._mark_given(found)
        for changed, found in portions:
            rows = statement("reverse_rows").format(
                changed=changed, relation=identifier(self._table), pairs=self._pairs()
            )
            relation = sql.SQL("({}) as r").format(rows)
            self._insert(relation)
            self._compare(relation, (row for key in found for row in self._read(key)))

    def replace_all(self, refused: RefusedRows) -> None:
        """Every row; those in quarantine stay what they were."""
        self._file.execute(f"delete from {self._name}")  # noqa: S608
        relation = identifier(self._table)
        self._insert(relation)
        self._compare(relation, self._read(()))
        kept = [entry.row.values for entry in refused.rows(self._table)]
        places = [self._table.columns.index(column) for column in self._columns]
        self._file.executemany(
            self._insertion(), ([row[place] for place in places] for row in kept)
        )

    def _changed(self, keys: Sequence[LoggedKey]) -> sql.Composed:
        """A query for the keys as values of their types, under the names of their columns."""
        narrowed = self._table.model_copy(update={"columns": tuple(self._key)})
        types = column_types(self._connection, narrowed)
        names = [trusted(f"k{number}") for number in range(len(self._key))]
        return statement("reverse_keys").format(
            casts=sql.SQL(", ").join(
                sql.SQL("{}::{} as {}").format(
                    name, trusted(entry.cast_type), sql.Identifier(column.target)
                )
                for name, entry, column in zip(names, types, self._key, strict=True)
            ),
            texts=sql.SQL(", ").join(
                sql.SQL("{}::text[]").format(sql.Literal(list(column)))
                for column in zip(*keys, strict=True)
            ),
            names=sql.SQL(", ").join(names),
        )

    def _keys(self, changed: sql.Composed) -> list[_Values]:
        """The keys as SQLite has them."""
        query = sql.SQL("select {} from ({}) as given").format(
            sql.SQL(", ").join(
                rendered(column.target, column.pg_type, as_text=False) for column in self._key
            ),
            changed,
        )
        return list(self._fetched(query, [column.pg_type for column in self._key]))

    def _insert(self, relation: sql.Composable) -> None:
        query = sql.SQL("select {} from {}").format(
            sql.SQL(", ").join(
                rendered(column.target, column.pg_type, as_text=False) for column in self._columns
            ),
            relation,
        )
        self._file.executemany(
            self._insertion(), self._fetched(query, [column.pg_type for column in self._columns])
        )

    def _insertion(self) -> str:
        names = ", ".join(quote_name(column.source) for column in self._columns)
        places = ", ".join("?" for _ in self._columns)
        return f"insert into {self._name} ({names}) values ({places})"  # noqa: S608

    def _fetched(self, query: sql.Composed, types: Sequence[str]) -> Iterator[_Values]:
        finish = [finisher(pg_type) or _as_it_is for pg_type in types]
        with self._connection.cursor(name="atlas_back", binary=True) as cursor:
            cursor.itersize = _AT_ONCE
            for row in cursor.execute(query):
                yield tuple(
                    step(value)  # type: ignore[arg-type]
                    for step, value in zip(finish, row, strict=True)
                )

    def _read(self, key: _Values) -> Iterator[Row]:
        """The rows of the file with a key, or all of them."""
        names = ", ".join(quote_name(column.source) for column in self._table.columns)
        where = f" where {self._condition()}" if key else ""
        query = f"select {names} from {self._name}{where}"  # noqa: S608
        for values in self._file.execute(query, key):
            yield Row(0, (), values)

    def _compare(self, relation: sql.Composable, rows: Iterable[Row]) -> None:
        digests = self._connection.execute(sql_digest(self._table.columns, relation))
        expected = Counter[bytes | None](bytes.fromhex(str(entry)) for _, entry in digests)
        found = Counter(self._digester.digest_of(row) for row in rows)
        if found != expected:
            raise VerificationError(
                f"{self._table.target}: {(expected - found).total()} of the changed rows are not "
                "in the SQLite file as they are in PostgreSQL. Nothing was changed there.",
                "Is a value there that SQLite has no form for? 'scripts/backup.py export-sqlite' "
                "writes a new file instead.",
            )

    def _mark_given(self, keys: Sequence[_Values]) -> None:
        """What PostgreSQL gave as a number, AUTOINCREMENT gives no more."""
        if not self._table.table.rowid_alias or len(self._key) != 1:
            return
        given = max((key[0] for key in keys if isinstance(key[0], int)), default=0)
        if self._file.execute(
            "select 1 from sqlite_master where name = 'sqlite_sequence'"
        ).fetchone():
            self._file.execute(
                "update sqlite_sequence set seq = max(seq, ?) where name = ?",
                [given, self._table.table.name],
            )

    def _condition(self) -> str:
        return " and ".join(f"{quote_name(column.source)} is ?" for column in self._key)

    def _pairs(self) -> sql.Composed:
        return sql.SQL(" and ").join(
            # Only = can use an index.
            sql.SQL("{} = {}" if column.not_null else "{} is not distinct from {}").format(
                sql.Identifier("t", column.target), sql.Identifier("c", column.target)
            )
            for column in self._key
        )


def _as_it_is(value: Value) -> Value:
    return value
