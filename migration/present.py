"""Rows that the target holds before a migration: in the way, thrown away, or merged with.

Invariant of a merge: a row that was there is never changed or removed. A row of the source that
equals one of them counts as already there; one that has its key and other values is refused.
The rows are known by their place (ctid), which cannot change while nobody updates them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from psycopg import sql

from database.errors import TargetError
from database.settings import Server
from migration.buckets import Buckets, fetch_buckets, target_buckets
from migration.canonical import sql_digest
from migration.digest import fetch_digest
from migration.plan import Plan, TablePlan
from migration.statements import Connection, fetch, fetch_number, statement
from migration.target import identifier


class Existing(StrEnum):
    """What becomes of rows that are in the tables already."""

    REFUSE = "refuse"
    REPLACE = "replace"
    MERGE = "merge"


@dataclass
class Present:
    """The rows of one table that were there before the load."""

    table: TablePlan
    #: Temporary table of (row_id, matched): their places, and whether the source has them too.
    places: sql.Identifier
    #: Their content before the load.
    before: Buckets
    #: How many of them the source has too.
    matched: int = 0
    #: The content of those that the source has not.
    others: Buckets = field(default_factory=Buckets)

    def is_one(self, row_id: sql.Composable) -> sql.Composed:
        """A condition: the row at this place was there before."""
        return sql.SQL("exists (select from {} as e where e.row_id = {})").format(
            self.places, row_id
        )


def rows_present(connection: Connection, plan: Plan) -> dict[str, int]:
    """Rows that are already in the tables that would be loaded; empty tables are left out."""
    found = {}
    for table in plan.tables:
        if table.known:
            query = sql.SQL("select count(*) from {}").format(identifier(table))
            if rows := fetch_number(connection, query):
                found[table.target] = rows
    return found


def refuse_present(
    connection: Connection, server: Server, plan: Plan, existing: Existing
) -> dict[str, int]:
    """Count the rows that are there.

    Raises:
        TargetError: there are some and they may be neither replaced nor merged with, or other
            tables refer to rows that would be replaced.
    """
    present = rows_present(connection, plan)
    if present and existing is Existing.REFUSE:
        raise TargetError(
            f"{server} already holds data: {_listed(present)}.",
            "Nothing was changed. Migrate into an empty database (POSTGRES_DB names it) or schema "
            "(--schema), empty these tables first (--replace), or add to them (--merge).",
        )
    if present and existing is Existing.REPLACE:
        _refuse_referenced(connection, plan)
    return present


def lock(connection: Connection, plan: Plan) -> None:
    """Keep others from writing to the tables until the end of the transaction."""
    known = [identifier(table) for table in plan.tables if table.known]
    if known:
        connection.execute(
            sql.SQL("lock table {} in exclusive mode").format(sql.SQL(", ").join(known))
        )


def throw_away(connection: Connection, plan: Plan, present: Iterable[str]) -> None:
    """Empty these tables of the plan. Their foreign keys must have been taken down."""
    chosen = set(present)
    tables = [identifier(table) for table in plan.tables if table.target in chosen]
    if tables:
        connection.execute(sql.SQL("truncate {}").format(sql.SQL(", ").join(tables)))


def remember(connection: Connection, plan: Plan, present: Iterable[str]) -> dict[str, Present]:
    """Note the place and the content of every row of these tables of the plan."""
    chosen = set(present)
    found = {}
    for position, table in enumerate(plan.tables):
        if table.target not in chosen:
            continue
        places = sql.Identifier("pg_temp", f"present_{position}")
        connection.execute(
            statement("remember_places").format(places=places, relation=identifier(table))
        )
        connection.execute(sql.SQL("analyze {}").format(places))
        digests = sql_digest(table.columns, identifier(table))
        found[table.target] = Present(table, places, target_buckets(connection, digests))
    return found


def match(connection: Connection, present: Present) -> int:
    """Take loaded rows that equal one that was there out again, one for one; count them."""
    table = present.table
    query = statement("match_present").format(
        digests=sql_digest(table.columns, identifier(table)),
        places=present.places,
        relation=identifier(table),
    )
    matched = fetch_buckets(connection, query)
    present.matched = matched.whole().rows
    present.others = present.before.without(matched)
    return present.matched


def changed(connection: Connection, present: Iterable[Present]) -> list[str]:
    """The tables in which a row that was there before is not what it was."""
    found = []
    for entry in present:
        relation = identifier(entry.table)
        digests = sql.SQL("select d.* from ({}) as d where {}").format(
            sql_digest(entry.table.columns, relation), entry.is_one(sql.SQL("d.row_id"))
        )
        if not entry.before.whole().equals(fetch_digest(connection, digests)):
            found.append(entry.table.target)
    return found


def keep_others(connection: Connection, run_id: int, present: Iterable[Present]) -> None:
    """Note the content of the rows that are not the source's, so that `verify` can tell later."""
    with connection.cursor() as cursor:
        cursor.executemany(
            statement("add_other_rows"),
            [
                {
                    "run_id": run_id,
                    "table_name": entry.table.target,
                    "bucket": bucket,
                    "rows": rows,
                    "total": total,
                }
                for entry in present
                for bucket, (rows, total) in entry.others.sums.items()
                if rows
            ],
        )


def other_rows(connection: Connection, run_id: int) -> dict[str, Buckets]:
    """The content of the rows that were there before a run and are not its source's, by table."""
    found: dict[str, Buckets] = {}
    for row in fetch(connection, "other_rows", run_id=run_id):
        buckets = found.setdefault(row["table_name"], Buckets())
        buckets.sums[row["bucket"]] = (row["rows"], int(row["total"]))
    return found


def _refuse_referenced(connection: Connection, plan: Plan) -> None:
    tables = [table.target for table in plan.tables if table.known]
    scope = {"schema": plan.schema_name, "tables": tables}
    found: dict[str, int | None] = {}
    for row in fetch(connection, "references", **scope):
        name = f"{row['schema_name']}.{row['table_name']}"
        if not row["is_readable"]:
            found[name] = None
            continue
        relation = sql.Identifier(row["schema_name"], row["table_name"])
        query = sql.SQL("select count(*) from {} where {}").format(
            relation,
            sql.SQL(" and ").join(
                sql.SQL("{} is not null").format(sql.Identifier(name)) for name in row["columns"]
            ),
        )
        if rows := fetch_number(connection, query):
            found[name] = rows
    if found:
        raise TargetError(
            f"Rows of other tables refer to the rows that would be replaced: {_listed(found)}.",
            "Nothing was changed. Empty these tables first, or add to the rows with --merge.",
        )


def _listed(rows: Mapping[str, int | None]) -> str:
    return ", ".join(
        f"{name} ({'may not be read' if count is None else f'{count} rows'})"
        for name, count in sorted(rows.items())
    )
