"""Switching the platform's configuration: scripts/attach_agents.py, as a program of its own."""

import shlex
import subprocess
import sys
from pathlib import Path

from database.errors import UsageError

_CHECKOUT = Path(__file__).resolve().parents[2]


def attach(options: str, *, dry_run: bool = False) -> None:
    """Run it with these options, as one would write them in a shell; it prints for itself.

    Raises:
        UsageError: it failed, and has said why.
    """
    command = [sys.executable, "-m", "scripts.attach_agents", *shlex.split(options)]
    ended = subprocess.run([*command, *["--dry-run"] * dry_run], cwd=_CHECKOUT, check=False)
    if ended.returncode == 0:
        return
    again = f"python -m scripts.attach_agents {options}".strip()
    if dry_run:
        raise UsageError(
            "The platform's configuration cannot be switched, so nothing was begun.",
            f"What is said above names the cause; try '{again} --dry-run'.",
        )
    raise UsageError(
        "The data are in PostgreSQL, but the platform's configuration was not switched.",
        f"What is said above names the cause; then run '{again}', or 'python -m migration "
        "rollback' to go back.",
    )
