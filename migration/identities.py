"""Numbers that PostgreSQL gives to new rows go on above every number that was ever given."""

from collections.abc import Collection

from psycopg import sql

from migration.plan import Plan
from migration.schema import LeftOut
from migration.statements import Connection, fetch, fetch_number, statement


def reset_identities(
    connection: Connection, plan: Plan, merged: Collection[str] = ()
) -> list[LeftOut]:
    """Let every identity and serial go on above the largest number, and SQLite's high-water mark.

    Args:
        connection: inside the migration's transaction, with every row in place.
        plan: which tables.
        merged: tables that had rows before; what their sequences have given is not given again.

    Returns:
        The sequences that have no number left; PostgreSQL refuses to count any further (2200H).
    """
    marks = {table.target: table.table.high_water_mark or 0 for table in plan.tables}
    exhausted = []
    scope = {"schema": plan.schema_name, "tables": list(marks)}
    for row in fetch(connection, "identities", **scope):
        name, column = row["table_name"], row["column_name"]
        query = sql.SQL("select coalesce(max({}), 0) from {}").format(
            sql.Identifier(column), sql.Identifier(plan.schema_name, name)
        )
        largest = fetch_number(connection, query)
        reached = max(largest, marks[name], row["position"] if name in merged else 0)
        following = max(reached + 1, row["lowest"])
        sequence = sql.Identifier(row["sequence_schema"], row["sequence_name"])
        # ALTER rather than setval: it is undone with the transaction.
        restart = sql.SQL("alter sequence {} restart with {}").format(
            sequence, sql.Literal(min(following, row["highest"]))
        )
        connection.execute(restart)
        if following > row["highest"]:
            # The highest number counts as given: else it would be given twice.
            text = sql.Literal(sequence.as_string(connection))
            connection.execute(sql.SQL("select nextval({})").format(text))
            why = (
                f"its numbers are used up: {reached} was given, and {row['highest']} is the last; "
                "rows without a number of their own will be refused"
            )
            exhausted.append(LeftOut(kind="identity", name=f"{name}.{column}", why=why))
    return exhausted


def lift_identities(connection: Connection, schema: str, table: str) -> None:
    """Let numbers go on above those that came in while others write; none ever goes back."""
    for row in fetch(connection, "identities", schema=schema, tables=[table]):
        sequence = sql.Identifier(row["sequence_schema"], row["sequence_name"])
        connection.execute(
            statement("lift_identity").format(
                identity=sql.Identifier(row["column_name"]),
                relation=sql.Identifier(schema, table),
                sequence=sql.Literal(sequence.as_string(connection)),
                state=sequence,
            )
        )
