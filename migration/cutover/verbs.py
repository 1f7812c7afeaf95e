"""`python -m migration cutover`."""

from typing import Annotated

import typer
from rich.console import Console

from database.errors import UsageError
from database.settings import Server
from migration.cutover import show
from migration.cutover.attach import attach
from migration.cutover.cutover import Options, cutover
from migration.cutover.guide import guide
from migration.cutover.settle import Side, settle
from migration.follow.verbs import find_followed
from migration.plan import PUBLIC
from migration.policies import Orphans
from migration.progress import Steps
from migration.run import Options as LoadOptions
from migration.settings import MigrationSettings
from migration.target import check_schema_name
from migration.verb_options import Jobs, MaxLock, Source

out = Console(highlight=False, soft_wrap=True)


def cutover_command(
    source: Source = None,
    *,
    max_lock: MaxLock = 1.0,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Go on without the rows in quarantine.")
    ] = False,
    orphans: Annotated[
        Orphans, typer.Option(help="keep: let rows stay whose parent is missing.")
    ] = Orphans.QUARANTINE,
    attach_options: Annotated[
        str | None,
        typer.Option(
            "--attach", help="Switch the platform too: options of attach_agents.py, or ''."
        ),
    ] = None,
    jobs: Jobs = None,
    schema: Annotated[
        str, typer.Option("--schema", help="With --guide: schema of the target.")
    ] = PUBLIC,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and compare everything; change nothing.")
    ] = False,
    status: Annotated[
        bool, typer.Option("--status", help="Say where the data are; settle what was cut off.")
    ] = False,
    guided: Annotated[
        bool, typer.Option("--guide", help="All steps, from the profile to the attached platform.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --guide: do not ask.")] = False,
) -> None:
    """Make PostgreSQL the platform's database; its writers wait for a moment."""
    if dry_run + status + guided > 1:
        raise UsageError("--dry-run, --status and --guide exclude each other.", "Name one of them.")
    check_schema_name(schema)
    settings = MigrationSettings()
    path = find_followed(source, settings)
    server = Server.discover()
    if status:
        show.settled(out, settle(server, path))
        return
    options = Options(
        source=path,
        work=settings.migration_dir.absolute(),
        jobs=jobs or settings.migration_jobs,
        max_lock=max_lock,
        quarantine=quarantine,
        keep_orphans=orphans is Orphans.KEEP,
        dry_run=dry_run,
    )
    if attach_options is not None:
        # That it cannot be done is said before anything is.
        attach(attach_options, dry_run=True)
    if guided:
        load = _load_options(options, schema, settings)
        guide(out, server, options, load, attaching=attach_options, agreed=yes)
    else:
        _cut_over(server, options, attach_options)


def _load_options(options: Options, schema: str, settings: MigrationSettings) -> LoadOptions:
    """Those of the load that comes before the cutover."""
    return LoadOptions(
        source=options.source,
        work=options.work,
        engine=settings.migration_engine,
        quarantine=options.quarantine,
        schema=schema,
        jobs=options.jobs,
    )


def _cut_over(server: Server, options: Options, attach_options: str | None) -> None:
    """Cut over, where that is not done yet, and attach the platform, where that is asked for."""
    found = settle(server, options.source)
    if found.truth is Side.POSTGRESQL:
        # Once more: what is left to do is to attach.
        show.settled(out, found)
    else:
        made = cutover(server, options, Steps(Console(stderr=True, highlight=False)))
        show.outcome(out, options, made)
    if attach_options is not None and not options.dry_run:
        attach(attach_options)
