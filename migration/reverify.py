"""`verify`: compare the last run's snapshot with the target once more, at any time."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from database.errors import SourceError, TargetError
from database.settings import Server
from migration.buckets import Buckets
from migration.hashing import Digests, hashing
from migration.plan import Plan, TablePlan
from migration.present import other_rows
from migration.progress import Steps
from migration.quarantine.read import values_of
from migration.report.model import SHA256_SINCE
from migration.rows import RefusedRow, rows_at
from migration.snapshot import file_sha256
from migration.statements import Connection, fetch
from migration.target import open_target, use_workers
from migration.verify import ReplayedRow, VerifiedTable, verify_table


def verify_last_run(
    server: Server, work: Path, steps: Steps, schema: str | None = None, *, jobs: int = 2
) -> list[VerifiedTable]:
    """Compare every table of the last run (into a schema, where one is named); changes nothing.

    Args:
        server: the target.
        work: the folder of snapshots.
        steps: is told how long it took.
        jobs: how many processes may work at the same time, on each side.
        schema: the schema that the run went into.

    Raises:
        TargetError: nothing was ever migrated into this target, or by a version whose digests of
            rows that were there before cannot be compared.
        SourceError: the run's snapshot is gone, or is no longer what it was.
    """
    with open_target(server) as connection:
        runs = fetch(connection, "last_run", schema=schema)
        if not runs:
            raise TargetError(
                f"Nothing was migrated into {server} yet.", "Run 'python -m migration run' first."
            )
        snapshot = _snapshot(work, runs[0]["source_sha256"])
        plan = Plan.model_validate(runs[0]["plan"])
        use_workers(connection, jobs)
        with (
            steps.step("verify"),
            hashing(snapshot, plan, jobs + 1) as digests,
            connection.transaction(),
        ):
            return list(_verified(connection, snapshot, plan, runs[0], digests))


def _snapshot(work: Path, sha256: str) -> Path:
    for path in work.glob(f"*-{sha256[:12]}/snapshot.db"):
        if file_sha256(path) == sha256:
            return path
        raise SourceError(f"The snapshot {path} was changed.", "Restore it from a backup.")
    raise SourceError(
        f"The snapshot of the last run is not in {work}.",
        "Name the folder it was kept in with MIGRATION_DIR.",
    )


def _verified(
    connection: Connection,
    snapshot: Path,
    plan: Plan,
    run: dict[str, Any],
    source_digests: Callable[[], Digests],
) -> Iterator[VerifiedTable]:
    # What cannot be compared is said before the source's digests are waited for.
    run_id, others = run["id"], _other_rows(connection, run)
    digests = source_digests()
    positions: dict[str, set[int]] = {}
    for row in fetch(connection, "quarantined_positions", run_id=run_id):
        positions.setdefault(row["table_name"], set()).add(row["position"])
    for table in plan.tables:
        kept_aside = positions.get(table.target, set())
        rows = rows_at(snapshot, table, kept_aside) if kept_aside else ()
        refused = [RefusedRow(table, row, None, "in quarantine", "") for row in rows]
        replayed = _replayed(connection, run_id, table) if kept_aside else ()
        yield verify_table(
            connection,
            snapshot,
            table,
            digests[table.target],
            refused,
            replayed=replayed,
            others=others.get(table.target),
        )


def _other_rows(connection: Connection, run: dict[str, Any]) -> dict[str, Buckets]:
    found = other_rows(connection, run["id"])
    if found and run["report"]["schema_version"] < SHA256_SINCE:
        raise TargetError(
            "The last run merged with rows that were there, and an older version noted their "
            "digests, in a way that this one does not compute.",
            "Verify this run with the version that made it.",
        )
    return found


def _replayed(connection: Connection, run_id: int, table: TablePlan) -> list[ReplayedRow]:
    """The rows that were repaired and loaded: they count with their repaired values."""
    found = []
    for row in fetch(connection, "replayed_rows", run_id=run_id, table=table.target):
        values = values_of(connection, row["id"], row["replayed_values"])
        loaded = [values[column.target] for column in table.columns]
        found.append(ReplayedRow(row["position"], loaded))
    return found
