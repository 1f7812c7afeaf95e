"""`python -m migration follow`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from database.errors import QuarantineError, SourceError, UsageError, VerificationError
from database.settings import Server
from migration import show
from migration.capture.changes import lag
from migration.capture.install import find
from migration.cutover.settle import settle
from migration.follow import show as show_follow
from migration.follow.follow import Follower, Progress, begin, follow, stop
from migration.follow.followed import Followed
from migration.follow.moment import check_capture, open_live
from migration.plan import PUBLIC
from migration.policies import Policies
from migration.policy_options import takes_policies
from migration.present import Existing
from migration.progress import Steps
from migration.run import Options
from migration.settings import MigrationSettings
from migration.source import check_source, find_source
from migration.target import check_schema_name, open_target
from migration.verb_options import Jobs, Schema, Source

out = Console(highlight=False, soft_wrap=True)


@takes_policies
def follow_command(
    source: Source = None,
    *,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Keep refused rows aside instead of stopping.")
    ] = False,
    schema: Schema = PUBLIC,
    policies: Policies,
    replace: Annotated[
        bool, typer.Option("--replace", help="Start over: empty the tables first.")
    ] = False,
    jobs: Jobs = None,
    once: Annotated[
        bool, typer.Option("--once", help="Catch up, compare every value, and end.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Say how far it is, and end.")] = False,
    stop_following: Annotated[
        bool, typer.Option("--stop", help="Take everything out of the SQLite file again, and end.")
    ] = False,
) -> None:
    """Load the source while it is written to, and keep up with it until the cutover."""
    check_schema_name(schema)
    if once + status + stop_following > 1:
        raise UsageError("--once, --status and --stop exclude each other.", "Name one of them.")
    settings = MigrationSettings()
    path = find_followed(source, settings)
    if stop_following:
        _stop(path)
        return
    server = Server.discover()
    if status:
        _say_status(server, path)
        return
    # What a cutover that was killed left is decided first.
    settle(server, path)
    options = Options(
        source=path,
        work=settings.migration_dir.absolute(),
        engine=settings.migration_engine,
        quarantine=quarantine,
        schema=schema,
        policies=policies,
        existing=Existing.REPLACE if replace else Existing.REFUSE,
        jobs=jobs or settings.migration_jobs,
    )
    _, outcome = begin(server, options, Steps(Console(stderr=True, highlight=False)))
    if outcome is not None:
        show.outcome(out, outcome)
    follower = Follower(server, path, options.work, jobs=options.jobs)
    if once:
        _once(follower)
    else:
        show_follow.progress(out, follow(follower))


def find_followed(source: Path | None, settings: MigrationSettings) -> Path:
    """The SQLite file that is meant.

    Raises:
        SourceError: there is none, or it is no database.
    """
    path = find_source(source or settings.sqlite_path)
    if path is None:
        raise SourceError(
            f"There is no SQLite database in {settings.sqlite_path}.",
            "Name the file, or set SQLITE_PATH.",
        )
    check_source(path)
    return path


def _stop(path: Path) -> None:
    found = stop(path)
    said = "is as it was before it was followed" if found else "was not followed"
    out.print(f"{path} {said}")


def _say_status(server: Server, path: Path) -> None:
    with open_live(path) as reading:
        capture = find(reading)
        if capture is None:
            out.print(f"{path} is not followed")
            return
        check_capture(reading, capture)
        with open_target(server) as connection:
            followed = Followed.find(connection, capture)
        if followed is None:
            out.print(f"{path} is captured, but not loaded into {server} yet")
            return
        behind = Progress(lag(reading, followed.applied), followed.applied)
        out.print(f"run {followed.run_id}: {show_follow.line(behind)}")


def _once(follower: Follower) -> None:
    swept = follower.sweep()
    show.verification(out, swept.tables)
    differing = [entry.table.target for entry in swept.tables if not entry.verified]
    if differing:
        raise VerificationError(
            f"Source and target differ in {', '.join(differing)}.",
            "Look for another program that writes to the target; --replace starts over.",
        )
    if swept.refused:
        raise QuarantineError(
            f"{swept.refused:,} rows of the source are in migration.quarantine; all others are in "
            "place and verified.",
            "Correct them in SQLite: the correction arrives by itself. "
            "'python -m migration quarantine list' names them.",
        )
