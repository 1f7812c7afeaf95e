"""`migration cutover --guide`: the whole way as one command, step by step, each with its undo."""

from collections.abc import Callable
from dataclasses import dataclass

import typer
from rich.console import Console

from database.errors import InterruptedRunError, SourceError
from database.settings import Server
from migration import show
from migration.cutover import show as show_cutover
from migration.cutover.attach import attach
from migration.cutover.cutover import Options, cutover
from migration.cutover.settle import Side, settle
from migration.follow.follow import Follower, begin
from migration.profile import profile_source
from migration.progress import Steps
from migration.run import Options as LoadOptions
from migration.snapshot import take_snapshot

#: Steps until the source is caught up with; a platform that writes faster never is.
_MOST_STEPS = 1_000


@dataclass(frozen=True)
class Step:
    """One step, as it is told before it is done."""

    title: str
    risk: str
    undo: str
    act: Callable[[], None]


def guide(
    console: Console,
    server: Server,
    options: Options,
    load: LoadOptions,
    *,
    attaching: str | None,
    agreed: bool,
) -> None:
    """Tell each step with its risk and its undo, ask, and do it.

    Steps that an earlier guide did are found done: it can be broken off and begun again.

    Raises:
        InterruptedRunError: somebody said no.
    """
    found = settle(server, options.source)
    if found.truth is Side.POSTGRESQL:
        show_cutover.settled(console, found)
        steps = []
    else:
        steps = _steps(console, server, options, load)
    if attaching is not None:
        steps.append(
            Step(
                "Attach: switch the platform's configuration to PostgreSQL",
                "the platform's files are edited; the platform has to be restarted",
                "python scripts/attach_agents.py --detach restores them byte for byte",
                lambda: attach(attaching),
            )
        )
    for number, step in enumerate(steps, 1):
        console.print(f"\n[bold]{number}/{len(steps)} {step.title}[/]", highlight=False)
        console.print(f"  risk: {step.risk}\n  undo: {step.undo}")
        if not agreed and not typer.confirm("  Go on?", default=False):
            raise InterruptedRunError(
                f"Stopped before step {number}; the steps before it stay done.",
                "The same command goes on from here.",
            )
        step.act()
    console.print(
        "\nDone. Back at any time: 'python -m migration rollback' applies to the SQLite file what "
        "was written to PostgreSQL, verifies it, and makes SQLite the platform's database again; "
        "detach its configuration with it. When you want that no more: "
        "'python -m migration archive'."
    )


def _steps(console: Console, server: Server, options: Options, load: LoadOptions) -> list[Step]:
    def profile() -> None:
        snapshot = take_snapshot(options.source, options.work)
        facts = profile_source(snapshot.path, left_out=snapshot.left_out, everything=True)
        show.profile(console, facts)

    def follow() -> None:
        _, outcome = begin(server, load, Steps(Console(stderr=True, highlight=False)))
        if outcome is not None:
            show.outcome(console, outcome)

    def wait() -> None:
        _wait(console, Follower(server, options.source, options.work, jobs=options.jobs))

    def move() -> None:
        made = cutover(server, options, Steps(Console(stderr=True, highlight=False)))
        show_cutover.outcome(console, options, made)

    return [
        Step(
            "Profile: say what the values of the source really are",
            "none; a copy of the file is made in MIGRATION_DIR",
            "nothing to undo",
            profile,
        ),
        Step(
            "Follow: put the capture into the SQLite file, and load what is there",
            "each write of the platform also logs a key; PostgreSQL's tables are filled",
            "python -m migration follow --stop",
            follow,
        ),
        Step("Wait until PostgreSQL has caught up", "none", "nothing to undo", wait),
        Step(
            "Cut over: compare everything, then stop the writers for a moment",
            f"writers wait for {options.max_lock:g} s at most, then SQLite refuses what they "
            "write; any failure before that leaves all as it is",
            "python -m migration rollback",
            move,
        ),
    ]


def _wait(console: Console, follower: Follower) -> None:
    for _ in range(_MOST_STEPS):
        if follower.step() is None:
            console.print("caught up")
            return
    raise SourceError(
        f"The source is written to faster than PostgreSQL takes it: "
        f"{follower.lag().entries:,} changes behind.",
        "Try when less is written.",
    )
