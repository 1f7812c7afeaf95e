"""The constraints and indexes of tables that the migration creates, as the plan has them."""

from collections.abc import Iterable

from psycopg import sql

from migration.constraints.rule import Rule
from migration.plan import CheckPlan, ForeignKeyPlan, IndexPlan, TablePlan
from migration.policies import Orphans
from migration.statements import trusted
from migration.target import identifier

_ACTIONS = {
    "NO ACTION": sql.SQL("no action"),
    "RESTRICT": sql.SQL("restrict"),
    "CASCADE": sql.SQL("cascade"),
    "SET NULL": sql.SQL("set null"),
    "SET DEFAULT": sql.SQL("set default"),
}


def planned_rules(table: TablePlan) -> list[Rule]:
    """The rules of one created table; foreign keys last."""
    rules = [_primary_key(table)] if table.primary_key else []
    rules += [_check(table, check) for check in table.checks]
    rules += [_index(table, index) for index in table.indexes]
    return rules + [_foreign_key(table, key) for key in table.foreign_keys]


def _primary_key(table: TablePlan) -> Rule:
    create = sql.SQL("alter table {} add primary key ({})").format(
        identifier(table), _names(table.primary_key)
    )
    name = f"{table.target}_pkey"
    return Rule(table.schema_name, table.target, name, "p", create, table.primary_key)


def _check(table: TablePlan, check: CheckPlan) -> Rule:
    create = sql.SQL("alter table {} add constraint {} check ({})").format(
        identifier(table), sql.Identifier(check.name), trusted(check.expression)
    )
    return Rule(
        schema=table.schema_name,
        table=table.target,
        name=check.name,
        kind="c",
        create=create,
        columns=(),
        expression=check.expression,
        source=check.source,
    )


def _index(table: TablePlan, index: IndexPlan) -> Rule:
    keys = [
        sql.SQL("{} desc" if descending else "{}").format(trusted(key))
        for key, descending in zip(index.keys, index.descending, strict=True)
    ]
    create = sql.SQL("create {}index {} on {} ({}){}").format(
        sql.SQL("unique " if index.unique else ""),
        sql.Identifier(index.name),
        identifier(table),
        sql.SQL(", ").join(keys),
        sql.SQL(" where {}").format(trusted(index.where)) if index.where else sql.SQL(""),
    )
    return Rule(
        schema=table.schema_name,
        table=table.target,
        name=index.name,
        kind="i",
        create=create,
        columns=(),
        keys=index.keys,
        where=index.where,
    )


def _foreign_key(table: TablePlan, key: ForeignKeyPlan) -> Rule:
    create = sql.SQL(
        "alter table {} add foreign key ({}) references {} ({}) on update {} on delete {}{}"
    ).format(
        identifier(table),
        _names(key.columns),
        sql.Identifier(table.schema_name, key.parent),
        _names(key.references),
        _ACTIONS[key.on_update],
        _ACTIONS[key.on_delete],
        sql.SQL(" deferrable initially deferred" if key.deferred else ""),
    )
    return Rule(
        schema=table.schema_name,
        table=table.target,
        name=f"{table.target}_{'_'.join(key.columns)}_fkey",
        kind="f",
        create=create,
        columns=key.columns,
        parent=key.parent,
        parent_columns=key.references,
        created=True,
        keeps_orphans=table.orphans is Orphans.KEEP,
    )


def _names(columns: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))
