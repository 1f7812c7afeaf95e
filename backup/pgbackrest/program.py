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

#: pgBackRest's exit code where another command holds the stanza's lock.
_LOCKED = 50
#: Codes of `info`: missing stanza path, missing stanza data; none of the known causes.
_NO_STANZA = (1, 3)
_UNREADABLE = 99
_OTHER_KEY = (
    "Give it the key under which the repository was made (the secret backup_cipher_key); if it has "
    "that, its files are damaged."
)
#: What it says → what to do.
_ADVICE = {
    "No space left on device": "Free some space in the repository, or give it a larger volume.",
    "do not match the database": "The repository belongs to another server. Restore from it, or "
    "give this server another volume for its backups.",
    "unable to load info file": _OTHER_KEY,
    "was not archived before": "'docker compose logs postgres' says why PostgreSQL cannot archive.",
    "<Error>": "The store refuses: check BACKUP_S3_… and the keys.",
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
    known = next((text for part, text in _ADVICE.items() if part in shown), advice)
    raise BackupError(f"pgBackRest failed: {shown}", known)


def info() -> dict[str, Any] | None:
    """What the repository holds, as `pgbackrest info --output=json` describes it; None: nothing.

    Raises:
        BackupError: it cannot be read.
    """
    # Not strict: the message about a file that cannot be read holds that file's bytes.
    found = json.loads(run("info", "--output=json"), strict=False)
    if not found or found[0]["status"]["code"] in _NO_STANZA:
        return None
    stanza: dict[str, Any] = found[0]
    if stanza["status"]["code"] == _UNREADABLE:
        # The message shows the bytes that could not be read.
        raise BackupError("The repository's records cannot be read.", _OTHER_KEY)
    return stanza


def archived_files() -> list[str]:
    """The names of all files of the archived log: segments with their checksum, and histories."""
    listed = run("repo-ls", "archive/atlas", "--recurse", "--filter=/[0-9A-F]{8}[^/]*$")
    return [Path(line).name for line in listed.splitlines()]
