"""One sum for a table on both sides; where it differs, buckets name the rows."""

import contextlib
import random
import sqlite3
from pathlib import Path

import pytest

from database.settings import Server
from migration.buckets import Buckets, bucket_of, source_buckets, target_buckets
from migration.canonical import sql_digest
from migration.digest import TableDigest, source_digest, target_digest
from migration.plan import Plan, TablePlan
from migration.target import identifier, open_target
from tests.migrations import migrate
from tests.programs import query

#: Without a key, so that rows may be there twice.
SCRIPT = """
    create table t (n integer, text text);
    with recursive i (n) as (select 1 union all select n + 1 from i where n < 5000)
    insert into t select n % 2000, 'row ' || n % 2000 from i;
    create table hollow (n integer);
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCRIPT)
    return path


@pytest.fixture
def tables(database: Server, source: Path, tmp_path: Path) -> dict[str, TablePlan]:
    result = migrate(database, source, MIGRATION_DIR=tmp_path / "work")
    assert result.returncode == 0, result.stderr
    ((stored,),) = query(database, "select plan from migration.run")
    return {table.target: table for table in Plan.model_validate(stored).tables}


@pytest.mark.parametrize(("name", "rows"), [("t", 5000), ("hollow", 0)])
def test_sum_and_buckets_are_equal_on_both_sides(
    database: Server, source: Path, tables: dict[str, TablePlan], name: str, rows: int
) -> None:
    table = tables[name]
    with open_target(database) as connection:
        theirs = target_digest(connection, table)
        buckets = target_buckets(connection, sql_digest(table.columns, identifier(table)))
    ours = source_digest(source, table)
    assert ours.rows == theirs.rows == rows
    assert ours.equals(theirs)
    assert ours.summary() == theirs.summary()
    assert source_buckets(source, table).differing(buckets) == []
    assert buckets.whole().equals(theirs)


@pytest.mark.parametrize(
    "change",
    [
        "update t set text = 'other' where n = 7",
        "delete from t where ctid = (select ctid from t where n = 7 limit 1)",
        "insert into t values (7, 'row 7')",
        # As many rows, and the same ones, but not as often.
        "with one as (delete from t where ctid = (select ctid from t where n = 7 limit 1)"
        " returning 1) insert into t select 8, 'row 8' from one",
    ],
)
def test_a_change_differs_in_sum_and_in_few_buckets(
    database: Server, source: Path, tables: dict[str, TablePlan], change: str
) -> None:
    table = tables["t"]
    query(database, change)
    with open_target(database) as connection:
        theirs = target_digest(connection, table)
        buckets = target_buckets(connection, sql_digest(table.columns, identifier(table)))
    assert not source_digest(source, table).equals(theirs)
    assert 1 <= len(source_buckets(source, table).differing(buckets)) <= 2


def test_rows_can_be_put_in_and_taken_out_one_by_one_and_together() -> None:
    chance = random.Random(7)
    digests = [chance.randbytes(32) for _ in range(500)]
    digests += [b"\x80" + bytes(31), b"\x7f" + b"\xff" * 31, bytes(32)]
    together, single, buckets = TableDigest(), TableDigest(), Buckets()
    together.add_all(digests)
    for digest in digests:
        single.add(digest)
        buckets.add(digest)
    assert together.equals(single)
    assert together.equals(buckets.whole())
    for digest in digests[100:]:
        single.add(digest, times=-1)
    rest = TableDigest()
    rest.add_all(digests[100:])
    assert single.equals(together.without(rest))
    assert {bucket_of(digest) for digest in digests} == set(buckets.sums)
