"""DuckDB with its sqlite and postgres extensions, in a process of its own.

python -m benchmarks.migration.duckdb_copy script.sql
"""

import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

from benchmarks.migration.ours import CHECKOUT
from benchmarks.migration.prepare import Prepared, Table
from benchmarks.migration.statements import literal, quoted
from database.apply import ADMIN, psql_environment
from database.connect import passfile
from database.errors import TargetError
from database.settings import Server

_EXTENSIONS = ("sqlite_scanner", "postgres_scanner")


def load(prepared: Prepared, target: Server, folder: Path) -> None:
    """`INSERT INTO postgres SELECT FROM sqlite`, table by table."""
    script = folder / "duckdb.sql"
    script.write_text(_script(prepared), encoding="utf-8")
    with passfile(target, ADMIN) as password_file:
        # The address comes from libpq's variables, so that no password is in the script.
        address = psql_environment(target, password_file) | {"PGUSER": ADMIN}
        result = _start(str(script), address)
    if result.returncode:
        raise TargetError(f"DuckDB failed: {_last_line(result.stderr)}")


@cache
def is_missing() -> str | None:
    """Why DuckDB cannot be used here: not installed, or without its extensions."""
    result = _start()
    return _last_line(result.stderr) if result.returncode else None


def _start(
    script: str = "", environment: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.migration.duckdb_copy", script],
        cwd=CHECKOUT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "no reason given")


def _script(prepared: Prepared) -> str:
    attach = (
        f"attach {literal(str(prepared.source))} as source (type sqlite, read_only);\n"
        "attach '' as target (type postgres);\n"
    )
    return attach + "".join(map(_insert, prepared.tables))


def _insert(table: Table) -> str:
    targets = ", ".join(quoted(column.target) for column in table.columns)
    sources = ", ".join(quoted(column.source) for column in table.columns)
    return (
        f"insert into target.public.{quoted(table.target)} ({targets}) "
        f"select {sources} from source.{quoted(table.source)};\n"
    )


def _run(script: str) -> None:
    """Load the extensions (from packages where they come as such) and run a script, if any."""
    duckdb = import_module("duckdb")
    connection = duckdb.connect()
    for name in _EXTENSIONS:
        packaged = _packaged(name, duckdb.__version__)
        if packaged is None:
            connection.install_extension(name)
        connection.load_extension(str(packaged or name))
    if script:
        connection.execute(Path(script).read_text(encoding="utf-8"))


def _packaged(name: str, version: str) -> Path | None:
    """An extension that came as a Python package, where DuckDB's own server cannot be reached."""
    found = [
        path
        for folder in map(Path, sys.path)
        for path in folder.glob(f"duckdb_ext/extensions/v{version}/*/{name}.duckdb_extension")
    ]
    return found[0] if found else None


if __name__ == "__main__":
    _run(sys.argv[1])
