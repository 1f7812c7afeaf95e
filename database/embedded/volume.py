"""The cluster in the volume of the compose service `postgres`, seen from another container.

A process number says nothing there: each container counts its own. So the service's container
holds a lock on a file of the volume for as long as its server lives (docker/postgres/start.sh),
and whoever wants the server to stay stopped holds it meanwhile.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from database.embedded.server import EmbeddedServer
from database.errors import TargetError
from database.settings import Environment

#: Locked by docker/postgres/start.sh.
_RUNNING = ".running"


class VolumeServer(EmbeddedServer):
    """The server of the service `postgres`, which only its own container starts and stops.

    Args:
        directory: where the volume is mounted; the cluster is its folder `data`.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._held = False

    def occupied(self) -> bool:
        """Whether the service's container runs."""
        if self._held or not self.directory.is_dir():
            return False
        with self._lock_file() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @contextmanager
    def kept_stopped(self) -> Iterator[None]:
        """Keep the service's container from starting its server.

        Raises:
            TargetError: it runs.
        """
        with self._lock_file() as file:
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._held = True
            if not self._held:
                raise TargetError(
                    "PostgreSQL runs on this volume: nothing is restored over it.",
                    "Stop it with 'docker compose stop', then try again.",
                )
            try:
                yield
            finally:
                self._held = False

    def replace_data(self, new: Path) -> Path | None:
        """Put a restored cluster, which is shut down, in the place of this one.

        Raises:
            TargetError: a server runs on it.
        """
        # It was recovered without archiving, so nobody has been told yet that its timeline is
        # taken: the next restore would begin another one of the same number.
        newest = max((new / "pg_wal").glob("*.history"), key=lambda path: path.name)
        (new / "pg_wal" / "archive_status" / f"{newest.name}.ready").touch(mode=0o600)
        return super().replace_data(new)

    def secrets(self) -> Path:
        """The passwords that this container sees."""
        return Environment().secrets_dir

    def _lock_file(self) -> IO[str]:
        return (self.directory / _RUNNING).open("a")
