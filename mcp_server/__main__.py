"""`mcp-server-atlas-pg`, also `python -m mcp_server`: over stdio, or over HTTP with --http."""

import argparse
import signal
import sys
from typing import NoReturn

import uvloop
from mcp.server.stdio import stdio_server
from pydantic import ValidationError

from database.errors import BundleError
from mcp_server import logs
from mcp_server.server import NAME, build_server, open_access
from mcp_server.settings import Settings
from mcp_server.tools import Access


def main() -> None:
    """The console command. Exit codes are those of `database.errors`."""
    if sys.argv[1:2] == ["audit"]:
        from mcp_server.audit.command import main as audit  # noqa: PLC0415

        audit(sys.argv[2:])
        return
    if sys.argv[1:2] == ["token"]:
        from mcp_server.token_command import main as manage_tokens  # noqa: PLC0415 - for people

        manage_tokens(sys.argv[2:])
        return
    if sys.argv[1:2] == ["heal"]:
        from mcp_server.heal_command import main as heal  # noqa: PLC0415

        heal(sys.argv[2:])
        return
    options = _options()
    try:
        settings = Settings()
        changes = {"host": options.host, "port": options.port, "agent": options.agent}
        settings = settings.model_copy(
            update={name: value for name, value in changes.items() if value is not None}
        )
        logs.configure(settings.log_level)
        access = open_access(settings)
        if options.http:
            # Late: a server over stdio needs none of it, and starts while an agent waits.
            from mcp_server.http import serve  # noqa: PLC0415

            serve(access, settings)
        else:
            # Ctrl-C ends the process at once: a thread that reads stdin cannot be stopped.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            uvloop.run(_serve_stdio(access))
    except (BundleError, ValidationError) as error:
        _fail(error)


async def _serve_stdio(access: Access) -> None:
    server = build_server(access)
    async with stdio_server() as (read_stream, write_stream):
        await server.run(read_stream, write_stream, server.create_initialization_options())


def _options() -> argparse.Namespace:
    # argparse rather than typer: half of the time to start would be typer's.
    parser = argparse.ArgumentParser(
        prog=NAME,
        description="MCP server for the platform's PostgreSQL database. Speaks MCP on stdin and "
        "stdout; with --http, streamable HTTP at /mcp. 'audit --help': what agents did, verified, "
        "shown and archived. 'token --help': tokens of agents. 'heal --help': the "
        "watcher that heals, and its switch.",
        epilog="Settings come from the environment (MCP_…, POSTGRES_…, SECRETS_DIR) or .env.",
    )
    parser.add_argument("--agent", help="whom the server speaks for (MCP_AGENT; shared)")
    parser.add_argument("--http", action="store_true", help="serve streamable HTTP")
    parser.add_argument("--host", help="address to listen on (MCP_HOST; 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (MCP_PORT; 8765)")
    return parser.parse_args()


def _fail(error: BundleError | ValidationError) -> NoReturn:
    # Late, since it brings a console library with it.
    from database import cli  # noqa: PLC0415

    def raise_again() -> NoReturn:
        raise error

    cli.run(raise_again)
    raise AssertionError("cli.run ends the process on an error")


if __name__ == "__main__":
    main()
