"""The password of a login, from a file: it is in no URL, no environment and no log.

Asked at each new connection, so a password that was exchanged is used without a restart.
"""

import os
from pathlib import Path

from sqlalchemy.exc import ArgumentError


def read_password(named: str | None, user: str) -> str | None:
    """The password of `user`, or None, which leaves it to the driver (`~/.pgpass`, PGPASSFILE).

    The first of these decides: the file that the URL names, the one that `<USER>_PASSWORD_FILE`
    names, `<user>_password` in the folder SECRETS_DIR.

    Raises:
        ArgumentError: a file was named and cannot be read, or is empty.
    """
    path = _path(named, user)
    if path is None:
        return None
    try:
        password = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise ArgumentError(f"Cannot read the password of {user} from {path}: {reason}.") from error
    if not password:
        raise ArgumentError(f"The password file {path} is empty.")
    return password


def _path(named: str | None, user: str) -> Path | None:
    chosen = named or os.environ.get(f"{user.upper()}_PASSWORD_FILE")
    if chosen:
        return Path(chosen).expanduser()
    folder = os.environ.get("SECRETS_DIR")
    found = Path(folder).expanduser() / f"{user}_password" if folder else None
    return found if found is not None and found.exists() else None
