"""Each rule is created again; rows that break it leave the table first, and are refused."""

from collections.abc import Mapping
from contextlib import closing
from enum import Enum, auto
from pathlib import Path

import psycopg

from migration.constraints.catalogue import TakenDown, force_policies
from migration.constraints.expel import Loaded, count_orphans, expel
from migration.constraints.rule import Rule
from migration.plan import Plan
from migration.present import Present
from migration.quoting import quote_name
from migration.rows import RefusedRow
from migration.schema import LeftOut, Table
from migration.source import open_source
from migration.statements import Connection, is_impossible, said

#: A foreign key that most rows break, and not only a few, says nothing about the rows.
_MANY_ORPHANS = 100
_KINDS = {"f": "foreign key", "p": "primary key", "u": "unique key", "c": "check"}


def put_back(
    connection: Connection,
    snapshot: Path,
    plan: Plan,
    taken: TakenDown,
    present: Mapping[str, Present],
) -> tuple[list[RefusedRow], list[LeftOut]]:
    """Create every constraint and index again.

    Args:
        connection: inside the migration's transaction, with every row in place.
        snapshot: the source.
        plan: which tables.
        taken: what was taken down.
        present: by table, the rows that were there before: these stay whatever a constraint says.

    Returns:
        The rows that broke a constraint (they are no longer in the target), and what
        could not be created for another reason.
    """
    tables = {table.target: Loaded(table, present.get(table.target)) for table in plan.tables}
    refused: list[RefusedRow] = []
    left_out: list[LeftOut] = []
    for rule in (rule for rule in taken.rules if rule.kind != "f"):
        refused += _create(connection, snapshot, tables, rule, left_out)
    foreign_keys = [rule for rule in taken.rules if rule.kind == "f"]
    refused += _create_foreign_keys(connection, snapshot, tables, foreign_keys, left_out)
    for relation in taken.forced:
        force_policies(connection, relation, on=True)
    return refused, left_out


def _create(
    connection: Connection,
    snapshot: Path,
    tables: Mapping[str, Loaded],
    rule: Rule,
    left_out: list[LeftOut],
) -> list[RefusedRow]:
    if _try(connection, rule, left_out) is not Made.BROKEN:
        return []
    if rule.source and not _broken_in_source(snapshot, tables[rule.table].table.table, rule.source):
        why = "its rows keep it in SQLite and break it in PostgreSQL"
        left_out.append(LeftOut(kind="check", name=f"{rule.table}.{rule.name}", why=why))
        return []
    loaded = tables[rule.table]
    before = set(loaded.left)
    try:
        with connection.transaction():
            refused = expel(connection, snapshot, rule, loaded)
            connection.execute(rule.create)
    except psycopg.Error as error:
        # A row breaks it, and of another one PostgreSQL cannot compute it.
        if not is_impossible(error):
            raise
        loaded.left.intersection_update(before)
        left_out.append(_impossible(rule, error))
        return []
    return refused


def _impossible(rule: Rule, error: psycopg.Error) -> LeftOut:
    kind = _KINDS.get(rule.kind, "index")
    return LeftOut(kind=kind, name=f"{rule.table}.{rule.name}", why=said(error))


def _broken_in_source(snapshot: Path, table: Table, check: str) -> bool:
    with closing(open_source(snapshot, immutable=True)) as connection:
        query = f"select 1 from {quote_name(table.name)} where not ({check}) limit 1"  # noqa: S608
        return connection.execute(query).fetchone() is not None


def _create_foreign_keys(
    connection: Connection,
    snapshot: Path,
    tables: Mapping[str, Loaded],
    rules: list[Rule],
    left_out: list[LeftOut],
) -> list[RefusedRow]:
    """All foreign keys; orphans are expelled until none is left.

    A row that leaves may be the parent of others, in any table: hence the rounds, before the
    first foreign key stands in the way of a deletion.
    """
    refused: list[RefusedRow] = []
    with connection.transaction() as attempt:
        impossible: list[LeftOut] = []
        results = [_try(connection, rule, impossible) for rule in rules]
        left_out += impossible
        if Made.BROKEN not in results:
            return refused
        raise psycopg.Rollback(attempt)
    possible = [
        rule
        for rule, made in zip(rules, results, strict=True)
        if made is not Made.IMPOSSIBLE and not _is_no_key(connection, rule, made, left_out)
    ]
    while True:
        expelled = [
            row
            for rule in possible
            if _is_loaded(rule, tables) and not rule.keeps_orphans
            for row in expel(connection, snapshot, rule, tables[rule.table])
        ]
        refused += expelled
        if not expelled:
            break
    for rule in possible:
        if not rule.keeps_orphans:
            connection.execute(rule.create)
        elif _try(connection, rule, left_out) is Made.BROKEN:
            why = "it has orphans, which are kept by policy"
            left_out.append(LeftOut(kind="foreign key", name=f"{rule.table}.{rule.name}", why=why))
    return refused


def _is_loaded(rule: Rule, tables: Mapping[str, Loaded]) -> bool:
    return rule.table in tables and tables[rule.table].table.schema_name == rule.schema


def _is_no_key(connection: Connection, rule: Rule, made: "Made", left_out: list[LeftOut]) -> bool:
    """Whether a created table's foreign key is a slip of its author, which nobody ever checked."""
    if made is not Made.BROKEN or not rule.created or rule.keeps_orphans:
        return False
    orphans, children = count_orphans(connection, rule)
    if orphans < _MANY_ORPHANS or 2 * orphans < children:
        return False
    why = f"{orphans} of its {children} rows have no parent: that is no key, so all rows are kept"
    left_out.append(LeftOut(kind="foreign key", name=f"{rule.table}.{rule.name}", why=why))
    return True


class Made(Enum):
    """What became of an attempt to create a constraint."""

    CREATED = auto()
    #: Rows break it.
    BROKEN = auto()
    #: PostgreSQL has no such constraint, whatever the rows are.
    IMPOSSIBLE = auto()


def _try(connection: Connection, rule: Rule, left_out: list[LeftOut]) -> Made:
    """Try to create a constraint, within a savepoint; what cannot exist at all is noted."""
    try:
        with connection.transaction():
            connection.execute(rule.create)
    except psycopg.errors.IntegrityError:
        return Made.BROKEN
    except psycopg.Error as error:
        if not is_impossible(error):
            raise
        left_out.append(_impossible(rule, error))
        return Made.IMPOSSIBLE
    return Made.CREATED
