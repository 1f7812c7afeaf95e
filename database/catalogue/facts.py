"""Facts: what a catalogue says, as Python values."""

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

_FOLDER = Path(__file__).parent
FACTS_SQL = (_FOLDER / "facts.sql").read_text(encoding="utf-8")
#: Printed definitions name every schema then. For the transaction that reads facts.
EMPTY_PATH = "set local search_path = 'pg_catalog'"
#: Of a server that sql/ alone was applied to, for programs that may create no database.
DECLARED = _FOLDER / "declared.json"

Definition = dict[str, Any]


class Key(NamedTuple):
    """What a fact is about.

    Attributes:
        kind: table, column, constraint, index, policy, rights, …: as facts.sql says.
        schema: empty for what lies in none.
        relation: the table that it belongs to; for a membership or setting the role.
        name: its own, without schema; for a function its signature, for rights what GRANT says.
    """

    kind: str
    schema: str
    relation: str
    name: str

    @property
    def table(self) -> str:
        """Its table, quoted with the schema."""
        return f"{quoted(self.schema)}.{quoted(self.relation or self.name)}"


Facts = dict[Key, Definition]


def quoted(name: str) -> str:
    """A name as SQL writes it: always in double quotes, which is never wrong."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def facts_of(rows: Iterable[tuple[Any, ...]]) -> Facts:
    """Facts from the rows of facts.sql; a definition may come as JSON text."""
    return {
        Key(*map(str, row[:4])): json.loads(row[4]) if isinstance(row[4], str) else dict(row[4])
        for row in rows
    }


def live_facts(connection: psycopg.Connection[tuple[object, ...]]) -> Facts:
    """What the catalogue of a connection's database says now.

    Args:
        connection: without autocommit; its transaction's search_path is changed.
    """
    connection.execute(EMPTY_PATH.encode())
    return facts_of(connection.execute(FACTS_SQL.encode()).fetchall())


@cache
def declared_facts() -> Facts:
    """What sql/ declares, as it was written to declared.json. Not to be changed."""
    rows = json.loads(DECLARED.read_text(encoding="utf-8"))
    return facts_of(rows)


def write_declared(facts: Facts) -> None:
    """Write declared.json, one fact a line, so that a change of sql/ shows as a few lines.

    Rights to PostgreSQL's own functions are left out: they are another list in each version.
    """
    kept = [
        json.dumps([*key, definition], ensure_ascii=False, sort_keys=True)
        for key, definition in sorted(facts.items())
        if key.schema != "pg_catalog"
    ]
    DECLARED.write_text("[\n" + ",\n".join(kept) + "\n]\n", encoding="utf-8")
