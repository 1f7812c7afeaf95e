"""What the tests of backups share: a server of their own, its repository, and the two commands."""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backup.repository import Backup, Repository
from database.apply import apply_schema
from database.embedded.server import EmbeddedServer
from database.settings import Server
from tests.programs import CHECKOUT, environment, query, run_python


@dataclass
class Place:
    """An embedded server and the repository of its backups."""

    instance: EmbeddedServer
    repository: Repository

    @property
    def server(self) -> Server:
        return Server.from_instance(self.instance.directory)

    def settings(self, **further: object) -> dict[str, str]:
        chosen = {
            "BACKUP_DIR": self.repository.directory,
            "EMBEDDED_DIR": self.instance.directory,
            **further,
        }
        found = environment(None, **chosen)
        return {
            name: value
            for name, value in found.items()
            if name in chosen or name not in ("POSTGRES_HOST", "DATABASE_URL")
        }

    def run(
        self, command: str, *arguments: object, **settings: object
    ) -> subprocess.CompletedProcess[str]:
        """`python scripts/<command>.py …`, as the documentation has it."""
        variables = self.settings(**settings)
        return run_python(f"scripts/{command}.py", *arguments, variables=variables)

    def start(self, command: str, *arguments: object, **settings: object) -> subprocess.Popen[str]:
        """The same, running."""
        return subprocess.Popen(
            [sys.executable, f"scripts/{command}.py", *map(str, arguments)],
            cwd=CHECKOUT,
            env=self.settings(**settings),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def take(self, **settings: object) -> Backup:
        result = self.run("backup", "take", **settings)
        assert result.returncode == 0, result.stderr
        return self.repository.find(None)

    def check(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("backup", "check", "--json").stdout)
        return found

    def write(self, *numbers: int) -> str:
        """Numbered rows in one transaction; its id."""
        with contextlib.closing(connect(self.server)) as connection:
            row = connection.execute("select pg_current_xact_id()::text").fetchone()
            assert row is not None
            for number in numbers:
                connection.execute("insert into written values (%s)", [number])
            connection.commit()
        return str(row[0])

    def now(self) -> str:
        return str(query(self.server, "select clock_timestamp()::text")[0][0])


def connect(server: Server) -> Any:
    from database.connect import connect as connect_to

    return connect_to(server, "postgres")


def numbers(server: Server) -> list[int]:
    """The numbers that were written."""
    return [int(str(n)) for (n,) in query(server, "select number from written order by 1")]


@contextmanager
def place(**options: str) -> Iterator[Place]:
    """A fresh server with sql/ and a table of numbers, and an empty repository."""
    folder = Path(tempfile.mkdtemp(prefix="atlas-backup-"))
    folder.chmod(0o755)
    instance = EmbeddedServer(folder / "instance", options={"fsync": "off", **options})
    try:
        server = instance.start()
        apply_schema(server)
        query(server, "create table written (number int primary key)")
        # Hands it over to the owner of all tables.
        apply_schema(server)
        yield Place(instance, Repository(folder / "repository"))
    finally:
        remove(instance)
        subprocess.run(["rm", "-rf", folder], check=True)


@contextmanager
def restored(found: Place, *arguments: object) -> Iterator[Server]:
    """A server restored into a new folder, running."""
    folder = Path(tempfile.mkdtemp(prefix="atlas-restored-"))
    folder.chmod(0o755)
    instance = EmbeddedServer(folder / "instance", options={"fsync": "off"})
    try:
        result = found.run("restore", *arguments, "--directory", instance.directory)
        assert result.returncode == 0, result.stderr
        yield instance.start()
    finally:
        remove(instance)
        subprocess.run(["rm", "-rf", folder], check=True)


def remove(instance: EmbeddedServer) -> None:
    if instance.directory.exists():
        instance.remove()


def flip(path: Path, position: int) -> None:
    """Turn four bytes of a file over, in place."""
    with path.open("r+b") as file:
        file.seek(position)
        old = file.read(4)
        assert len(old) == 4
        file.seek(position)
        file.write(bytes(byte ^ 0xFF for byte in old))
