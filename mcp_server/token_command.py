"""`mcp-server-atlas-pg token …`: issue, list and revoke the tokens of agents.

A token is shown once, when it is issued; what is stored is its hash.
"""

import fcntl
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from database import cli
from database.errors import UsageError
from database.settings import Environment
from mcp_server import logs
from mcp_server.agents import load_agents
from mcp_server.http.tokens import (
    PREFIX,
    Token,
    TokensFile,
    parse_scopes,
    tokens_path,
    write_lines,
)
from mcp_server.pools import Capability
from mcp_server.settings import Settings

app = cli.application("Tokens of agents for MCP over HTTP.")

_HEAD = "# agent  scopes  sha256  further; made by mcp-server-atlas-pg token, see docs/reference"


def main(arguments: list[str]) -> None:
    """The command; ends the process with the exit code of an error."""
    logs.configure("warning")
    cli.run(lambda: app(arguments, prog_name="mcp-server-atlas-pg token"))


@app.command()
def issue(
    agent: Annotated[str, typer.Argument(help="Whom the token speaks for.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="read, write or heal; may be repeated. All that the agent may do."),
    ] = None,
    days: Annotated[
        int | None, typer.Option(help="Days that it is valid; for ever.", min=1)
    ] = None,
    session: Annotated[
        str, typer.Option(help="Session of the platform that it is bound to; none.")
    ] = "",
) -> None:
    """Make a token, store its hash, and print it: this once."""
    caller = load_agents(Settings()).caller(agent)
    scopes = _scopes(scope) if scope else caller.capabilities
    if beyond := scopes - caller.capabilities:
        raise UsageError(
            f"{agent} may not {' or '.join(sorted(one.word for one in beyond))}.",
            "The agents file says what an agent may do; a token can only narrow it.",
        )
    if any(letter == "#" or not "!" <= letter <= "~" for letter in session):
        raise UsageError("A session is letters, digits and signs but #.", "Give its UUID.")
    now = datetime.now(UTC)
    token = PREFIX + secrets.token_urlsafe(32)
    entry = Token(
        agent,
        scopes,
        sha256(token.encode()).hexdigest(),
        now,
        now + timedelta(days=days) if days else None,
        session,
    )
    with _changing() as (path, lines):
        write_lines(path, [*(lines or [_HEAD]), entry.line()])
    print(f"token {entry.id} of {agent} is in {path}; it is shown only now:", file=sys.stderr)
    print(token)


@app.command("list")
def list_() -> None:
    """Show which tokens there are; never the tokens."""
    path = tokens_path(Environment().secrets_dir)
    now = datetime.now(UTC)
    for token in TokensFile(path, load_agents(Settings())).tokens():
        words = token.line().split()
        state = "  expired" if token.is_expired(now) else ""
        print("  ".join([token.id, words[0], words[1], *words[3:]]) + state)


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As list shows it.")],
) -> None:
    """Take a token out; servers that run refuse it from their next request on."""
    with _changing() as (path, lines):
        kept = [line for line in lines if not _is(line, token_id)]
        if len(token_id) < 12 or len(kept) == len(lines):
            raise UsageError(
                f"There is no token {token_id} in {path}.", "'token list' shows which there are."
            )
        write_lines(path, kept)
    print(f"token {token_id} is revoked", file=sys.stderr)


def _is(line: str, token_id: str) -> bool:
    words = line.partition("#")[0].split()
    return len(words) >= 3 and words[2].startswith(token_id)


def _scopes(words: list[str]) -> frozenset[Capability]:
    try:
        return parse_scopes(",".join(words))
    except ValueError as error:
        raise UsageError(f"Wrong scope: {error}.", "Use --scope read, for instance.") from error


@contextmanager
def _changing() -> Iterator[tuple[Path, list[str]]]:
    """The file and its lines, while nobody else changes it."""
    path = tokens_path(Environment().secrets_dir)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
            yield path, lines
        finally:
            os.close(folder)
    except OSError as error:
        raise UsageError(
            f"Cannot change the tokens file {path}: {error.strerror}.",
            "Run the command as the file's owner, or name another file with MCP_TOKENS_FILE.",
        ) from error
