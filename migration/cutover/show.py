"""What a cutover shows."""

from rich.console import Console

from migration.cutover.cutover import Options, Outcome
from migration.cutover.settle import Settled


def settled(console: Console, found: Settled) -> None:
    """Where the data are."""
    if found.done:
        console.print(found.done)
    since = f" since {found.moved_at} UTC" if found.moved_at else ""
    console.print(f"the platform's data are in {found.truth}{since}")


def outcome(console: Console, options: Options, made: Outcome) -> None:
    """What was done, or would be."""
    rows = sum(entry.rows for entry in made.tables)
    console.print(f"{len(made.tables)} tables, {rows:,} rows compared value by value: the same")
    if made.refused:
        console.print(f"{made.refused:,} rows stay in migration.quarantine")
    for entry in made.orphans:
        console.print(f"kept: {entry}; its foreign key binds new rows alone")
    for left_out in made.left_out:
        console.print(f"{left_out.kind} {left_out.name}: {left_out.why}")
    if not made.done:
        console.print(
            f"writers would wait for about {made.rehearsed * 1000:.0f} ms (at most "
            f"{options.max_lock:g} s): {made.drained:,} rows to drain. "
            "Nothing was changed (--dry-run)."
        )
        return
    tries = f", at attempt {made.attempts}" if made.attempts > 1 else ""
    console.print(
        f"writers waited for {made.held * 1000:.0f} ms{tries}; {made.drained:,} rows were drained "
        "meanwhile"
    )
    console.print(
        f"{options.source} refuses writes now; PostgreSQL is the platform's database. "
        "'python -m migration rollback' goes back."
    )
