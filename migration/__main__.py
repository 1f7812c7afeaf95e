"""`python -m migration`: the verbs of the flow. `docker compose run --rm migrate` is the same."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from database import cli
from database.errors import UsageError, VerificationError
from database.settings import Server
from migration import show
from migration.backfill import backfills
from migration.cutover.verbs import cutover_command
from migration.estimate import estimate, seconds_before
from migration.follow.verbs import follow_command
from migration.load import EngineName
from migration.plan import PUBLIC, make_plan
from migration.policies import Policies
from migration.policy_options import takes_policies
from migration.present import Existing
from migration.profile import profile_source
from migration.progress import Steps
from migration.quarantine.verbs import app as quarantine_app
from migration.reverify import verify_last_run
from migration.reverse.verbs import archive_command, rollback_command
from migration.run import Options, migrate
from migration.settings import MigrationSettings
from migration.snapshot import Snapshot, take_snapshot
from migration.source import check_source, find_source
from migration.statements import fetch
from migration.target import (
    check_schema,
    check_schema_name,
    open_target,
    read_target,
    relations_in_target,
    target_drift,
)
from migration.verb_options import Jobs, Schema, Source

app = cli.application("Move a SQLite database into PostgreSQL, and prove that nothing was lost.")
app.add_typer(quarantine_app, name="quarantine")
app.command("follow")(follow_command)
app.command("cutover")(cutover_command)
app.command("rollback")(rollback_command)
app.command("archive")(archive_command)
out = Console(highlight=False, soft_wrap=True)

LastSchema = Annotated[
    str | None,
    typer.Option("--schema", help="The last run into this schema (default: into any)."),
]
SalvageFlag = Annotated[
    bool, typer.Option("--salvage", help="Read what can be read of a damaged source.")
]
EngineChoice = Annotated[
    EngineName | None,
    typer.Option("--engine", help="How rows are loaded (default: MIGRATION_ENGINE)."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command()
def profile(source: Source = None, *, salvage: SalvageFlag = False, as_json: Json = False) -> None:
    """Say what the values of the source really are, column by column."""
    snapshot = _snapshot(source, salvaging=salvage)
    if snapshot is None:
        return
    jobs = MigrationSettings().migration_jobs
    facts = profile_source(snapshot.path, left_out=snapshot.left_out, everything=True, jobs=jobs)
    if as_json:
        cli.print_json(out, json.loads(facts.model_dump_json()))
    else:
        show.profile(out, facts)


@app.command()
@takes_policies
def plan(
    source: Source = None,
    *,
    engine: EngineChoice = None,
    schema: Schema = PUBLIC,
    policies: Policies,
    salvage: SalvageFlag = False,
    as_json: Json = False,
) -> None:
    """Say what would become of every table and column; changes nothing."""
    check_schema_name(schema)
    settings, server = MigrationSettings(), Server.discover()
    started = time.monotonic()
    snapshot = _snapshot(source, salvaging=salvage)
    if snapshot is None:
        return
    with open_target(server) as connection:
        check_schema(connection, schema)
        target = read_target(connection, schema)
        snapshot_taken = time.monotonic()
        jobs = settings.migration_jobs
        facts = profile_source(
            snapshot.path, target, left_out=snapshot.left_out, everything=True, jobs=jobs
        )
        before = seconds_before(snapshot_taken - started, time.monotonic() - snapshot_taken, facts)
        decided = make_plan(
            facts,
            target,
            backfills(),
            schema,
            policies=policies,
            taken=relations_in_target(connection, schema),
        )
        drift = target_drift(connection, decided)
        foreseen = estimate(
            connection,
            server,
            snapshot.path,
            decided,
            engine=engine or settings.migration_engine,
            jobs=jobs,
            before=before,
        )
    problems = (*decided.problems, *(f"not as sql/ describes it: {entry}" for entry in drift))
    decided = decided.model_copy(update={"problems": problems, "estimate": foreseen})
    if as_json:
        cli.print_json(out, json.loads(decided.model_dump_json()))
    else:
        show.plan(out, decided)


@app.command()
@takes_policies
def run(
    source: Source = None,
    *,
    engine: EngineChoice = None,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Keep refused rows aside instead of stopping.")
    ] = False,
    schema: Schema = PUBLIC,
    policies: Policies,
    salvage: SalvageFlag = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Empty the tables first that hold rows already.")
    ] = False,
    merge: Annotated[
        bool, typer.Option("--merge", help="Add to the rows that are there; change none of them.")
    ] = False,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Snapshot, profile, plan, load, verify, report: all or nothing."""
    check_schema_name(schema)
    settings = MigrationSettings()
    path = find_source(source or settings.sqlite_path)
    if path is None:
        out.print(f"nothing to migrate: there is no SQLite database in {settings.sqlite_path}")
        return
    check_source(path)
    options = Options(
        source=path,
        work=settings.migration_dir.absolute(),
        engine=engine or settings.migration_engine,
        quarantine=quarantine,
        schema=schema,
        policies=policies,
        salvage=salvage,
        existing=_existing(replace=replace, merge=merge),
        jobs=jobs or settings.migration_jobs,
    )
    result = migrate(Server.discover(), options, Steps(Console(stderr=True, highlight=False)))
    if as_json:
        cli.print_json(out, result.report.data)
    else:
        show.outcome(out, result)
    if result.error:
        raise result.error


@app.command()
def verify(*, schema: LastSchema = None) -> None:
    """Compare the last run's snapshot with the target again, value by value."""
    settings = MigrationSettings()
    tables = verify_last_run(
        Server.discover(),
        settings.migration_dir.absolute(),
        Steps(Console(stderr=True, highlight=False)),
        jobs=settings.migration_jobs,
        schema=schema,
    )
    show.verification(out, tables)
    differing = [entry.table.target for entry in tables if not entry.verified]
    if differing:
        raise VerificationError(
            f"Source and target differ in {', '.join(differing)}.",
            "Rows that the platform wrote since the migration differ too: verify before it starts.",
        )


@app.command()
def status(*, schema: LastSchema = None) -> None:
    """Say what was migrated into the target last."""
    server = Server.discover()
    with open_target(server) as connection:
        runs = fetch(connection, "last_run", schema=schema)
    if not runs:
        out.print(f"nothing was migrated into {server}{_schema_text(schema)} yet")
        return
    last = runs[0]
    out.print(
        f"run {last['id']}: {last['source_name']} (sha256 {last['source_sha256'][:12]}…) "
        f"{last['status']} at {last['finished_at']:%Y-%m-%d %H:%M:%S %Z}, {last['engine']} engine"
        f"{_schema_text(last['schema_name'])}"
    )


def _existing(*, replace: bool, merge: bool) -> Existing:
    if replace and merge:
        raise UsageError(
            "--replace and --merge exclude each other.",
            "Name the one that says what shall become of the rows that are there.",
        )
    return Existing.REPLACE if replace else Existing.MERGE if merge else Existing.REFUSE


def _schema_text(schema: str | None) -> str:
    return "" if schema in (None, PUBLIC) else f", schema {schema}"


def _snapshot(source: Path | None, *, salvaging: bool) -> Snapshot | None:
    settings = MigrationSettings()
    path = find_source(source or settings.sqlite_path)
    if path is None:
        out.print(f"there is no SQLite database in {settings.sqlite_path}")
        return None
    return take_snapshot(path, settings.migration_dir.absolute(), salvaging=salvaging)


def main() -> None:
    """The console command."""
    cli.run(app)


if __name__ == "__main__":
    main()
