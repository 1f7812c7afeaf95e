"""`make demo`: a SQLite database moves into PostgreSQL, is compared, and answers an agent.

Everything is real: the embedded server, the migration, and the MCP server over stdio with the
SDK's own client. A second run finds the work done.
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from rich.console import Console
from rich.markup import escape

from database import cli
from database.apply import apply_schema
from database.embedded.server import EmbeddedServer, default_directory
from database.settings import Server
from migration import show
from migration.load import EngineName
from migration.progress import Steps
from migration.run import Options, Outcome, migrate
from migration.snapshot import file_sha256
from migration.source import check_source, find_source
from scripts.demo_data.size import parse_size
from scripts.make_demo_database import make_demo_database

DEMO_FOLDER = Path("var/demo")

out = Console(highlight=False, soft_wrap=True)
app = cli.application("Migrate a database into the embedded PostgreSQL, and ask it through MCP.")

#: The plan's six tools, each as an agent would call it.
_CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("postgres_health_check", {}),
    ("postgres_list_tables", {}),
    ("postgres_describe_table", {"table_name": "tasks"}),
    (
        "postgres_query",
        {"query": "select level, count(*) as logs from logs group by level order by logs desc"},
    ),
    ("postgres_query", {"query": "DELETE FROM logs"}),
    ("postgres_execute", {"query": "update files set size = 0 where id = -1"}),
    (
        "postgres_schema_alter",
        {"ddl": "create index if not exists demo_logs_level on logs (level)"},
    ),
)


@app.command()
def demo(
    sqlite: Annotated[
        Path | None, typer.Option(help="Database to migrate (default: one is made).")
    ] = None,
    size: Annotated[str, typer.Option(help="Size of the database that is made.")] = "5MB",
    engine: Annotated[EngineName, typer.Option(help="How rows are loaded.")] = EngineName.COPY,
) -> None:
    """Migrate, verify and query a database, and leave the server running."""
    source = _source(sqlite, size)
    instance = EmbeddedServer(default_directory())
    server = instance.start()
    # A database for each content: another demo neither meets the rows of this one nor loses them.
    name = re.sub(r"[^a-z0-9]+", "_", source.stem.lower()).strip("_")[:40]
    server = server.with_database(f"demo_{name}_{file_sha256(source)[:8]}")
    apply_schema(server)
    out.print(f"[bold]PostgreSQL[/] {server} in {instance.directory}, sql/ applied")

    out.print(f"[bold]Migrating[/] {escape(str(source))}")
    options = Options(source, DEMO_FOLDER.absolute(), engine, quarantine=True)
    outcome = migrate(server, options, Steps(Console(stderr=True, highlight=False)))
    show.outcome(out, outcome)
    if outcome.report.data["verdict"] == "failed" and outcome.error:
        raise outcome.error

    out.print("[bold]Asking through MCP[/] (mcp-server-atlas-pg over stdio)")
    anyio.run(_ask, server)
    _summary(server, outcome)
    if outcome.error:
        raise outcome.error


def _source(sqlite: Path | None, size: str) -> Path:
    if sqlite is not None:
        found = find_source(sqlite) or sqlite
        check_source(found)
        return found
    path = DEMO_FOLDER / f"atlastrinity-{size.lower()}.db"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        out.print(f"[bold]Making[/] a demo database of {size}: {path}")
        make_demo_database(path, target_bytes=parse_size(size))
    return path


async def _ask(server: Server) -> None:
    """Call the tools through the SDK's client, and show what an agent would get."""
    parameters = StdioServerParameters(
        command=str(Path(sys.executable).with_name("mcp-server-atlas-pg")),
        env={**os.environ, **_environment(server), "MCP_LOG_LEVEL": "error"},
    )
    async with Client(stdio_client(parameters)) as client:
        for tool, arguments in _CALLS:
            result = await client.call_tool(tool, arguments)
            answer = result.structured_content or {}
            mark = "[green]✓[/]" if answer.get("success") else "[yellow]refused[/]"
            out.print(f"  {mark} {tool} {escape(json.dumps(arguments) if arguments else '')}")
            out.print(f"      [dim]{escape(_brief(answer))}[/]")


def _environment(server: Server) -> dict[str, str]:
    return {
        "POSTGRES_HOST": server.host,
        "POSTGRES_PORT": str(server.port),
        "POSTGRES_DB": server.database,
        "SECRETS_DIR": str(server.secrets_dir),
    }


def _brief(answer: dict[str, Any]) -> str:
    chosen = {
        key: value
        for key, value in answer.items()
        if key in ("version", "table_count", "database_size", "status", "rows", "count")
        or key in ("affected", "message", "error", "sqlstate")
    }
    if not chosen:
        listed = answer.get("tables") or answer.get("columns") or []
        chosen = {
            "names": [entry.get("table_name") or entry.get("column_name") for entry in listed]
        }
    text = json.dumps(chosen, ensure_ascii=False, default=str)
    return text if len(text) <= 160 else text[:157] + "…"


def _summary(server: Server, outcome: Outcome) -> None:
    entry = {
        "postgres": {
            "command": str(Path(sys.executable).with_name("mcp-server-atlas-pg")),
            "args": [],
            "env": _environment(server),
            "tier": 2,
            "agents": ["atlas", "tetyana", "grisha"],
        }
    }
    folder = Path(sys.executable).parent
    for label, text in (
        ("verdict", outcome.report.data["verdict"].upper()),
        ("report", str(outcome.directory / "report.html")),
        ("look", f"POSTGRES_DB={server.database} {folder / 'python'} -m database psql"),
        ("stop", "make demo-down"),
        ("attach", "put this under mcpServers in ~/.config/atlastrinity/mcp/config.json:"),
    ):
        out.print(f"[bold green]{label:<8}[/] {escape(text)}")
    out.print_json(json.dumps(entry))


def main() -> None:
    """The console command."""
    cli.run(app)


if __name__ == "__main__":
    main()
