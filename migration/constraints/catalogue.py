"""The constraints and indexes of tables that are there: taken down, each with its own text."""

from dataclasses import dataclass

from psycopg import sql

from migration.constraints.planned import planned_rules
from migration.constraints.rule import Rule
from migration.plan import Plan
from migration.statements import Connection, fetch, trusted


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
        force_policies(connection, relation, on=False)
    created = [rule for table in plan.loadable if not table.known for rule in planned_rules(table)]
    return TakenDown((*constraints, *indexes, *created), tuple(forced))


def foreign_keys(connection: Connection, plan: Plan) -> list[Rule]:
    """The foreign keys that the tables of a plan have in the target."""
    scope = {"schema": plan.schema_name, "tables": [table.target for table in plan.tables]}
    rules = [_constraint(row) for row in fetch(connection, "constraints", **scope)]
    return [rule for rule in rules if rule.kind == "f"]


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


def force_policies(connection: Connection, relation: sql.Identifier, *, on: bool) -> None:
    """Let policies bind the owner of the table too, or lift that."""
    connection.execute(
        sql.SQL("alter table {} {} row level security").format(
            relation, sql.SQL("force" if on else "no force")
        )
    )
