"""Capture on PostgreSQL's side: put in by the cutover, taken out when the way back is done with."""

from psycopg import sql

from migration.follow.followed import Followed
from migration.plan import TablePlan
from migration.statements import Connection, fetch, statement
from migration.target import identifier

#: Types whose values have one form in SQLite, so that a row can be found there by them.
_KEY_TYPES = frozenset(
    {"smallint", "integer", "bigint", "text", "character varying", "character", "bytea", "uuid"}
)


def prepare(connection: Connection, followed: Followed) -> None:
    """Log what is changed in PostgreSQL from now on, inside the cutover's transaction.

    Rows that following itself writes are not logged: triggers are quiet then.
    """
    undo(connection, followed.run_id)
    allow_writes(connection)
    for number, table in followed.tables.items():
        if table.impossible:
            continue
        key = key_columns(followed, number)
        arguments = (str(followed.run_id), str(number), *key)
        connection.execute(
            statement("reverse_capture" if key else "reverse_capture_whole").format(
                relation=identifier(table),
                arguments=sql.SQL(", ").join(map(sql.Literal, arguments)),
            )
        )


def undo(connection: Connection, run_id: int) -> None:
    """Take the capture of a run out, and what it logged."""
    _drop(connection, "migration.note_change()", run_id)
    connection.execute(statement("reverse_forget"), {"run_id": run_id})


def refuse_writes(connection: Connection, followed: Followed) -> None:
    """Refuse every write to the followed tables, with the reason."""
    for table in followed.tables.values():
        if not table.impossible:
            connection.execute(
                statement("reverse_block").format(
                    relation=identifier(table), run=sql.Literal(str(followed.run_id))
                )
            )


def allow_writes(connection: Connection) -> None:
    """Let everybody write again who may."""
    _drop(connection, "migration.refuse_change()", None)


def key_columns(followed: Followed, number: int) -> tuple[str, ...]:
    """The target's columns by which a row is found on both sides; empty where there are none."""
    table = followed.tables[number]
    by_source = {column.source: column for column in table.columns}
    key = [by_source[name] for name in followed.captured[number].key]
    if all(column.pg_type in _KEY_TYPES and not column.policy.chosen for column in key):
        return tuple(column.target for column in key)
    return ()


def captured_tables(followed: Followed) -> list[TablePlan]:
    """The tables that have a way back."""
    return [table for table in followed.tables.values() if not table.impossible]


def _drop(connection: Connection, function: str, run_id: int | None) -> None:
    for row in fetch(connection, "reverse_triggers", function=function, run_id=run_id):
        connection.execute(
            sql.SQL("drop trigger {} on {}").format(
                sql.Identifier(row["trigger_name"]),
                sql.Identifier(row["schema_name"], row["table_name"]),
            )
        )
