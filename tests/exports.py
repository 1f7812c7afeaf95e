"""What the tests of exports share: the command, and the comparison with the file from before."""

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from database.settings import Server
from migration.digest import RowDigester, source_digest
from migration.plan import Plan, TablePlan
from migration.rows import rows_at
from migration.schema import Table, read_schema
from tests.programs import environment, query, run_python


def export(
    server: Server, path: Path, *options: str, **settings: object
) -> subprocess.CompletedProcess[str]:
    variables = environment(server, **settings)
    return run_python("scripts/backup.py", "export-sqlite", path, *options, variables=variables)


def differing(server: Server, before: Path, after: Path) -> list[str]:
    """The tables that are not the same in both files, quarantined rows left out of the first.

    Both are read as the migration reads a source: by the plan of the last run into the server.
    """
    ((run, stored),) = query(server, "select id, plan from migration.run order by id desc limit 1")
    plan = Plan.model_validate(stored)
    positions: dict[str, set[int]] = {}
    for table, position in query(
        server,
        "select table_name, coalesce(source_position, (source_key ->> 'position')::bigint)"
        f" from migration.quarantine where run_id = {run}",
    ):
        positions.setdefault(str(table), set()).add(int(str(position)))
    with closing(sqlite3.connect(f"file:{after}?mode=ro", uri=True)) as file:
        exported = {table.name: table for table in read_schema(file).tables}
    return [
        table.target
        for table in plan.loadable
        if not _is_same(table, positions.get(table.target, set()), before, after, exported)
    ]


def _is_same(
    table: TablePlan, refused: set[int], before: Path, after: Path, exported: dict[str, Table]
) -> bool:
    expected = source_digest(before, table)
    digester = RowDigester(table)
    for row in rows_at(before, table, refused) if refused else ():
        digest = digester.digest_of(row)
        if digest is not None:
            expected.add(digest, times=-1)
    found = source_digest(after, _in_export(table, exported))
    return expected.equals(found)


def _in_export(table: TablePlan, exported: dict[str, Table]) -> TablePlan:
    """The table under the names that it has in the export."""
    there = exported.get(table.table.name) or exported[table.target]
    names = {column.name.lower(): column for column in there.columns}
    columns = [
        (names.get(column.source.lower()) or names[column.target.lower()], column)
        for column in table.columns
    ]
    return table.model_copy(
        update={
            "table": there.model_copy(update={"columns": tuple(column for column, _ in columns)}),
            "columns": tuple(
                plan.model_copy(update={"source": column.name}) for column, plan in columns
            ),
        }
    )
