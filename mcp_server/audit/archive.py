"""Takes old records out of the database without breaking the chain.

A checkpoint at the end of the chain says up to where, and the hash of the last one taken: so the
rest still begins where the file ends, and that something was taken is itself on record.
"""

import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from database.errors import UsageError
from mcp_server.audit.chain import Connection, Link
from mcp_server.sql import sql_text


def archive(connection: Connection, before: datetime, path: Path) -> int:
    """Write the records of before a time to a file, one JSON object a line, and remove them.

    Args:
        connection: of an administrator, without autocommit.
        path: of a file that does not exist yet.

    Returns:
        The number of records.

    Raises:
        UsageError: the file cannot be written, or is there already.
    """
    end = connection.execute(sql_text("audit_archive_end").encode(), {"before": before}).fetchone()
    if end is None:
        return 0
    position, digest = end
    assert isinstance(digest, bytes)
    with connection.cursor(name="archived") as cursor:
        rows = cursor.execute(sql_text("audit_archived_rows").encode(), {"position": position})
        _write(path, (str(row[0]) for row in rows))
    checkpoint = {
        "event": "checkpoint",
        "archived_position": position,
        "archived_hash": f"\\x{digest.hex()}",
    }
    connection.execute(b"select audit.append(%s::jsonb)", [json.dumps([checkpoint])])
    removed = connection.execute(
        sql_text("audit_remove").encode(), {"position": position}
    ).fetchone()
    connection.execute(sql_text("audit_remove_images").encode())
    connection.execute(sql_text("audit_remove_marks").encode())
    connection.commit()
    assert removed is not None
    return int(str(removed[0]))


def archived_links(path: Path) -> Iterator[Link]:
    """The records of a file that `archive` wrote.

    Raises:
        UsageError: it is none.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                content = json.loads(row["content"])
                archived = content.get("archived_position")
                yield Link(
                    row["position"],
                    row["content"],
                    bytes.fromhex(row["previous"]),
                    bytes.fromhex(row["hash"]),
                    (archived, bytes.fromhex(content["archived_hash"][2:])) if archived else None,
                )
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(
            f"{path} is no archive of records: {error}", "Name a file of 'audit archive'."
        ) from error


def _write(path: Path, lines: Iterator[str]) -> None:
    # On disk before anything is removed, and never over another archive.
    try:
        with path.open("x", encoding="utf-8") as file:
            path.chmod(0o600)
            for line in lines:
                file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UsageError(
            f"Cannot write {path}: {error.strerror}.", "Name a new file in a writable folder."
        ) from error
