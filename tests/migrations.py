"""What many tests of migrations begin with: a source by a script, a run, its report."""

import contextlib
import json
import os
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

from database.settings import Server
from tests.programs import query, run_module

LOGS = """create table logs (id integer primary key, session_id varchar(100), timestamp datetime,
    level varchar(20), source varchar(100), message text, metadata_blob json);
"""


def log_row(number: int, message: str = "'m'", when: str = "'2026-02-01 10:00:00'") -> str:
    values = f"{number}, null, {when}, 'INFO', 's', {message}, null"
    return f"insert into logs values ({values});\n"


def make(path: Path, script: str) -> Path:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


def migrate(
    server: Server, source: Path, *options: str, **settings: object
) -> subprocess.CompletedProcess[str]:
    work = source.parent / "work" if os.access(source.parent, os.W_OK) else source.parent
    return run_module(
        "migration", "run", source, *options, server=server, **{"MIGRATION_DIR": work, **settings}
    )


def report(server: Server, source: Path, *options: str) -> tuple[int, dict[str, Any]]:
    result = migrate(server, source, "--json", *options)
    assert "Traceback" not in result.stderr, result.stderr
    return result.returncode, json.loads(result.stdout)


def wait_for_no_migration(server: Server) -> None:
    for _ in range(100):
        if (
            query(
                server,
                "select 1 from pg_stat_activity where application_name = 'migration'"
                " and datname = current_database()",
            )
            == []
        ):
            return
        time.sleep(0.1)
    raise AssertionError("the killed migration's session is still there")
