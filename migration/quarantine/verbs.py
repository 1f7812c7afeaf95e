"""`python -m migration quarantine`: look at refused rows, repair them, load them after all."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from database import cli
from database.errors import QuarantineError, UsageError
from database.settings import Server
from migration.policies import Policies
from migration.policy_options import takes_value_policies
from migration.quarantine import read, show
from migration.quarantine.read import Chosen
from migration.quarantine.repair import from_options
from migration.quarantine.replay import replay as replay_rows
from migration.target import open_target

app = cli.application("Rows that PostgreSQL refused: list, show, repair and replay them.")
out = Console(highlight=False, soft_wrap=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Table = Annotated[str | None, typer.Option(help="Rows of this table of the target alone.")]


@app.command("list")
def list_(
    *,
    run: Annotated[int | None, typer.Option(help="Rows of this run alone.")] = None,
    table: Table = None,
    column: Annotated[str | None, typer.Option(help="Refused for this column.")] = None,
    sqlstate: Annotated[str | None, typer.Option(help="Refused with this SQLSTATE.")] = None,
    replayed: Annotated[
        bool, typer.Option("--all", help="Also rows that were replayed already.")
    ] = False,
    limit: Annotated[int, typer.Option(min=0, help="Show so many rows.")] = 50,
    offset: Annotated[int, typer.Option(min=0, help="Skip so many rows.")] = 0,
    as_json: Json = False,
) -> None:
    """Count the rows in quarantine by cause, then list them."""
    chosen = Chosen(run=run, table=table, column=column, sqlstate=sqlstate, replayed=replayed)
    with open_target(Server.discover()) as connection:
        causes = read.counts(connection, chosen)
        rows = read.page(connection, chosen, limit, offset)
    if as_json:
        typer.echo(json.dumps(show.listing(causes, rows, offset), ensure_ascii=False, indent=2))
    else:
        show.listed(out, causes, rows, offset)


@app.command("show")
def show_(
    ids: Annotated[list[int], typer.Argument(metavar="ID...", help="Ids as 'list' gives them.")],
    *,
    as_json: Json = False,
) -> None:
    """Show whole rows: every value exactly, why it was refused, and what would help."""
    with open_target(Server.discover()) as connection:
        rows = read.chosen_rows(connection, Chosen(ids=ids, replayed=True))
        chosen = [row["id"] for row in rows]
        if as_json:
            show.as_json(read.documents(connection, chosen))
            return
        for entry_id in chosen:
            row = read.row(connection, entry_id)
            values = read.values_of(connection, entry_id, row["row_values"])
            show.row(out, row, values)


@app.command()
@takes_value_policies
def replay(
    ids: Annotated[
        list[int] | None, typer.Argument(metavar="[ID]...", help="Ids as 'list' gives them.")
    ] = None,
    *,
    table: Table = None,
    everything: Annotated[bool, typer.Option("--all", help="All rows in quarantine.")] = False,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="[TABLE.]COLUMN=VALUE", help="Put this value in; repeatable."
        ),
    ] = None,
    nulls: Annotated[
        list[str] | None,
        typer.Option("--set-null", metavar="[TABLE.]COLUMN", help="Put NULL in; repeatable."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Edited output of 'show --json'."),
    ] = None,
    policies: Policies,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Load rows from quarantine, repaired, with all constraints on; exit code 5 if some remain."""
    repair = from_options(assignments or (), nulls or (), file, policies)
    wanted = ids or (sorted(repair.rows) if file and not (table or everything) else None)
    if (bool(wanted), bool(table), everything).count(True) != 1:
        raise UsageError(
            "Say which rows: ids, --table, --all, or a file of rows with --from.",
            "'python -m migration quarantine list' shows them.",
        )
    with open_target(Server.discover()) as connection:
        chosen = Chosen(ids=wanted, table=table, replayed=bool(wanted))
        rows = read.chosen_rows(connection, chosen)
        waiting = {row["id"]: row["table_name"] for row in rows if not row["replayed_at"]}
        repair = repair.for_tables(set(waiting.values()))
        outcome = replay_rows(connection, list(waiting), repair, dry_run=dry_run)
        outcome.earlier = [row["id"] for row in rows if row["replayed_at"]]
    if as_json:
        typer.echo(json.dumps(show.outcome(outcome, dry_run=dry_run), ensure_ascii=False, indent=2))
    else:
        show.replayed(out, outcome, dry_run=dry_run)
    if outcome.failed:
        raise QuarantineError(
            f"{len(outcome.failed)} of {len(waiting)} rows are still refused.",
            "'python -m migration quarantine show ID' says what would help.",
        )
