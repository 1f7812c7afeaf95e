"""An own PostgreSQL for a while: for tests and measurements."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from database.apply import apply_schema
from database.embedded.server import EmbeddedServer
from database.settings import Server


@contextmanager
def temporary_server(
    *, options: dict[str, str] | None = None, binaries: Path | None = None
) -> Iterator[Server]:
    """A running server with sql/ applied, deleted with all of its data at the end."""
    directory = Path(tempfile.mkdtemp(prefix="atlas-postgres-"))
    directory.chmod(0o755)
    instance = EmbeddedServer(directory, options=options, binaries=binaries)
    try:
        server = instance.start()
        apply_schema(server)
        yield server
    finally:
        instance.remove()
