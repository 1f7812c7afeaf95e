"""One compose project of this repository, under a name and ports of its own."""

import json
import os
import re
import socket
import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

#: Variables that compose.yaml reads: the machine's own values must not reach the tests.
VARIABLES = sorted(
    {
        name
        for path in ROOT.glob("compose*.yaml")
        for name in re.findall(r"\$\{(\w+)", path.read_text())
    }
)

SECRET_NAMES = (
    *("postgres_password", "atlas_password", "migrator_password"),
    *(
        "mcp_read_password",
        "mcp_write_password",
        "mcp_heal_password",
        "mcp_audit_password",
        "mcp_token",
    ),
    "mcp_context_key",
    "backup_cipher_key",
)


def docker(*arguments: str, check: bool = True, stdin: str | None = None) -> str:
    """Standard output of a docker command."""
    return run(["docker", *arguments], check=check, stdin=stdin).stdout


def run(
    command: list[str],
    *,
    check: bool = True,
    stdin: str | None = None,
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command from the repository's root; a failure shows what it printed."""
    result = subprocess.run(
        command,
        cwd=ROOT,
        env=env,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        check=False,
    )
    if check:
        assert result.returncode == 0, (
            f"{' '.join(command)} ended {result.returncode}:\n{result.stdout[-3000:]}\n"
            f"{result.stderr[-6000:]}"
        )
    return result


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody holds now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Project:
    """`docker compose` for one project; nothing of it is left after `remove`."""

    #: Folder mounted as the source of the migration.
    data: Path
    settings: dict[str, str] = field(default_factory=dict)
    name: str = field(default_factory=lambda: f"atlas-test-{uuid.uuid4().hex[:8]}")
    postgres_port: int = field(default_factory=free_port)
    mcp_port: int = field(default_factory=free_port)
    root: Path = ROOT
    #: The compose files; the first one's folder is the project's.
    files: tuple[str | Path, ...] = ("compose.yaml",)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every compose command of this project."""
        inherited = {key: value for key, value in os.environ.items() if key not in VARIABLES}
        return {
            **inherited,
            "SQLITE_DIR": str(self.data),
            "POSTGRES_PORT": str(self.postgres_port),
            "MCP_PORT": str(self.mcp_port),
            **self.settings,
        }

    def command(self, *arguments: str) -> list[str]:
        """The arguments of a compose command; a developer's `.env` is not read."""
        base = ["docker", "compose", "--env-file", os.devnull, "--progress", "quiet"]
        for file in self.files:
            base += ["--file", str(file)]
        return [*base, "--project-name", self.name, *arguments]

    def compose(
        self, *arguments: str, check: bool = True, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a compose command to its end."""
        return run(self.command(*arguments), check=check, stdin=stdin, env=self.environment)

    def up(self, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """The README's command."""
        return self.compose("up", "--build", "--detach", "--wait", check=check)

    def remove(self) -> None:
        """Remove containers, volumes, network and this project's image names."""
        # Those of the profiles as well.
        options = ("--volumes", "--remove-orphans", "--rmi=local", "--timeout=5")
        self.compose("--profile", "*", "down", *options)

    def containers(self) -> dict[str, dict[str, Any]]:
        """`docker inspect` of every container, stopped ones too, by service."""
        ids = self.compose("ps", "--all", "--quiet").stdout.split()
        inspected = json.loads(docker("inspect", *ids))
        label = "com.docker.compose.service"
        return {entry["Config"]["Labels"][label]: entry for entry in inspected}

    def images(self) -> list[str]:
        """The names of the project's images."""
        return sorted(set(self.compose("config", "--images").stdout.split()))

    def secret(self, name: str) -> str:
        """A secret, the way README shows it."""
        shown = self.compose("run", "--rm", "--no-deps", "-T", "secrets", "show", name)
        return shown.stdout.strip()

    def psql(self, statement: str) -> str:
        """The result of a statement run by the superuser inside the container."""
        psql = ("psql", "--no-psqlrc", "-U", "postgres", "-d", "atlastrinity_prod", "-Atc")
        return self.compose("exec", "-T", "postgres", *psql, statement).stdout.strip()

    def dump(self) -> str:
        """Everything in the server: roles with their verifiers, schema, rows."""
        # The key of \restrict is random otherwise.
        dumpall = ("pg_dumpall", "-U", "postgres", "--restrict-key=test")
        return self.compose("exec", "-T", "postgres", *dumpall).stdout
