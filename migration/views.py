"""Views, once everything that they read is there: each one tried, and its rows counted."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import psycopg
from psycopg import sql

from migration.plan import Plan, ViewPlan
from migration.quoting import quote_name
from migration.schema import LeftOut
from migration.source import open_source
from migration.statements import Connection, fetch_number, is_impossible, said, trusted

#: A view that takes longer than this in either database is created without being compared.
_VIEW_SECONDS = 10


def create_views(
    connection: Connection, snapshot: Path, plan: Plan, *, compare: bool
) -> list[LeftOut]:
    """The views of the plan.

    Args:
        connection: the target, within the migration's transaction.
        snapshot: the source.
        plan: what becomes of it.
        compare: no row is missing, so a view that has other rows than in SQLite means
            something else, and is left out.

    Returns:
        The views that could not be had, and why.
    """
    left_out: list[LeftOut] = []
    for view in plan.views:
        create = sql.SQL("create view {} ({}) with (security_invoker = true) as {}").format(
            sql.Identifier(plan.schema_name, view.target),
            sql.SQL(", ").join(map(sql.Identifier, view.columns)),
            trusted(view.select),
        )
        try:
            with connection.transaction():
                connection.execute(create)
                if compare:
                    _compare(connection, snapshot, plan, view)
        except _DifferentError as refusal:
            left_out.append(LeftOut(kind="view", name=view.source, why=str(refusal)))
        except psycopg.Error as error:
            if not is_impossible(error):
                raise
            left_out.append(LeftOut(kind="view", name=view.source, why=said(error)))
    return left_out


class _DifferentError(Exception):
    """The view is not what it was; undoes what was made within the savepoint."""


def _compare(connection: Connection, snapshot: Path, plan: Plan, view: ViewPlan) -> None:
    """Count the view's rows in both databases, if that can be done in reasonable time."""
    expected = _rows_in_source(snapshot, view)
    if expected is None:
        return
    name = sql.Identifier(plan.schema_name, view.target)
    limit = sql.SQL("set local statement_timeout = {}")
    try:
        with connection.transaction():
            connection.execute(limit.format(sql.Literal(_VIEW_SECONDS * 1000)))
            rows = fetch_number(connection, sql.SQL("select count(*) from {}").format(name))
            connection.execute(limit.format(sql.Literal(0)))
    except psycopg.errors.QueryCanceled:
        return
    if rows != expected:
        raise _DifferentError(f"it has {rows} rows in PostgreSQL and {expected} in SQLite")


def _rows_in_source(snapshot: Path, view: ViewPlan) -> int | None:
    with closing(open_source(snapshot, immutable=True)) as source:
        deadline = time.monotonic() + _VIEW_SECONDS
        source.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
        query = f"select count(*) from {quote_name(view.source)}"  # noqa: S608
        try:
            rows: int = source.execute(query).fetchone()[0]
        except sqlite3.Error as error:
            if time.monotonic() > deadline:
                return None
            raise _DifferentError(f"SQLite cannot read it: {error}") from error
        return rows
