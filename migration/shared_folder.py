"""Whether a file lies in a folder that a virtual machine shares with its host, as Docker Desktop's.

Through such a folder neither SQLite's locks nor the shared memory of its WAL reach the programs on
the host: what is read while they write may be torn, and what is written may destroy the database.
"""

import re
from pathlib import Path

from database.errors import SourceError

#: The file systems of such folders, as Linux names them.
_SHARED = frozenset({"fakeowner", "grpcfuse", "fuse.grpcfuse", "osxfs", "fuse.osxfs", "virtiofs"})
_MOUNTS = Path("/proc/self/mountinfo")


def refuse_shared_folder(path: Path) -> None:
    """Raise a SourceError where a file is shared in that way."""
    kind = file_system(path, _MOUNTS.read_text()) if _MOUNTS.exists() else ""
    if kind in _SHARED:
        raise SourceError(
            f"{path} lies in a folder that this container shares with its host ({kind}), through "
            "which SQLite's locks do not reach the programs that write there.",
            "Run this command on the host itself: 'python -m migration …' with the server's "
            "address in .env. Nothing was changed.",
        )


def file_system(path: Path, mounts: str) -> str:
    """The type of the file system that a file lies on, by the lines of Linux's mountinfo."""
    path = path.resolve()
    found, kind = Path(), ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        point = Path(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), before.split()[4]))
        # Of two mounts on one folder, the later one is seen.
        if path.is_relative_to(point) and len(point.parts) >= len(found.parts):
            found, kind = point, after.split()[0]
    return kind
