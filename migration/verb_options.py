"""The options of the command line that several verbs have: written once."""

from pathlib import Path
from typing import Annotated

import typer

Source = Annotated[
    Path | None,
    typer.Argument(help="SQLite file, or a folder that holds one (default: SQLITE_PATH)."),
]
Schema = Annotated[
    str, typer.Option("--schema", help="Schema of the target that everything goes into.")
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        min=1,
        max=64,
        help="Processes at work on each side (default: MIGRATION_JOBS, by the cores).",
    ),
]
MaxLock = Annotated[
    float, typer.Option("--max-lock", min=0.05, max=60, help="Seconds that writers may wait.")
]
