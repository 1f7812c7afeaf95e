"""Whom the server runs as.

PostgreSQL refuses to run as root. Started as root, it is run as the system's `postgres`
user where there is one, else as `nobody`; started by anybody else, as that user.
"""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from database.errors import UsageError

_CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """The user that owns the data directory and runs the server."""

    name: str
    uid: int
    gid: int

    @property
    def differs(self) -> bool:
        """Whether the server's user is another than ours, so that privileges must be dropped."""
        return self.uid != os.geteuid()

    def popen_arguments(self) -> dict[str, Any]:
        """What `subprocess` needs to run a program as this user, from a folder it can be in."""
        arguments: dict[str, Any] = {"cwd": "/", "env": _clean_environment()}
        if self.differs:
            arguments |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return arguments

    def own(self, path: Path) -> None:
        """Make this user the owner of `path`."""
        if self.differs:
            os.chown(path, self.uid, self.gid)

    def can_reach(self, path: Path) -> bool:
        """Whether this user can enter and read `path` (a clone under /root it cannot)."""
        if not self.differs:
            return os.access(path, os.R_OK)
        probe = [shutil.which("test") or "/usr/bin/test", "-r", str(path)]
        return subprocess.run(probe, check=False, **self.popen_arguments()).returncode == 0


def server_account() -> Account:
    """The account that the embedded server runs as.

    Raises:
        UsageError: started as root on a system with no unprivileged user to use.
    """
    if os.geteuid() != 0:
        entry = pwd.getpwuid(os.geteuid())
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise UsageError(
        "PostgreSQL does not run as root, and there is no user 'postgres' or 'nobody' to run it.",
        "Create a user named postgres, or run this command as an ordinary user.",
    )


def _clean_environment() -> dict[str, str]:
    # Settings for other servers (PGDATA, PGPORT, …) must not leak into ours; the C locale
    # keeps the messages that are searched for in English.
    # pgBackRest's are for the restore_command of a server that is being restored.
    kept = {
        key: value
        for key, value in os.environ.items()
        if key in ("PATH", "TZ") or key.startswith("PGBACKREST_")
    }
    return {**kept, "LC_ALL": "C"}
