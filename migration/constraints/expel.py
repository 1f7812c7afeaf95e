"""Rows that break a rule: found in the target, taken out of it, and found again in the source."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from psycopg import sql

from migration.canonical import sql_digest
from migration.constraints.rule import Rule
from migration.digest import RowDigester
from migration.plan import TablePlan
from migration.present import Present
from migration.rows import RefusedRow
from migration.source import Row
from migration.statements import Connection, statement, trusted
from migration.target import identifier


@dataclass(frozen=True)
class Loaded:
    """A table of the plan, and the rows that were in it before."""

    table: TablePlan
    present: Present | None
    #: Positions of the source rows that left it. Rows that differ in the source may be equal in
    #: the target, and be expelled by different rules: each of them leaves once.
    left: set[int] = field(default_factory=set)


def expel(connection: Connection, snapshot: Path, rule: Rule, loaded: Loaded) -> list[RefusedRow]:
    """Delete the rows that break a rule and find them again in the source by their digests."""
    table, present = loaded.table, loaded.present
    query = statement("expel").format(
        offenders=_offenders(rule, present),
        was_there=_was_there(present, sql.SQL("o.row_id")),
        digests=sql_digest(table.columns, identifier(table)),
        relation=identifier(table),
    )
    wanted: dict[str, int] = {}
    # Whether a row that was there before is in the way.
    earlier: dict[str, bool] = {}
    for digest, beside_earlier in connection.execute(query).fetchall():
        wanted[str(digest)] = wanted.get(str(digest), 0) + 1
        earlier[str(digest)] = bool(beside_earlier)
    if not wanted:
        return []
    column = rule.columns[0] if len(rule.columns) == 1 else None
    refused = []
    # Of equal rows the later ones are expelled: so the found rows are taken from the end.
    for row, digest in reversed(list(_matching(snapshot, table, wanted))):
        if wanted[digest] and row.position not in loaded.left:
            wanted[digest] -= 1
            loaded.left.add(row.position)
            reason, sqlstate = _reason(rule, beside_earlier=earlier[digest])
            refused.append(RefusedRow(table, row, column, reason, sqlstate))
    return refused[::-1]


def count_orphans(connection: Connection, rule: Rule) -> tuple[int, int]:
    """How many rows break a foreign key, and how many it concerns."""
    columns = [sql.Identifier("t", name) for name in rule.columns]
    row = connection.execute(
        statement("count_orphans").format(
            orphans=_offenders(rule, None),
            relation=sql.Identifier(rule.schema, rule.table),
            present=_filled(columns),
        )
    ).fetchone()
    assert row is not None
    return int(str(row[0])), int(str(row[1]))


def _matching(
    snapshot: Path, table: TablePlan, wanted: dict[str, int]
) -> Iterator[tuple[Row, str]]:
    """The source rows with one of these digests."""
    for batch, digests in RowDigester(table).scan(snapshot):
        for number, digest in enumerate(digests):
            if digest is not None and digest.hex() in wanted:
                yield batch.row(number), digest.hex()


def _offenders(rule: Rule, present: Present | None) -> sql.Composable:
    """A query for the ctid of every row that breaks the rule.

    It also says whether a row that was there before is in the way.
    """
    relation = sql.Identifier(rule.schema, rule.table)
    columns = [sql.Identifier("t", name) for name in rule.columns]
    was_there = _was_there(present, sql.SQL("t.ctid"))
    if rule.keys:
        keys = [trusted(key) for key in rule.keys]
        conditions = [sql.SQL("({}) is not null").format(key) for key in keys]
        conditions += [sql.SQL("({})").format(trusted(rule.where))] if rule.where else []
        return statement("repeated_keys").format(
            columns=sql.SQL(", ").join(keys),
            relation=relation,
            present=sql.SQL(" and ").join(conditions),
            was_there=was_there,
        )
    filled = _filled(columns)
    if rule.kind == "f":
        assert rule.parent is not None
        pairs = [
            sql.SQL("p.{} = {}").format(sql.Identifier(theirs), ours)
            for theirs, ours in zip(rule.parent_columns, columns, strict=True)
        ]
        return statement("orphans").format(
            relation=relation,
            present=filled,
            parent=sql.Identifier(rule.schema, rule.parent),
            pairs=sql.SQL(" and ").join(pairs),
        )
    if rule.kind == "c":
        expression = trusted(rule.expression or "true")
        return statement("failed_checks").format(relation=relation, expression=expression)
    return statement("repeated_keys").format(
        columns=sql.SQL(", ").join(columns),
        relation=relation,
        present=filled,
        was_there=was_there,
    )


def _was_there(present: Present | None, row_id: sql.Composable) -> sql.Composable:
    return sql.SQL("false") if present is None else present.is_one(row_id)


def _filled(columns: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(" and ").join(sql.SQL("{} is not null").format(name) for name in columns)


def _reason(rule: Rule, *, beside_earlier: bool) -> tuple[str, str]:
    names = ", ".join(rule.columns or rule.keys)
    if rule.kind == "f":
        return f"no row in {rule.parent} for ({names}); foreign key {rule.name}", "23503"
    if rule.kind == "c":
        return f"breaks the check {rule.name}", "23514"
    if beside_earlier:
        return (
            f"a different row with the same ({names}) was in the target before; "
            f"unique key {rule.name}"
        ), "23505"
    return f"a row with the same ({names}) is already there; unique key {rule.name}", "23505"
