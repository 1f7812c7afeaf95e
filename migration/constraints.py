"""Constraints and indexes: taken down before the load, put back after it, from the catalogue.

A constraint that does not hold names its rows: they leave the table and go to quarantine, and
the constraint is tried again. It all happens inside the caller's transaction.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

import psycopg
from psycopg import sql

from migration.canonical import field_of, row_digest, sql_digest
from migration.plan import Plan, TablePlan
from migration.planned import planned_rules
from migration.present import Present
from migration.quoting import quote_name
from migration.rows import RefusedRow, RowConverter
from migration.rule import Rule
from migration.schema import LeftOut, Table
from migration.source import Row, open_source, read_rows
from migration.statements import Connection, fetch, statement, trusted
from migration.target import identifier

#: SQLSTATE classes of what PostgreSQL cannot have: an expression that it does not accept or
#: cannot compute, a key that is too long for an index, types that cannot be compared.
_IMPOSSIBLE = ("0A", "22", "42", "54")
#: A foreign key that most rows break, and not only a few, says nothing about the rows.
_MANY_ORPHANS = 100
_KINDS = {"f": "foreign key", "p": "primary key", "u": "unique key", "c": "check"}


@dataclass(frozen=True)
class _Loaded:
    """A table of the plan, and the rows that were in it before."""

    table: TablePlan
    present: Present | None
    #: Positions of the source rows that left it. Rows that differ in the source may be equal in
    #: the target, and be expelled by different rules: each of them leaves once.
    left: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class TakenDown:
    """What has to be put back, in this order."""

    rules: tuple[Rule, ...]
    #: Tables whose policies bind their owner too.
    forced: tuple[sql.Identifier, ...]


def take_down(connection: Connection, plan: Plan) -> TakenDown:
    """Drop the constraints and indexes of the known tables that are loaded, keeping each text.

    Row-level security that binds the owner is lifted too, since COPY refuses such tables.
    """
    tables = [table.target for table in plan.tables if table.known]
    scope = {"schema": plan.schema_name, "tables": tables}
    constraints = [_constraint(row) for row in fetch(connection, "constraints", **scope)]
    indexes = [_index(plan.schema_name, row) for row in fetch(connection, "indexes", **scope)]
    forced = [
        sql.Identifier(plan.schema_name, row["relname"])
        for row in fetch(connection, "forced_policies", **scope)
    ]
    # Foreign keys go first, since they rest on the keys of others, and come back last.
    for rule in sorted(constraints, key=lambda rule: rule.kind != "f"):
        connection.execute(
            sql.SQL("alter table {} drop constraint {}").format(
                sql.Identifier(rule.schema, rule.table), sql.Identifier(rule.name)
            )
        )
    for rule in indexes:
        connection.execute(sql.SQL("drop index {}").format(sql.Identifier(rule.schema, rule.name)))
    for relation in forced:
        _force_policies(connection, relation, on=False)
    created = [rule for table in plan.loadable if not table.known for rule in planned_rules(table)]
    return TakenDown((*constraints, *indexes, *created), tuple(forced))


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
    tables = {table.target: _Loaded(table, present.get(table.target)) for table in plan.tables}
    refused: list[RefusedRow] = []
    left_out: list[LeftOut] = []
    for rule in (rule for rule in taken.rules if rule.kind != "f"):
        refused += _create(connection, snapshot, tables, rule, left_out)
    foreign_keys = [rule for rule in taken.rules if rule.kind == "f"]
    refused += _create_foreign_keys(connection, snapshot, tables, foreign_keys, left_out)
    for relation in taken.forced:
        _force_policies(connection, relation, on=True)
    return refused, left_out


def _create(
    connection: Connection,
    snapshot: Path,
    tables: Mapping[str, _Loaded],
    rule: Rule,
    left_out: list[LeftOut],
) -> list[RefusedRow]:
    if _try(connection, rule, left_out) is not Made.BROKEN:
        return []
    if rule.source and not _broken_in_source(snapshot, tables[rule.table].table.table, rule.source):
        why = "its rows keep it in SQLite and break it in PostgreSQL"
        left_out.append(LeftOut(kind="check", name=f"{rule.table}.{rule.name}", why=why))
        return []
    refused = _expel(connection, snapshot, rule, tables[rule.table])
    connection.execute(rule.create)
    return refused


def _broken_in_source(snapshot: Path, table: Table, check: str) -> bool:
    with closing(open_source(snapshot, immutable=True)) as connection:
        query = f"select 1 from {quote_name(table.name)} where not ({check}) limit 1"  # noqa: S608
        return connection.execute(query).fetchone() is not None


def _create_foreign_keys(
    connection: Connection,
    snapshot: Path,
    tables: Mapping[str, _Loaded],
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
            for row in _expel(connection, snapshot, rule, tables[rule.table])
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


def _is_loaded(rule: Rule, tables: Mapping[str, _Loaded]) -> bool:
    return rule.table in tables and tables[rule.table].table.schema_name == rule.schema


def _is_no_key(connection: Connection, rule: Rule, made: "Made", left_out: list[LeftOut]) -> bool:
    """Whether a created table's foreign key is a slip of its author, which nobody ever checked."""
    if made is not Made.BROKEN or not rule.created or rule.keeps_orphans:
        return False
    columns = [sql.Identifier("t", name) for name in rule.columns]
    row = connection.execute(
        statement("count_orphans").format(
            orphans=_offenders(rule, None),
            relation=sql.Identifier(rule.schema, rule.table),
            present=_all(sql.SQL("{} is not null"), columns),
        )
    ).fetchone()
    assert row is not None
    orphans, children = int(str(row[0])), int(str(row[1]))
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
        if not (error.sqlstate or "").startswith(_IMPOSSIBLE):
            raise
        kind = _KINDS.get(rule.kind, "index")
        why = ". ".join(filter(None, (error.diag.message_primary, error.diag.message_detail)))
        left_out.append(LeftOut(kind=kind, name=f"{rule.table}.{rule.name}", why=why))
        return Made.IMPOSSIBLE
    return Made.CREATED


def _expel(connection: Connection, snapshot: Path, rule: Rule, loaded: _Loaded) -> list[RefusedRow]:
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


def _matching(
    snapshot: Path, table: TablePlan, wanted: dict[str, int]
) -> Iterator[tuple[Row, str]]:
    """The source rows with one of these digests."""
    convert = RowConverter(table).convert
    fields = [field_of(entry) for entry in table.columns]
    for row in read_rows(snapshot, table.table):
        converted = convert(row)
        if not isinstance(converted, RefusedRow):
            digest = row_digest(fields, converted).hex()
            if digest in wanted:
                yield row, digest


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
    filled = _all(sql.SQL("{} is not null"), columns)
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


def _all(template: sql.SQL, columns: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(" and ").join(template.format(column) for column in columns)


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


def _constraint(row: dict[str, object]) -> Rule:
    schema = str(row["schema_name"])
    create = sql.SQL("alter table {} add constraint {} {}").format(
        sql.Identifier(schema, str(row["table_name"])),
        sql.Identifier(str(row["name"])),
        # The definition is PostgreSQL's own text for what it dropped a moment ago.
        trusted(str(row["definition"])),
    )
    return Rule(
        schema=schema,
        table=str(row["table_name"]),
        name=str(row["name"]),
        kind=str(row["kind"]),
        create=create,
        columns=tuple(row["columns"]),  # type: ignore[arg-type]
        parent=str(row["parent"]) if row["parent"] else None,
        parent_columns=tuple(row["parent_columns"]),  # type: ignore[arg-type]
        expression=str(row["expression"]) if row["expression"] else None,
    )


def _index(schema: str, row: dict[str, object]) -> Rule:
    return Rule(
        schema=schema,
        table=str(row["table_name"]),
        name=str(row["name"]),
        kind="i",
        create=sql.Composed([trusted(str(row["definition"]))]),
        columns=tuple(row["columns"]),  # type: ignore[arg-type]
        keys=tuple(row["keys"]),  # type: ignore[arg-type]
        where=str(row["condition"]) if row["condition"] else None,
    )


def _force_policies(connection: Connection, relation: sql.Identifier, *, on: bool) -> None:
    connection.execute(
        sql.SQL("alter table {} {} row level security").format(
            relation, sql.SQL("force" if on else "no force")
        )
    )
