"""One step: the target becomes what the source is at a later moment, all or nothing.

The order needs no care: of every table, the rows whose keys were touched are taken out first, and
then put in as they are now. So values may have been swapped and keys renamed in any order; and
neither foreign keys nor triggers act meanwhile, since what cascaded in the source is in the
changelog as well. Orphans are no matter of a step: SQLite's programs may write a child before its
parent. Whether references hold is decided at the cutover.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

import psycopg
from psycopg import sql

from database.errors import TargetError, VerificationError
from migration.canonical import sql_digest
from migration.capture.changes import Key, TableChanges
from migration.follow.followed import Followed
from migration.follow.insert import Inserter
from migration.follow.keys import TargetKeys
from migration.follow.moment import Moment
from migration.follow.refused import RefusedRows
from migration.plan import TablePlan
from migration.source import Row
from migration.statements import Connection, statement
from migration.target import as_login, identifier

#: Rows that are looked for by one statement.
_AT_ONCE = 5_000


@dataclass(frozen=True)
class Stepped:
    """What a step did."""

    followed: Followed
    #: Keys that were looked at.
    keys: int
    #: Rows that PostgreSQL refused in this step.
    refused: int
    #: By number of table.
    changes: dict[int, TableChanges] = field(default_factory=dict, repr=False)


def apply(connection: Connection, followed: Followed, moment: Moment) -> Stepped:
    """Bring the target to a moment of the source, inside the caller's transaction.

    Every row that is written is read back and compared, value by value.

    Raises:
        TargetError: triggers cannot be kept quiet, or another program was here.
        VerificationError: what is in the target is not what was sent.
        TooMuchError: a table has to be loaded anew, and the moment is not of a copy.
    """
    keep_triggers_quiet(connection)
    tables = [followed.tables[number].target for number in moment.changes]
    refused = RefusedRows(connection, followed.run_id, tables)
    keys = new = 0
    for number, changes in moment.changes.items():
        table = _TableStep(connection, followed.tables[number], changes, refused)
        table.run(moment)
        keys += len(changes.keys)
        new += len(table.inserter.refused)
    advanced = followed.advance(connection, moment.upto, moment.schema_version)
    return Stepped(advanced, keys, new, moment.changes)


def keep_triggers_quiet(connection: Connection) -> None:
    """Let no trigger act in this transaction, those of foreign keys included."""
    try:
        with as_login(connection):
            connection.execute("set local session_replication_role = replica")
    except psycopg.errors.InsufficientPrivilege as error:
        raise TargetError(
            "The login migrator may not set session_replication_role, so a source cannot be "
            "followed.",
            "Let a superuser run 'python -m database apply', or 'grant set on parameter "
            "session_replication_role to migrator'; or stop the writers and use 'run'.",
        ) from error


class _TableStep:
    """A step of one table."""

    def __init__(
        self,
        connection: Connection,
        table: TablePlan,
        changes: TableChanges,
        refused: RefusedRows,
    ) -> None:
        self._connection = connection
        self._table = table
        self._changes = changes
        self._refused = refused
        self._known = refused.keys(changes.captured, table)
        self.inserter = Inserter(connection, table)

    def run(self, moment: Moment) -> None:
        """Take out, put in, compare."""
        captured = self._changes.captured
        if captured.key:
            self._by_keys(moment)
        elif self._changes.anew:
            self._anew(moment)
        else:
            self._add(moment)
        self._refused.keep(
            [replace(entry, row=replace(entry.row, position=-1)) for entry in self.inserter.refused]
        )

    def _by_keys(self, moment: Moment) -> None:
        target = TargetKeys(self._connection, self._table, self._changes.captured.key)
        # A row in quarantine is not in the target: there, its key may be another row's.
        vanishing = [
            key for key in self._changes.vanishing if key not in self._known or None in key
        ]
        target.delete(vanishing)
        self._forget(self._changes.keys)
        taken = self._insert(moment.rows(self._changes))
        # The key of a refused row may be another's in the target. Several rows may have one with
        # NULL; of them all are looked for.
        refused = {self._key(entry.row) for entry in self.inserter.refused}
        looked_for = {key for key in (*taken, *vanishing) if None in key or key not in refused}
        self._compare(target.relations(looked_for))

    def _anew(self, moment: Moment) -> None:
        rows = moment.all_rows(self._changes.captured)
        relation = identifier(self._table)
        self._connection.execute(sql.SQL("delete from {}").format(relation))
        self._forget(self._known)
        self._insert(rows)
        self._compare([relation])

    def _add(self, moment: Moment) -> None:
        self._forget(self._changes.keys)
        self._insert(moment.rows(self._changes))
        places = self.inserter.places
        self._compare(
            sql.SQL("({}) as r").format(
                statement("rows_at").format(
                    relation=identifier(self._table), places=sql.Literal(places[start:][:_AT_ONCE])
                )
            )
            for start in range(0, len(places), _AT_ONCE)
        )

    def _insert(self, rows: Iterable[Row]) -> list[Key]:
        """Put rows in; the keys of those that PostgreSQL took."""
        return [self._key(row) for row in self.inserter.insert(rows)]

    def _forget(self, keys: Iterable[Key]) -> None:
        self._refused.forget(entry for key in keys for entry in self._known.get(key, ()))

    def _key(self, row: Row) -> Key:
        names = [column.source for column in self._table.columns]
        key = self._changes.captured.key
        return tuple(row.values[names.index(name)] for name in key) or row.key

    def _compare(self, relations: Iterable[sql.Composable]) -> None:
        """The rows of these relations have to be those that were taken, and no others."""
        found: Counter[bytes] = Counter()
        for relation in relations:
            digests = self._connection.execute(sql_digest(self._table.columns, relation))
            found.update(bytes.fromhex(str(digest)) for _, digest in digests)
        if found != self.inserter.digests:
            missing = (self.inserter.digests - found).total()
            more = (found - self.inserter.digests).total()
            raise VerificationError(
                f"{self._table.target}: of the changed rows, {missing} are not in the target as "
                f"they are in the source, and {more} are there that should not be. "
                "Nothing was changed.",
                "Look for another program that writes to the target; "
                "'python -m migration follow --replace' starts over.",
            )


def retried_keys(
    connection: Connection, followed: Followed, numbers: Collection[int]
) -> Iterator[tuple[int, list[Key]]]:
    """The keys by table of rows that were refused for others, and may be taken by now."""
    targets = [followed.tables[number].target for number in numbers]
    refused = RefusedRows(connection, followed.run_id, targets)
    for number in numbers:
        captured, table = followed.captured[number], followed.tables[number]
        if captured.key and (keys := refused.keys(captured, table, retried=True)):
            yield number, list(keys)
