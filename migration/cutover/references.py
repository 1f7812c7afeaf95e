"""Foreign keys at the cutover: following loads rows whatever they refer to, PostgreSQL does not.

Everything is looked at once while the writers go on; under the lock, only what changed since.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg import sql

from database.errors import QuarantineError
from migration.capture.changes import TableChanges
from migration.constraints import count_orphans, foreign_keys
from migration.constraints.rule import Rule
from migration.follow.followed import Followed
from migration.follow.keys import TargetKeys
from migration.statements import Connection, fetch_number, statement


@dataclass(frozen=True)
class Orphans:
    """Rows that break a foreign key."""

    rule: Rule
    rows: int

    def __str__(self) -> str:
        columns = ", ".join(self.rule.columns)
        return f"{self.rows:,} rows of {self.rule.table} ({columns}) without {self.rule.parent}"


class References:
    """The foreign keys of the followed tables."""

    def __init__(self, connection: Connection, followed: Followed) -> None:
        self._connection = connection
        self._followed = followed
        self._rules = foreign_keys(connection, followed.plan)
        self._numbers = {table.target: number for number, table in followed.tables.items()}

    def check_all(self, *, keep: bool) -> list[Orphans]:
        """Look at every row. Kept orphans get a foreign key that binds new rows alone.

        Raises:
            QuarantineError: there are orphans that nobody decided to keep.
        """
        counted = [Orphans(rule, count_orphans(self._connection, rule)[0]) for rule in self._rules]
        found = [entry for entry in counted if entry.rows]
        if found and not keep:
            raise refusal(found)
        for entry in found:
            self._bind_new_rows(entry.rule)
        kept = {id(entry.rule) for entry in found}
        self._rules = [rule for rule in self._rules if id(rule) not in kept]
        return found

    def check_changed(self, changes: Iterable[dict[int, TableChanges]]) -> None:
        """Look at the rows that changed since, and at those that refer to rows which are gone.

        Raises:
            QuarantineError: there are orphans by now.
        """
        changed: dict[int, list[TableChanges]] = {}
        for step in changes:
            for number, entry in step.items():
                changed.setdefault(number, []).append(entry)
        found = [
            Orphans(rule, rows) for rule in self._rules if (rows := self._changed(rule, changed))
        ]
        if found:
            raise refusal(found)

    def _changed(self, rule: Rule, changed: dict[int, list[TableChanges]]) -> int:
        child = changed.get(self._numbers.get(rule.table, -1), [])
        parent = changed.get(self._numbers.get(rule.parent or "", -1), [])
        gone = [entry for entry in parent if entry.vanishing]
        if not child and not gone:
            return 0
        if not self._has_key(child) or (gone and not self._is_by_key(rule, gone)):
            return count_orphans(self._connection, rule)[0]
        return self._of_children(rule, child) + self._of_parents(rule, gone)

    def _of_children(self, rule: Rule, changed: list[TableChanges]) -> int:
        """Changed rows that refer to nothing that is there."""
        return sum(
            self._lost(rule, given, keys.pairs())
            for entry in changed
            for keys in [self._keys(entry)]
            for given in keys.given(entry.keys)
        )

    def _of_parents(self, rule: Rule, changed: list[TableChanges]) -> int:
        """Rows, changed or not, that refer to what is gone."""
        among = sql.SQL(" and ").join(
            sql.SQL("{} = {}").format(sql.Identifier("t", name), sql.Identifier("c", f"k{number}"))
            for number, name in enumerate(rule.columns)
        )
        return sum(
            self._lost(rule, given, among)
            for entry in changed
            for given in self._keys(entry).given(entry.vanishing)
        )

    def _lost(self, rule: Rule, changed: sql.Composed, among: sql.Composed) -> int:
        query = statement("lost_parents").format(
            changed=changed,
            relation=_relation(rule.table, rule),
            present=_present(rule),
            among=among,
            parent=_relation(rule.parent or "", rule),
            pairs=_pairs(rule),
        )
        return fetch_number(self._connection, query)

    def _keys(self, changes: TableChanges) -> TargetKeys:
        table = self._followed.tables[changes.captured.number]
        return TargetKeys(self._connection, table, changes.captured.key)

    def _has_key(self, changed: list[TableChanges]) -> bool:
        return all(entry.captured.key for entry in changed)

    def _is_by_key(self, rule: Rule, changed: list[TableChanges]) -> bool:
        """Whether what is referred to is what the changelog has."""
        captured = changed[0].captured
        table = self._followed.tables[captured.number]
        targets = {column.source: column.target for column in table.columns}
        return tuple(targets[name] for name in captured.key) == rule.parent_columns

    def _bind_new_rows(self, rule: Rule) -> None:
        """Make the foreign key anew, so that it does not claim to hold for what is there."""
        name, relation = sql.Identifier(rule.name), _relation(rule.table, rule)
        definition = rule.create.as_string(self._connection)
        valid = sql.SQL("" if definition.upper().endswith("NOT VALID") else " not valid")
        drop = sql.SQL("alter table {} drop constraint {}").format(relation, name)
        self._connection.execute(drop)
        self._connection.execute(rule.create + valid)


def refusal(found: list[Orphans]) -> QuarantineError:
    """The error that names orphans."""
    return QuarantineError(
        "Rows of the source refer to rows that are not there: " + "; ".join(map(str, found)) + ". "
        "Nothing was changed.",
        "Correct them in SQLite: the correction arrives by itself. Or keep them with --orphans "
        "keep: their foreign keys then bind new rows alone.",
    )


def _relation(table: str, rule: Rule) -> sql.Identifier:
    return sql.Identifier(rule.schema, table)


def _pairs(rule: Rule) -> sql.Composed:
    return sql.SQL(" and ").join(
        sql.SQL("{} = {}").format(sql.Identifier("p", theirs), sql.Identifier("t", ours))
        for theirs, ours in zip(rule.parent_columns, rule.columns, strict=True)
    )


def _present(rule: Rule) -> sql.Composed:
    # A row with a NULL refers to nothing.
    return sql.SQL(" and ").join(
        sql.SQL("{} is not null").format(sql.Identifier("t", name)) for name in rule.columns
    )
