"""Secrets as files: generated once, never overwritten, readable by their owner alone.

The same names are used by the embedded server, by the compose volume and by an
operator who brings files of his own (`ATLAS_PASSWORD_FILE=/run/secrets/…`).
"""

import os
import secrets
from pathlib import Path

from database.errors import UsageError

#: Logins of the bundle; each has a secret `<role>_password`.
LOGIN_ROLES = ("postgres", "atlas", "migrator", "mcp_read", "mcp_write", "mcp_heal", "mcp_audit")

#: What the MCP server seals the contexts of agents with, and PostgreSQL verifies them by.
CONTEXT_KEY = "mcp_context_key"

#: What pgBackRest encrypts its repository with. Without it no backup can be restored.
CIPHER_KEY = "backup_cipher_key"
SECRET_NAMES = (
    *(f"{role}_password" for role in LOGIN_ROLES),
    "mcp_token",
    CONTEXT_KEY,
    CIPHER_KEY,
)

# 32 bytes of URL-safe text: the platform puts its password into a URL, so nothing in it
# may need percent-encoding.
_ENTROPY_BYTES = 32


def ensure_secrets(directory: Path) -> list[str]:
    """Generate the secrets that are missing in `directory` and return their names.

    An existing file is never touched. A secret given by `<NAME>_FILE` is not generated.

    Raises:
        UsageError: the directory cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return [name for name in SECRET_NAMES if _create(directory, name)]
    except OSError as error:
        raise UsageError(
            f"Cannot write secrets to {directory}: {error.strerror}.",
            "Choose a writable folder with SECRETS_DIR.",
        ) from error


def secret_path(directory: Path, name: str) -> Path:
    """Where a secret is read from: the file named by `<NAME>_FILE`, else `directory/name`."""
    override = os.environ.get(f"{name.upper()}_FILE")
    return Path(override) if override else directory / name


def read_secret(directory: Path, name: str) -> str | None:
    """The secret's text without its line end, or None where there is no such file.

    Raises:
        UsageError: the file is there and cannot be read, or is empty.
    """
    path = secret_path(directory, name)
    try:
        value = path.read_text(encoding="utf-8").rstrip("\r\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(
            f"Cannot read the secret {path}: {error.strerror}.",
            "Run the command as the file's owner, or correct the file's permissions.",
        ) from error
    if not value:
        raise UsageError(f"The secret {path} is empty.", "Write the password into it.")
    return value


def _create(directory: Path, name: str) -> bool:
    if secret_path(directory, name).exists():
        return False
    # Written under another name and linked into place: a crash leaves no empty secret,
    # and of two first starts at once exactly one wins.
    draft = directory / f".{name}.{os.getpid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secrets.token_urlsafe(_ENTROPY_BYTES) + "\n")
        os.link(draft, directory / name)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True
