"""An own PostgreSQL 17 in an own folder.

An instance directory holds everything: `data/` (the cluster), `secrets/`, `server.log` and,
while it runs, `server.json` (where it listens). It listens on 127.0.0.1 alone, on a free port,
with SCRAM for everybody; so several instances live side by side and survive stop and start.
"""

import fcntl
import hashlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from database.binaries import has_library, server_binaries, server_version
from database.embedded.account import Account, server_account
from database.errors import TargetError, UsageError
from database.secrets import ensure_secrets, secret_path
from database.settings import DATABASE_NAME, SERVER_FILE, Environment, Server

_HOST = "127.0.0.1"
_START_ATTEMPTS = 10
_SETTLE_SECONDS = 0.5
_SYSTEM_STATE = Path("/var/lib/atlas-postgres")

# The same locale and checksums as in the container: sort orders and dumps agree everywhere.
_BUILTIN_LOCALE = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8")
_BUILTIN_LOCALE_VERSION = 17
_INITDB_OPTIONS = (
    "--encoding=UTF8",
    "--locale=C",
    "--auth=scram-sha-256",
    "--data-checksums",
    "--username=postgres",
)


def default_directory() -> Path:
    """The instance directory of this checkout: EMBEDDED_DIR, else one named after its path.

    Started as root it lies under /var/lib, since the server's user may be unable to enter
    the checkout (a home of mode 700).
    """
    configured = Environment().embedded_dir
    if configured:
        return configured.absolute()
    checkout = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256(str(checkout).encode()).hexdigest()[:8]
    if os.geteuid() == 0:
        return _SYSTEM_STATE / f"{checkout.name}-{digest}"
    state = Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local" / "state"))
    return state / "atlas-postgres" / f"{checkout.name}-{digest}"


class EmbeddedServer:
    """The server of one instance directory.

    Args:
        directory: the instance directory; created at the first start.
        options: further settings for the server, as name → value.
        binaries: the folder of the server's programs; PostgreSQL 17's are found without it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        options: dict[str, str] | None = None,
        binaries: Path | None = None,
    ) -> None:
        self.directory = directory.absolute()
        self.data = self.directory / "data"
        self.log = self.directory / "server.log"
        self.options = options or {}
        self._port_file = self.directory / "port"
        self._swap_file = self.directory / "swap.json"
        self._account: Account | None = None
        self._given_binaries = binaries
        self._binaries: Path | None = None

    @property
    def account(self) -> Account:
        """Whom the server runs as."""
        if self._account is None:
            self._account = server_account()
        return self._account

    def start(self) -> Server:
        """Start the server, creating its cluster and secrets first where they are missing.

        A server that already runs is left alone.

        Raises:
            TargetError: it does not start; the end of its log is in the message.
            UsageError: its user cannot enter the directory, or no PostgreSQL 17 is found.
        """
        # Before a cluster would be made in the place of one that is being moved.
        self.finish_swap()
        self.prepare_directory()
        with self._locked():
            if self.running():
                return Server.from_instance(self.directory)
            ensure_secrets(self.directory / "secrets")
            if not (self.data / "PG_VERSION").exists():
                self._initdb()
            port = self._start_on_free_port()
            return self._publish(port)

    def stop(self, *, mode: str = "fast") -> bool:
        """Stop the server; False where it was not running.

        Args:
            mode: pg_ctl's: "fast" ends sessions and shuts down cleanly, "immediate" crashes.
        """
        if not self.directory.exists():
            return False
        with self._locked():
            (self.directory / SERVER_FILE).unlink(missing_ok=True)
            if not self.running():
                return False
            self._pg_ctl("stop", "--mode", mode)
            return True

    def running(self) -> bool:
        """Whether a server runs on this cluster and takes connections."""
        if not (self.data / "PG_VERSION").exists():
            return False
        if self._run("pg_ctl", "status", "--pgdata", self.data).returncode != 0:
            return False
        # A killed postmaster still has its process number until somebody collects it.
        with socket.socket() as probe:
            return probe.connect_ex((_HOST, self._last_port())) == 0

    def occupied(self) -> bool:
        """Whether any server runs on this cluster, also one that takes no connections yet."""
        if not (self.data / "PG_VERSION").exists():
            return False
        status = self._run("pg_ctl", "status", "--pgdata", self.data)
        # A killed postmaster still has its process number until somebody collects it.
        return status.returncode == 0 and not self._is_dead()

    @contextmanager
    def kept_stopped(self) -> Iterator[None]:
        """While a cluster is restored that shall take the place of this one.

        Raises:
            TargetError: a server runs on it.
        """
        if self.occupied():
            raise TargetError(
                f"A server runs in {self.directory}: nothing is restored over it.",
                "Stop it with 'python -m database stop', or name another --directory.",
            )
        yield

    def secrets(self) -> Path:
        """The folder of the passwords that a restored cluster gets."""
        folder = self.directory / "secrets"
        ensure_secrets(folder)
        return folder

    def replace_data(self, new: Path) -> Path | None:
        """Put another cluster, which is shut down, in the place of this one.

        Returns:
            Where the old cluster was moved to; None where there was none.

        Raises:
            TargetError: a server runs on it.
        """
        self.finish_swap()
        self.prepare_directory()
        with self._locked():
            if self.occupied():
                raise TargetError(
                    f"A server runs in {self.directory}.",
                    "Stop it with 'python -m database stop', or name another --directory.",
                )
            old = None
            if any(self.data.iterdir()):
                stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
                old = self.directory / f"data.before-{stamp}"
            _write_whole(self._swap_file, json.dumps([str(new), str(old) if old else None]))
            self._finish_swap()
            return old

    def finish_swap(self) -> None:
        """Go on with a replacement of the cluster that was killed half-way."""
        if self._swap_file.exists():
            with self._locked():
                self._finish_swap()

    def _finish_swap(self) -> None:
        # Each step is done or is not, and none is done twice: the new cluster's folder is gone
        # when it stands in its place.
        if not self._swap_file.exists():
            return
        new, old = json.loads(self._swap_file.read_text())
        if Path(new).exists():
            if self.data.exists():
                if old:
                    self.data.rename(old)
                else:
                    self.data.rmdir()
            Path(new).rename(self.data)
        self._swap_file.unlink()

    def _is_dead(self) -> bool:
        lock = self.data / "postmaster.pid"
        number = lock.read_text().split("\n", 1)[0] if lock.exists() else ""
        state = subprocess.run(
            ["ps", "-o", "stat=", "-p", number], capture_output=True, text=True, check=False
        )
        return state.stdout.strip()[:1] in ("", "Z")

    def run_program(self, program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run a program of the server's installation as the server's user; all output is stdout."""
        return self._run(program, *arguments)

    def remove(self) -> None:
        """Stop the server and delete the instance with all of its data."""
        self.stop(mode="immediate")
        shutil.rmtree(self.directory, ignore_errors=False)

    def prepare_directory(self) -> None:
        """Make the instance directory.

        Raises:
            UsageError: it cannot be made, or the server's user cannot enter it.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        except OSError as error:
            raise UsageError(
                f"Cannot create {self.directory}: {error.strerror}.",
                "Choose another folder with EMBEDDED_DIR.",
            ) from error
        if self.account.differs and not self.account.can_reach(self.directory):
            raise UsageError(
                f"The server runs as '{self.account.name}', who cannot enter {self.directory}.",
                "Choose a folder under /var/lib or /var/tmp with EMBEDDED_DIR.",
            )
        self.data.mkdir(exist_ok=True, mode=0o700)
        self.account.own(self.data)
        self.log.touch(mode=0o600)
        self.account.own(self.log)

    def _initdb(self) -> None:
        # initdb reads the password from a file that its own user can read.
        with tempfile.NamedTemporaryFile("w", dir=self.directory, prefix=".initdb-") as file:
            secret = secret_path(self.directory / "secrets", "postgres_password")
            file.write(secret.read_text())
            file.flush()
            self.account.own(Path(file.name))
            pwfile = f"--pwfile={file.name}"
            version = server_version(self._server_binaries()) or 0
            locale = _BUILTIN_LOCALE if version >= _BUILTIN_LOCALE_VERSION else ()
            result = self._run("initdb", *_INITDB_OPTIONS, *locale, pwfile, "--pgdata", self.data)
        if result.returncode != 0:
            # A half-made cluster would look like a finished one to the next start.
            shutil.rmtree(self.data)
            raise TargetError(
                f"initdb failed: {result.stderr.strip()}",
                f"Free some space, or choose another folder than {self.directory}.",
            )

    def _start_on_free_port(self) -> int:
        # A port that is free now can be taken before PostgreSQL binds it: then the next one.
        # The port of the last start comes first, so that clients find the server again.
        port = self._last_port()
        for _ in range(_START_ATTEMPTS):
            self.log.write_bytes(b"")
            settings = {
                "listen_addresses": _HOST,
                "port": str(port),
                # TCP alone: a socket's path is limited to 107 bytes, and ours can be longer.
                "unix_socket_directories": "",
                **self._statistics(),
                **self.options,
            }
            arguments = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
            result = self._pg_ctl("start", "--log", self.log, "--options", arguments, check=False)
            if result.returncode == 0:
                self._port_file.write_text(f"{port}\n")
                return port
            if "pre-existing shared memory" in self._log_end() or self._killed():
                time.sleep(_SETTLE_SECONDS)  # the killed server's children are still leaving
            elif "Address already in use" in self._log_end():
                port = _free_port()
            else:
                break
        raise TargetError(
            f"The embedded PostgreSQL does not start:\n{self._log_end()}",
            f"Its log is {self.log}.",
        )

    def _statistics(self) -> dict[str, str]:
        """What makes the server count its statements, where its installation can.

        A library that is missing would keep it from starting.
        """
        if not has_library(self._server_binaries(), "pg_stat_statements"):
            return {}
        # Utility statements are stored with the values that are in them.
        return {
            "shared_preload_libraries": "pg_stat_statements",
            "pg_stat_statements.track_utility": "off",
        }

    def _killed(self) -> bool:
        """Whether the start failed on the lock file of a server that does not answer."""
        return 'lock file "postmaster.pid" already exists' in self._log_end()

    def _last_port(self) -> int:
        return int(self._port_file.read_text()) if self._port_file.exists() else _free_port()

    def _publish(self, port: int) -> Server:
        server = Server(
            host=_HOST,
            port=port,
            database=DATABASE_NAME,
            sslmode="disable",
            secrets_dir=self.directory / "secrets",
        )
        content = json.dumps(server.model_dump(mode="json"), indent=2) + "\n"
        _write_whole(self.directory / SERVER_FILE, content)
        return server

    def _pg_ctl(self, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        result = self._run("pg_ctl", *arguments, "--pgdata", self.data, "--wait")
        if check and result.returncode != 0:
            raise TargetError(
                f"pg_ctl failed: {result.stderr.strip() or self._log_end()}",
                f"The server's log is {self.log}.",
            )
        return result

    def _run(self, program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        # Output goes to a file: the started server inherits it, and would hold a pipe open.
        with tempfile.TemporaryFile("w+") as output:
            result = subprocess.run(
                [str(self._server_binaries() / program), *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                **self.account.popen_arguments(),
            )
            output.seek(0)
            return subprocess.CompletedProcess(result.args, result.returncode, "", output.read())

    def _server_binaries(self) -> Path:
        if self._binaries is None:
            found = self._given_binaries or server_binaries()
            reachable = self.account.can_reach(found / "postgres")
            self._binaries = found if reachable else self._copied(found)
        return self._binaries

    def _copied(self, binaries: Path) -> Path:
        """A copy of the installation inside the instance, for a user who cannot enter the venv."""
        copy = self.directory / "postgresql"
        if not copy.exists():
            draft = self.directory / ".postgresql"
            shutil.rmtree(draft, ignore_errors=True)
            shutil.copytree(binaries.parent, draft, symlinks=True)
            draft.chmod(0o755)
            draft.rename(copy)
        return copy / "bin"

    def _log_end(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Starts and stops of one instance happen one after the other."""
        with (self.directory / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _write_whole(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}")
    draft.write_text(text)
    draft.replace(path)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port
