"""`mcp-server-atlas-pg audit`: verify, show and archive what agents did."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console

from database import cli
from database.connect import connect
from database.errors import UsageError, VerificationError
from database.settings import Server
from mcp_server.audit import chain
from mcp_server.audit.archive import archive as archive_records
from mcp_server.audit.archive import archived_links
from mcp_server.audit.recorder import LOGIN
from mcp_server.sql import sql_text

app = cli.application("Records of what agents did: verify them, look at them, archive them.")
out = Console(highlight=False, soft_wrap=True)


@app.command()
def verify(
    anchor: Annotated[
        str | None, typer.Option(help="A record that must be there: position:hash.")
    ] = None,
    archive: Annotated[
        Path | None, typer.Option(help="Verify a file of 'audit archive' instead.")
    ] = None,
) -> None:
    """Walk the chain of records; name the first broken link, with exit code 6.

    Prints the anchor of the last record. Kept elsewhere and given to the next run, it shows
    whether the end of the chain was cut off since.
    """
    expected = chain.parse_anchor(anchor) if anchor else None
    if archive is not None:
        _judge(chain.walk(archived_links(archive), expected))
        return
    with _connection() as connection:
        verdict = chain.walk(chain.links(connection), expected)
        faults = chain.false_writes(connection)
        opened = chain.open_calls(connection)
    for call_id, state in opened:
        out.print(f"call {call_id} has no end on record: {state}")
    for fault in faults:
        out.print(fault)
    _judge(verdict)
    if faults:
        raise VerificationError(
            f"{len(faults)} writes are not as they were committed.",
            "Compare with a backup: 'audit show CALL_ID' tells what is there now.",
        )


@app.command()
def show(
    call_id: Annotated[str | None, typer.Argument(help="One call, with its row images.")] = None,
    agent: Annotated[str | None, typer.Option(help="Calls of one agent.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Calls from this time on, UTC.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 50,
) -> None:
    """Print calls, the newest first, as one JSON object a line; or everything about one."""
    with _connection() as connection:
        if call_id is not None:
            cli.print_json(out, _call(connection, call_id))
            return
        cursor = connection.execute(
            sql_text("audit_calls").encode(), {"agent": agent, "since": since, "count": limit}
        )
        for row in cursor.fetchall():
            out.print(row[0], markup=False)


@app.command()
def archive(
    before: Annotated[datetime, typer.Option(help="Records of before this time, UTC.")],
    to: Annotated[Path, typer.Option(help="The new file that they are written to.")],
) -> None:
    """Move old records and row images to a file; a checkpoint in the chain says so.

    Runs as the administrator. What was archived cannot be undone any more.
    """
    server = Server.discover()
    with connect(server, server.administrator) as connection:
        connection.execute("set timezone to 'UTC'")
        count = archive_records(connection, before, to)
    out.print(f"{count} records written to {to}" if count else "no record is that old")


def main(arguments: list[str]) -> None:
    """The command. Exit codes are those of `database.errors`."""
    cli.run(lambda: app(arguments, prog_name="mcp-server-atlas-pg audit"))


@contextmanager
def _connection() -> Iterator[chain.Connection]:
    with connect(Server.discover(), LOGIN) as connection:
        # One state for everything that is compared; and times as they are hashed.
        connection.execute("set transaction isolation level repeatable read read only")
        connection.execute("set local timezone to 'UTC'")
        connection.execute("set local bytea_output to 'hex'")
        yield connection


def _call(connection: chain.Connection, text: str) -> Any:  # noqa: ANN401 - a JSON object
    try:
        call_id = UUID(text)
    except ValueError:
        raise UsageError(f"{text!r} is no id of a call.", "'audit show' lists them.") from None
    row = connection.execute(sql_text("audit_call").encode(), {"call_id": call_id}).fetchone()
    if row is None:
        raise UsageError(f"There is no call {call_id}.", "'audit show' lists them.")
    return row[0]


def _judge(verdict: chain.Verdict) -> None:
    if verdict.broken is not None:
        raise VerificationError(
            f"The chain is broken: {verdict.broken}.",
            f"{verdict.records} records before it are as they were written. "
            "Compare the rest with a backup or a log of anchors.",
        )
    out.print(f"{verdict.records} records are as they were written")
    if verdict.anchor is not None:
        out.print(f"anchor {verdict.anchor}")
