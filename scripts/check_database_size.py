"""Is it time to leave SQLite? Looks at the platform's database; changes and disturbs nothing.

python scripts/check_database_size.py [DATABASE] [--json]
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

# Started as a file, Python looks for packages in scripts/ alone.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from database import cli
from database.errors import SourceError
from migration.settings import MigrationSettings
from migration.source import find_source
from scripts.database_size.check import check_database
from scripts.database_size.show import show
from scripts.database_size.triggers import Stated

app = cli.application("Say how large a SQLite database is, and whether it is time to leave SQLite.")


@app.command()
def main(
    database: Annotated[
        Path | None,
        typer.Argument(help="SQLite file, or a folder that holds one (default: SQLITE_PATH)."),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    probe: Annotated[
        bool, typer.Option("--probe/--no-probe", help="Look at the write lock for some seconds.")
    ] = True,
    probe_seconds: Annotated[
        float, typer.Option(min=0.1, max=600, help="How long to look at it.")
    ] = 3.0,
    agents: Annotated[
        int | None, typer.Option(min=0, help="How many agents work at once (default: as recorded).")
    ] = None,
    analytics: Annotated[
        bool | None,
        typer.Option("--analytics/--no-analytics", help="Window functions or JSON are needed."),
    ] = None,
    high_load: Annotated[
        bool | None,
        typer.Option("--high-load/--no-high-load", help="A high-load deployment is planned."),
    ] = None,
) -> None:
    """Say how large a SQLite database is, and whether it is time to leave SQLite.

    The exit code is 0 whatever the verdict.
    """
    found = check_database(
        _find(database),
        probe_seconds=probe_seconds if probe else None,
        stated=Stated(agents, analytics, high_load),
    )
    if as_json:
        sys.stdout.write(json.dumps(found.as_json(), ensure_ascii=False, indent=2) + "\n")
    else:
        show(Console(highlight=False), found)


def _find(database: Path | None) -> Path:
    wanted = database or MigrationSettings().sqlite_path
    try:
        path = find_source(wanted)
    except OSError as error:
        raise SourceError(
            f"Cannot read {wanted}: {error.strerror}.", "Check its permissions."
        ) from error
    if path is None:
        raise SourceError(
            f"There is no SQLite database in {wanted}.", "Name the file, or set SQLITE_PATH."
        )
    return path


if __name__ == "__main__":
    cli.run(app)
