"""The migration itself, started as a user starts it; its JSON report says how long steps took."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from database.errors import TargetError
from database.settings import Server

CHECKOUT = Path(__file__).resolve().parents[2]


def migrate(target: Server, source: Path, engine: str, work: Path) -> dict[str, Any]:
    """Run the migration; return its report.

    Args:
        target: a database with sql/ applied.
        source: the SQLite database.
        engine: `copy` or `pgloader`.
        work: becomes MIGRATION_DIR.

    Raises:
        TargetError: it did not end well.
    """
    result = subprocess.run(
        [sys.executable, "-m", "migration", "run", source, "--engine", engine, "--json"],
        cwd=CHECKOUT,
        env={
            **os.environ,
            # It would go before the rest.
            "DATABASE_URL": "",
            "POSTGRES_HOST": target.host,
            "POSTGRES_PORT": str(target.port),
            "POSTGRES_DB": target.database,
            "POSTGRES_SSLMODE": target.sslmode,
            "SECRETS_DIR": str(target.secrets_dir),
            "MIGRATION_DIR": str(work),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise TargetError(f"the migration with {engine} failed: {result.stderr.strip()[-2000:]}")
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def phases_of(report: dict[str, Any]) -> dict[str, float]:
    """Seconds by the step."""
    return {phase["name"]: float(phase["seconds"]) for phase in report["phases"]}


def loading_seconds(phases: dict[str, float]) -> float:
    """Seconds from the first row to the last foreign key.

    Raises:
        KeyError: the report has no such steps any more; then this module has to follow.
    """
    return phases["load"] + phases["constraints"] + phases.get("stage", 0.0)
