"""Values for columns that an older source lacks: the platform's own defaults, kept in sql/.

`sql/25_backfills.sql` is a list of (table, column, expression); it is read here as data, so
that an upgraded schema and a migrated older source get the same values.
"""

import re
from functools import cache

from psycopg import sql

from database.apply import SQL_DIRECTORY
from migration.plan import Plan
from migration.statements import Connection, trusted
from migration.target import identifier

_ENTRY = re.compile(r"^\('(\w+)', '(\w+)', '((?:[^']|'')*)'\)[,;]$", re.MULTILINE)


@cache
def backfills() -> dict[tuple[str, str], str]:
    """(table, column) → SQL expression."""
    text = (SQL_DIRECTORY / "25_backfills.sql").read_text()
    return {
        (table, column): expression.replace("''", "'")
        for table, column, expression in _ENTRY.findall(text)
    }


def set_defaults(connection: Connection, plan: Plan, *, on: bool) -> None:
    """Give the lacking columns their values as defaults for the load, or take those away again."""
    for table in plan.tables:
        for column in table.backfilled:
            action = (
                sql.SQL("set default {}").format(trusted(backfills()[table.target, column]))
                if on
                else sql.SQL("drop default")
            )
            connection.execute(
                sql.SQL("alter table {} alter column {} {}").format(
                    identifier(table), sql.Identifier(column), action
                )
            )
