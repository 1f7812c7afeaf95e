"""`python -m database`: the embedded server, and sql/ on whichever server is configured."""

import json
import subprocess
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from database import cli
from database.apply import apply_schema, psql_environment
from database.binaries import client_program
from database.catalogue import compare, facts
from database.catalogue.scratch import scratch_facts
from database.connect import connect, passfile
from database.embedded.server import EmbeddedServer, default_directory
from database.errors import VerificationError
from database.secrets import ensure_secrets
from database.settings import Environment, Server

app = cli.application("PostgreSQL for the bundle: the embedded server and the schema of sql/.")
out = Console(highlight=False, soft_wrap=True)

Directory = Annotated[
    Path | None, typer.Option("--directory", help="Instance folder (default: EMBEDDED_DIR).")
]


@app.command()
def start(directory: Directory = None) -> None:
    """Start the embedded server, creating it at first, and apply sql/ to it."""
    instance = EmbeddedServer(directory or default_directory())
    server = instance.start()
    apply_schema(server)
    out.print(f"PostgreSQL runs at {server} as '{instance.account.name}' in {instance.directory}")


@app.command()
def stop(directory: Directory = None) -> None:
    """Stop the embedded server; its data stays."""
    stopped = EmbeddedServer(directory or default_directory()).stop()
    out.print("stopped" if stopped else "was not running")


@app.command()
def status(directory: Directory = None) -> None:
    """Say whether the embedded server runs and where it listens; exit code 4 where it doesn't."""
    instance = EmbeddedServer(directory or default_directory())
    if not instance.running():
        out.print(f"not running ({instance.directory})")
        raise typer.Exit(4)
    server = Server.from_instance(instance.directory)
    with connect(server.with_database("postgres"), "postgres") as connection:
        row = connection.execute("select current_setting('server_version')").fetchone()
    out.print(f"PostgreSQL {row[0] if row else '?'} runs at {server} in {instance.directory}")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(
    context: typer.Context,
    role: Annotated[str, typer.Option(help="Login to use.")] = "atlas",
    directory: Directory = None,
) -> None:
    """Open psql on the configured server; further arguments go to psql."""
    server = Server.from_instance(directory) if directory else Server.discover()
    with passfile(server, role) as password_file:
        result = subprocess.run(
            [client_program("psql"), "--no-password", "--username", role, *context.args],
            env=psql_environment(server, password_file),
            check=False,
        )
    raise typer.Exit(result.returncode)


@app.command()
def apply(directory: Directory = None) -> None:
    """Bring the configured server's database to the state of sql/; changes nothing when it is."""
    server = Server.from_instance(directory) if directory else Server.discover()
    apply_schema(server, admin=server.administrator)
    out.print(f"{server} is as sql/ says")


@app.command()
def drift(
    directory: Directory = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the differences as JSON.")] = False,
    as_sql: Annotated[
        bool, typer.Option("--sql", help="Print the SQL that repairs them, for psql.")
    ] = False,
    by_hand: Annotated[
        bool, typer.Option("--by-hand", help="With --sql: also what may lose or lack values.")
    ] = False,
    write_declared: Annotated[
        bool, typer.Option("--write-declared", help="Write declared.json after a change of sql/.")
    ] = False,
) -> None:
    """Say what of the database is not as sql/ declares it; changes nothing. Exit code 6: drift."""
    server = Server.from_instance(directory) if directory else Server.discover()
    declared = scratch_facts(server, admin=server.administrator)
    if write_declared:
        facts.write_declared(declared)
        out.print(f"written: {facts.DECLARED}")
        return
    with connect(server, server.administrator) as connection:
        found = compare.drift(declared, facts.live_facts(connection))
    if as_json:
        print(json.dumps([difference.fields() for difference in found], indent=2))
    elif as_sql:
        print("".join(f"{statement};\n" for statement in compare.repairs(found, by_hand=by_hand)))
    else:
        print("\n".join(map(str, found)) or f"{server} is as sql/ says")
    if any(difference.is_drift for difference in found):
        raise typer.Exit(VerificationError.exit_code)


@app.command()
def secrets(
    directory: Annotated[
        Path | None, typer.Option("--directory", help="Folder to write to (default: SECRETS_DIR).")
    ] = None,
) -> None:
    """Generate the passwords that are missing; never overwrites one."""
    folder = directory or Environment().secrets_dir
    created = ensure_secrets(folder)
    out.print(f"{len(created)} secrets generated in {folder}" if created else "nothing to generate")


def main() -> None:
    """The console command."""
    cli.run(app)


if __name__ == "__main__":
    main()
