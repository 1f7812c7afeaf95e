"""The one-shot migration, step by step: the order of the calls here is the order of the flow.

Invariant: everything that changes the target happens in one transaction, which commits only
after every value was compared. Whatever goes wrong before, the target is as it was.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql
from psycopg.types.json import Jsonb

from database.errors import BundleError, QuarantineError, TargetError, VerificationError
from database.settings import Server
from migration import constraints, present, quarantine
from migration.backfill import backfills, set_defaults
from migration.creation import complete_tables, create_missing
from migration.hashing import Digests, hashing
from migration.identities import reset_identities
from migration.load import Engine, EngineName, LoadedTable, make_engine
from migration.load.refusal import refuse_all
from migration.load.staging import clear_leftovers
from migration.plan import PUBLIC, Plan, make_plan
from migration.policies import NO_POLICIES, Policies
from migration.present import Existing, Present
from migration.profile import profile_source
from migration.progress import RowProgress, Steps
from migration.quarantine.export import export_refused, export_run
from migration.quoting import printable
from migration.report.report import Report, RunFacts
from migration.reverse.install import allow_writes
from migration.rows import RefusedRow
from migration.snapshot import Snapshot, take_snapshot
from migration.statements import Connection, fetch, fetch_number, statement
from migration.target import (
    analyze,
    check_schema,
    identifier,
    make_schema,
    open_target,
    read_target,
    relations_in_target,
    server_version,
    target_drift,
    use_workers,
)
from migration.verify import VerifiedTable, target_side, verify_table
from migration.views import create_views


@dataclass(frozen=True)
class Options:
    """What a run was asked for."""

    source: Path
    work: Path
    engine: EngineName
    quarantine: bool
    #: The schema of the target that everything goes into.
    schema: str = PUBLIC
    policies: Policies = NO_POLICIES
    #: Read what can be read of a damaged source.
    salvage: bool = False
    #: What becomes of rows that are in its tables already.
    existing: Existing = Existing.REFUSE
    #: How many processes may work at the same time, on each side.
    jobs: int = 2
    #: Called with the run's id and its snapshot in the transaction that makes the run last.
    recorded: Callable[[Connection, int, Snapshot], None] | None = None


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its report, and the error that decides its exit code, if any."""

    report: Report
    directory: Path
    error: BundleError | None = None
    #: The same source had been migrated and verified before; nothing was done now.
    already_done: bool = False


class _StopError(Exception):
    """Leaves the transaction, so that it is rolled back, with the reason for it."""

    def __init__(self, reason: BundleError) -> None:
        super().__init__(str(reason))
        self.reason = reason


def migrate(server: Server, options: Options, steps: Steps) -> Outcome:
    """Move the source into the target, prove it, and write the report.

    The outcome's error is a QuarantineError where rows would be (nothing was changed) or,
    allowed by the options, were quarantined; a VerificationError where the sides differed
    (nothing was changed).

    Raises:
        SourceError, TargetError: before anything was loaded; nothing was changed.
    """
    with open_target(server) as connection:
        with steps.step("snapshot"):
            snapshot = take_snapshot(options.source, options.work, salvaging=options.salvage)
        clear_leftovers(connection, server, snapshot.directory)
        use_workers(connection, options.jobs)
        last = fetch(connection, "last_run", schema=options.schema)
        done = last and last[0]["source_sha256"] == snapshot.sha256
        if done and options.existing is not Existing.REPLACE:
            report = Report(last[0]["report"])
            report.write(snapshot.directory)
            export_run(connection, snapshot.directory, last[0]["id"])
            if options.recorded:
                with connection.transaction():
                    options.recorded(connection, last[0]["id"], snapshot)
            return Outcome(report, snapshot.directory, already_done=True)
        with steps.step("profile"):
            target = read_target(connection, options.schema)
            profile = profile_source(
                snapshot.path, target, left_out=snapshot.left_out, jobs=options.jobs
            )
        with steps.step("plan"):
            check_schema(connection, options.schema)
            plan = make_plan(
                profile,
                target,
                backfills(),
                options.schema,
                policies=options.policies,
                taken=relations_in_target(connection, options.schema),
            )
            _refuse_unclean(connection, server, plan)
            present.refuse_present(connection, server, plan, options.existing)
        version = server_version(connection)
        facts = RunFacts(server, version, options.engine, snapshot, plan, steps)
        error = _load_and_prove(connection, facts, options)
        report = Report.make(facts)
        report.write(snapshot.directory)
        if facts.run_id is None:
            export_refused(snapshot.directory, facts.refused)
        else:
            export_run(connection, snapshot.directory, facts.run_id)
        return Outcome(report, snapshot.directory, error)


def _load_and_prove(
    connection: Connection, facts: RunFacts, options: Options
) -> BundleError | None:
    engine = make_engine(options.engine, facts.server, facts.snapshot.directory)
    path = facts.snapshot.path
    try:
        with facts.steps.rows(facts.plan, facts.snapshot.size_bytes) as progress:
            _stage(engine, facts, progress)
            # Not beside the staging, which keeps more than one core busy itself.
            with hashing(path, facts.plan, options.jobs) as digests, connection.transaction():
                if options.existing is not Existing.REFUSE:
                    # Its platform may have gone back to SQLite, and comes again.
                    allow_writes(connection)
                merged = _load(connection, facts, engine, progress, options.existing)
                refusal = _stop_unless_allowed(facts, allowed=options.quarantine)
                # Before the proof: the source's digests may not be finished yet.
                with facts.steps.step("analyze"):
                    analyze(connection, facts.plan)
                with facts.steps.step("verify"):
                    progress.begin("verify")
                    facts.verified = _verify(connection, facts, digests, merged, progress)
                    changed = present.changed(connection, merged.values())
                _stop_at_differences(facts, changed)
                run_id = _record(connection, facts, merged)
                if options.recorded:
                    options.recorded(connection, run_id, facts.snapshot)
                facts.snapshot.settle()
    except _StopError as stop:
        return stop.reason
    finally:
        engine.clean()
    return refusal or _losses(facts)


def _stage(engine: Engine, facts: RunFacts, progress: RowProgress) -> None:
    if engine.stages:
        with facts.steps.step("stage"):
            engine.prepare(facts.snapshot.path, facts.plan, progress)


def _load(
    connection: Connection,
    facts: RunFacts,
    engine: Engine,
    progress: RowProgress,
    existing: Existing,
) -> dict[str, Present]:
    """Rows into bare tables, then the constraints that name the rows which break them.

    Returns:
        By table, the rows that were there before and stay.
    """
    path, plan = facts.snapshot.path, facts.plan
    with facts.steps.step("load"):
        make_schema(connection, plan.schema_name)
        create_missing(connection, plan)
        present.lock(connection, plan)
        # Counted again: rows may have come since the plan was made.
        there = present.refuse_present(connection, facts.server, plan, existing)
        taken = constraints.take_down(connection, plan)
        if existing is Existing.REPLACE:
            present.throw_away(connection, plan, there)
            facts.thrown_away, there = there, {}
        merged = present.remember(connection, plan, there)
        set_defaults(connection, plan, on=True)
        for table in plan.tables:
            if table.impossible:
                loaded = LoadedTable(table, refused=refuse_all(path, table))
            else:
                loaded = engine.load(connection, path, table, progress)
                loaded.bytes = _size(connection, loaded)
            if table.target in merged:
                loaded.already_there = present.match(connection, merged[table.target])
                loaded.rows -= loaded.already_there
            _check_count(loaded)
            facts.loaded.append(loaded)
        set_defaults(connection, plan, on=False)
    with facts.steps.step("constraints"):
        facts.left_out = complete_tables(connection, plan)
        expelled, left_out = constraints.put_back(connection, path, plan, taken, merged)
        facts.left_out += left_out
        facts.left_out += reset_identities(connection, plan, merged)
    facts.refused = [row for table in facts.loaded for row in table.refused] + expelled
    with facts.steps.step("views"):
        compare = not facts.refused and not merged
        facts.left_out += create_views(connection, path, plan, compare=compare)
    return merged


def _check_count(loaded: LoadedTable) -> None:
    accounted = loaded.rows + len(loaded.refused) + loaded.already_there
    if accounted != loaded.table.rows:
        raise TargetError(
            f"{loaded.table.target}: the source has {loaded.table.rows} rows, "
            f"but {loaded.rows} were loaded, {len(loaded.refused)} refused and "
            f"{loaded.already_there} already there.",
            "Nothing was changed. Please report this with the plan of the run.",
        )


def _size(connection: Connection, loaded: LoadedTable) -> int:
    query = sql.SQL("select pg_table_size({}::regclass)").format(
        sql.Literal(identifier(loaded.table).as_string(connection))
    )
    return fetch_number(connection, query)


def _verify(
    connection: Connection,
    facts: RunFacts,
    source_digests: Callable[[], Digests],
    merged: dict[str, Present],
    progress: RowProgress,
) -> list[VerifiedTable]:
    # PostgreSQL's side first: that of the source is still being worked at.
    targets = {}
    for table in facts.plan.tables:
        targets[table.target] = target_side(connection, table, merged.get(table.target))
        progress.advance(table, table.rows)
    digests = source_digests()
    facts.repairs = {name: digest.repairs for name, digest in digests.items()}
    by_table: dict[str, list[RefusedRow]] = {}
    for row in facts.refused:
        by_table.setdefault(row.table.target, []).append(row)
    verified = []
    for table in facts.plan.tables:
        verified.append(
            verify_table(
                connection,
                facts.snapshot.path,
                table,
                digests[table.target],
                by_table.get(table.target, ()),
                present=merged.get(table.target),
                target=targets[table.target],
            )
        )
    return verified


def _record(connection: Connection, facts: RunFacts, merged: dict[str, Present]) -> int:
    """Leave the run, its plan, its report and its quarantine in the target; the run's id."""
    row = connection.execute(
        statement("record_run"),
        {
            "started_at": facts.steps.started_at,
            "source_name": printable(facts.snapshot.source),
            "source_sha256": facts.snapshot.sha256,
            "engine": facts.engine.value,
            "plan": Jsonb(facts.plan.model_dump(mode="json")),
            "report": Jsonb(Report.make(facts).data),
        },
    ).fetchone()
    assert row is not None
    facts.run_id = int(str(row[0]))
    quarantine.keep(connection, facts.run_id, facts.refused)
    present.keep_others(connection, facts.run_id, merged.values())
    return facts.run_id


def _refuse_unclean(connection: Connection, server: Server, plan: Plan) -> None:
    drift = target_drift(connection, plan)
    if drift:
        raise TargetError(
            f"{server} is not as sql/ describes it:\n" + "\n".join(f"  {entry}" for entry in drift),
            "Nothing was changed. 'python -m database apply' brings it to the state of sql/; "
            "what has to be run by hand is named above.",
        )
    if plan.problems:
        raise TargetError(
            "The plan cannot run: " + "; ".join(plan.problems) + ".",
            "Where these are another program's tables, --schema NAME gives them a schema of "
            "their own.",
        )


def _stop_unless_allowed(facts: RunFacts, *, allowed: bool) -> QuarantineError | None:
    count = len(facts.refused)
    if not count:
        return None
    rows = f"{count} row{'s' if count > 1 else ''}"
    if allowed:
        return QuarantineError(
            f"{rows} went to migration.quarantine; all others are in place and verified.",
            "The report says which and why.",
        )
    raise _StopError(
        QuarantineError(
            f"{rows} cannot be carried over as they are. Nothing was changed.",
            "Correct them in SQLite, or keep them aside with --quarantine. The report names them.",
        )
    )


def _losses(facts: RunFacts) -> QuarantineError | None:
    lost = [entry.name for entry in facts.plan.not_carried if entry.loses_rows]
    if not lost:
        return None
    return QuarantineError(
        f"Not every row of {', '.join(lost)} could be read; all that could are in place and "
        "verified.",
        "The report says what is lost. The source as it was is kept beside it.",
    )


def _stop_at_differences(facts: RunFacts, changed: list[str]) -> None:
    differing = [entry.table.target for entry in facts.verified if not entry.verified]
    if differing:
        raise _StopError(
            VerificationError(
                f"Source and target differ in {', '.join(differing)}. Nothing was changed.",
                "The report shows the rows and columns that differ.",
            )
        )
    if changed:
        raise _StopError(
            VerificationError(
                f"Rows of {', '.join(changed)} that were there before were changed by the merge. "
                "It was undone.",
                "Look for triggers on these tables.",
            )
        )
