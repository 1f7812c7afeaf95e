"""Which side is the truth, and completing or undoing what a killed cutover left."""

import sqlite3
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from database.errors import TargetError
from database.settings import Server
from migration.capture.block import find_block
from migration.capture.install import find, open_for_writing
from migration.quoting import printable
from migration.reverse import install as way_back
from migration.statements import Connection, fetch, statement
from migration.target import open_target


class Side(StrEnum):
    """Where the platform's data are."""

    #: No capture and no block: nothing is known of a cutover.
    UNKNOWN = "SQLite, not followed"
    SQLITE = "SQLite, followed"
    POSTGRESQL = "PostgreSQL"


@dataclass(frozen=True)
class Settled:
    """What was found."""

    truth: Side
    #: What was done about a cutover that was cut off; empty where there was none.
    done: str = ""
    moved_at: str = ""


def settle(server: Server, source: Path) -> Settled:
    """Say which side is the truth. A cutover that was cut off is completed, or undone.

    Raises:
        SourceError, TargetError: one of the two sides cannot be asked, or they contradict.
    """
    with open_for_writing(source) as connection:
        if _token(connection) is None:
            return _settle_unmarked(server, source)
        # In this order, as the cutover: a living one ends first, whatever it decides.
        with open_target(server) as target:
            return resolve(connection, target, server)


def resolve(connection: sqlite3.Connection, target: Connection, server: Server) -> Settled:
    """The same with connections that are there, both outside any transaction."""
    connection.execute("begin immediate")
    try:
        return _settle(connection, target, server)
    finally:
        connection.execute("rollback")


def _settle_unmarked(server: Server, source: Path) -> Settled:
    """The file has nothing of ours: never followed, or back again."""
    done = ""
    with open_target(server) as target:
        for row in fetch(target, "cutover_cut_off", source_name=printable(source)):
            with target.transaction():
                target.execute(statement("cutover_returned"), {"token": row["token"]})
                way_back.undo(target, row["run_id"])
            done = "a rollback that was cut off was completed"
    return Settled(Side.UNKNOWN, done)


def _token(connection: sqlite3.Connection) -> str | None:
    blocked = find_block(connection)
    capture = blocked.capture if blocked else find(connection)
    return capture.token if capture else None


def _settle(connection: sqlite3.Connection, target: Connection, server: Server) -> Settled:
    blocked, token = find_block(connection), _token(connection)
    rows = fetch(target, "cutover_find", token=token)
    state = rows[0]["state"] if rows else None
    if blocked is None:
        if state != "prepared":
            return Settled(Side.SQLITE)
        with target.transaction():
            way_back.undo(target, rows[0]["run_id"])
            target.execute(statement("cutover_undone"), {"token": token})
        return Settled(Side.SQLITE, "a cutover that was cut off was undone")
    if state is None:
        raise TargetError(
            f"The SQLite file says that it moved to PostgreSQL at {blocked.moved_at} UTC, but "
            f"{server} knows nothing of it.",
            "Is it the right server? If it lost its data, restore its backup.",
        )
    if state == "returning":
        with target.transaction():
            way_back.allow_writes(target)
            target.execute(statement("cutover_not_returned"), {"token": token})
        return Settled(Side.POSTGRESQL, "a rollback that was cut off was undone", blocked.moved_at)
    if state == "prepared":
        finish(target, blocked.capture.token)
        return Settled(
            Side.POSTGRESQL, "a cutover that was cut off was completed", blocked.moved_at
        )
    return Settled(Side.POSTGRESQL, "", blocked.moved_at)


def finish(target: Connection, token: str) -> None:
    """Note that the SQLite file has its block."""
    target.execute(statement("cutover_done"), {"token": token})
