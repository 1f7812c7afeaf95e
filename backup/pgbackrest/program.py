"""pgBackRest, started; its messages become our errors.

The image's `atlas-pgbackrest` adds what is secret (the repository's key, the keys of S3) to its
environment: neither the arguments nor the configuration hold it. The configuration is
docker/postgres/pgbackrest.conf.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

from backup.repository import BusyError
from database.errors import BackupError, UsageError

#: The image's wrapper of the program.
PROGRAM = "atlas-pgbackrest"

#: pgBackRest's exit codes (src/build/error/error.yaml of its source).
_LOCKED = 50
#: Codes of `info`: missing stanza path, missing stanza data; none of the known causes.
_NO_STANZA = (1, 3)
_UNREADABLE = 99
_ADVICE = {
    28: "The repository belongs to another server. Restore from it, or give this server another "
    "volume for its backups.",
    31: "Give it the key under which the repository was made (the secret backup_cipher_key); if it "
    "has that, its files are damaged.",
    39: "Free some space in the repository, or give it a larger volume.",
    82: "PostgreSQL does not archive its log; 'docker compose logs postgres' says why.",
}


def run(*arguments: object, environment: dict[str, str] | None = None, advice: str = "") -> str:
    """Run a command of pgBackRest; its output.

    Args:
        arguments: the command and its options.
        environment: another than this process's: where it connects to.
        advice: what to do where it fails for a cause that is not known.

    Raises:
        BackupError: it failed; its messages are in it.
        BusyError: another one is at work.
    """
    try:
        result = subprocess.run(
            [PROGRAM, *map(str, arguments)],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError:
        raise UsageError(
            "pgBackRest is not installed here.",
            "Run the command in its container: docker compose run --rm backup …",
        ) from None
    if result.returncode == 0:
        return result.stdout
    if result.returncode == _LOCKED:
        raise BusyError("Another backup is at work.", "Wait until it has ended.")
    said = (result.stderr + result.stdout).strip().splitlines()
    shown = "\n".join(said[-8:]) or f"exit code {result.returncode}"
    raise BackupError(
        f"pgBackRest failed: {shown}", _advice(shown) or _ADVICE.get(result.returncode, advice)
    )


def info() -> dict[str, Any] | None:
    """What the repository holds, as `pgbackrest info --output=json` describes it; None: nothing.

    Raises:
        BackupError: it cannot be read.
    """
    found = json.loads(run("info", "--output=json"))
    if not found or found[0]["status"]["code"] in _NO_STANZA:
        return None
    stanza: dict[str, Any] = found[0]
    if stanza["status"]["code"] == _UNREADABLE:
        # The message shows the bytes that could not be read.
        raise BackupError("The repository's records cannot be read.", _ADVICE[31])
    return stanza


def archived_files() -> list[str]:
    """The names of all files of the archived log: segments with their checksum, and histories."""
    listed = run("repo-ls", "archive/atlas", "--recurse", "--filter=/[0-9A-F]{8}[^/]*$")
    return [Path(line).name for line in listed.splitlines()]


def _advice(message: str) -> str:
    if "No space left on device" in message:
        return _ADVICE[39]
    if "cipher" in message or "decrypt" in message.lower():
        return _ADVICE[31]
    return ""
