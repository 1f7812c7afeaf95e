"""What a fix must leave as it was: rows, tables, and what sql/checks asserts.

Invariant: it is asked twice in the very transaction that makes the fix, before and after it; what
the fix may not have done makes a Failure, and that a rollback. What others do at the same time is
not taken for the fix's: rows are counted for this transaction alone, and only what it has locked
exclusively can it have rewritten, emptied, made or dropped.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import asyncpg

from mcp_server.connection import AgentConnection
from mcp_server.failure import Failure
from mcp_server.pools import Capability
from mcp_server.sql import sql_text
from mcp_server.tool import Access


@dataclass(frozen=True)
class Table:
    """A table, and what this transaction has done to its rows.

    Attributes:
        file: number of the file that its rows lie in.
        written: rows that this transaction inserted, updated and deleted.
        size: bytes of the file where the fix is about this table, else None.
    """

    schema: str
    name: str
    file: int | None
    written: int
    size: int | None

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Witness:
    """What was so at one moment of the transaction.

    Attributes:
        tables: by OID.
        locked: OIDs of what this transaction has locked exclusively.
        assertions: names of those of sql/checks, with what each has found; None where it holds.
    """

    tables: dict[int, Table]
    locked: frozenset[int]
    assertions: dict[str, str | None]


async def witness(connection: AgentConnection, touched: Iterable[str]) -> Witness:
    """What is so now.

    Args:
        touched: names of the tables of public that the fix is about.

    Raises:
        Failure: 55000 where the server does not count rows, so that nobody could tell.
    """
    tables = {}
    for record in await connection.fetch(sql_text("healing_effects"), list(touched)):
        if not record["counted"]:
            raise Failure(
                "track_counts is off: nobody could tell whether a fix wrote rows.",
                sqlstate="55000",
                hint="A person switches it on; autovacuum needs it too.",
                outcome="nothing_changed",
            )
        tables[record["id"]] = Table(
            record["schema"], record["name"], record["file"], record["written"], record["size"]
        )
    locked = frozenset(row["id"] for row in await connection.fetch(sql_text("healing_locked")))
    return Witness(tables, locked, await assertions(connection))


async def assertions(connection: AgentConnection) -> dict[str, str | None]:
    """The assertions of sql/checks, each with what it has found; None where it holds."""
    return as_assertions(await connection.fetch(sql_text("healing_assertions")))


async def asserted(access: Access) -> dict[str, str | None]:
    """The same, where no transaction holds what is healed.

    Raises:
        Failure: they cannot be asked.
    """
    records = await access.sessions.catalogue(
        access.caller, "healing_assertions", capability=Capability.HEAL
    )
    return as_assertions(records)


def as_assertions(records: Iterable[asyncpg.Record]) -> dict[str, str | None]:
    """What the query healing_assertions answered, as `assertions` does."""
    return {record["assertion"]: record["broken"] for record in records}


def check_rows(
    before: Witness, after: Witness, meant: Mapping[str, int | None] = MappingProxyType({})
) -> None:
    """No row was written, and no table made, dropped, rewritten or emptied that was not meant.

    Args:
        meant: by schema and table, how many rows the fix was to write; None: as many as it takes.

    Raises:
        Failure: 22000, with the table.
    """
    for key, table in after.tables.items():
        had = before.tables.get(key)
        if had is None:
            if key in after.locked:
                raise _refused(f"make {table}")
        elif meant.get(str(table), 0) not in (None, table.written - had.written):
            raise _refused(f"write rows of {table}")
        elif table.file != had.file and key in after.locked:
            if table.size is None:
                raise _refused(f"write rows of {table}")
            if had.size and not table.size:
                raise _refused(f"empty {table}", "Where it has no rows, VACUUM it first.")
    for key, table in before.tables.items():
        if key not in after.tables and key in after.locked:
            raise _refused(f"drop {table}")


def check_assertions(before: dict[str, str | None], after: dict[str, str | None]) -> dict[str, Any]:
    """What held before holds afterwards.

    Returns:
        For the record: those that hold, and what of the rest was broken before.

    Raises:
        Failure: 22000, with what is broken now and was not.
    """
    fresh = [words for name, words in after.items() if words and words != before.get(name)]
    if fresh:
        raise _refused(f"break what sql/checks asserts: {'; '.join(fresh)}")
    return {
        "held": [name for name, words in after.items() if words is None],
        "broken_before": {name: words for name, words in after.items() if words is not None},
    }


def _refused(what: str, hint: str = "") -> Failure:
    return Failure(
        f"The fix would {what}, which it must not.",
        sqlstate="22000",
        hint=hint,
        outcome="nothing_changed",
    )
