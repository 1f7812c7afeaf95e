"""Comparing everything: the target is brought to the moment of a copy, and all values are compared.

Steps compare what they write. That nothing else differs, and that the changelog missed nothing, is
seen here; the writers go on meanwhile.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from database.errors import UsageError
from migration.capture.install import strip
from migration.follow.followed import Followed
from migration.follow.moment import open_copy, read_copy
from migration.follow.refused import RefusedRows
from migration.follow.step import Stepped, apply, retried_keys
from migration.hashing import hashing
from migration.plan import Plan
from migration.quoting import quote_name
from migration.snapshot import copy_source
from migration.statements import Connection
from migration.verify import VerifiedTable, verify_table


@contextmanager
def copied(source: Path, work: Path) -> Iterator[Path]:
    """A copy of the live source, with its changelog, that is deleted afterwards."""
    for old in work.glob(".followed-*.db"):
        # Of a program that was killed; nobody else may follow into this target.
        old.unlink(missing_ok=True)
    copy = work / f".followed-{os.getpid()}.db"
    try:
        work.mkdir(parents=True, exist_ok=True, mode=0o700)
        copy_source(source, copy)
        yield copy
    except OSError as error:
        raise UsageError(
            f"Cannot write a copy of the source into {work}: {error.strerror}.",
            "Choose a folder with enough free space with MIGRATION_DIR.",
        ) from error
    finally:
        copy.unlink(missing_ok=True)


def apply_copy(connection: Connection, followed: Followed, copy: Path) -> Stepped:
    """Bring the target to the moment of a copy, in a transaction of its own."""
    with open_copy(copy) as reading, connection.transaction():
        moment = read_copy(
            reading, copy, followed, dict(retried_keys(connection, followed, followed.tables))
        )
        return apply(connection, followed, moment)


@dataclass(frozen=True)
class Swept:
    """The outcome of a comparison of everything."""

    followed: Followed
    tables: list[VerifiedTable]
    #: Rows of the source that are in quarantine instead of the target.
    refused: int


def sweep(connection: Connection, followed: Followed, copy: Path, *, jobs: int) -> Swept:
    """Bring the target to the moment of a copy, and compare every value of every row.

    Args:
        connection: the target, outside any transaction.
        followed: the run.
        copy: of the source, with its changelog, which is taken out of it.
        jobs: how many processes may work at the same time, on each side.
    """
    stepped = apply_copy(connection, followed, copy)
    with closing(sqlite3.connect(copy, isolation_level=None)) as writing:
        strip(writing)
    plan = counted(followed.plan, copy)
    refused = RefusedRows(connection, followed.run_id, [table.target for table in plan.tables])
    with hashing(copy, plan, jobs + 1) as digests, connection.transaction():
        found = digests()
        verified = [
            verify_table(connection, copy, table, found[table.target], refused.rows(table))
            for table in plan.tables
        ]
    return Swept(stepped.followed, verified, len(refused))


def counted(plan: Plan, copy: Path) -> Plan:
    """The plan with the numbers of rows that the copy has."""
    tables = []
    with open_copy(copy) as connection:
        for table in plan.tables:
            query = f"select count(*) from {quote_name(table.table.name)}"  # noqa: S608
            rows = int(connection.execute(query).fetchone()[0])
            tables.append(table.model_copy(update={"rows": rows}))
    return plan.model_copy(update={"tables": tuple(tables)})
