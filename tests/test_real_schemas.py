"""Schemas as well-known applications have them: every value arrives, and nothing is lost unsaid.

`tests/fixtures/schemas` has an excerpt for each application, in our own words, with the traits
that are hard to carry. The comparison here shares no code with the migration's own.
"""

import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from database.settings import Server
from tests import sqlite_filler
from tests.engines import ENGINES
from tests.migrations import report
from tests.programs import query
from tests.sqlite_filler import build, quoted

SCHEMAS = Path(__file__).parent / "fixtures" / "schemas"
NAMES = sorted(path.stem for path in SCHEMAS.glob("*.sql"))
#: Schema → the rows that cannot arrive, by table: orphans, and text with a NUL character.
REFUSED = {
    "contacts": {"raw_contacts": 1},
    "homeassistant": {"states": 2},
    "messages": {"chat_message_join": 1, "message": 1},
    "rails": {"posts": 1},
}
#: Columns whose declared type says something else than their values: schema → column → type.
TYPES = {
    "anki": {"notes.sfld": "text", "config.val": "bytea"},
    "calibre": {"books.has_cover": "boolean", "books.uuid": "text"},
    "firefox": {"moz_places.last_visit_date": "bigint", "moz_meta.value": "text"},
    "fossil": {"event.mtime": "double precision", "config.mtime": "bigint"},
    "geopackage": {"my roads.geom": "bytea", "my roads.n": "bigint", "my roads.b": "boolean"},
    "grafana": {"user.created": "timestamp without time zone", "user.is_admin": "bigint"},
    "homeassistant": {"states.entity_id": "text", "states.last_updated_ts": "double precision"},
    "opencode": {"sessions.id": "text", "tasks.id": "bigint"},
    "photos": {"ZASSET.ZDATECREATED": "double precision"},
    "rails": {"users.balance": "numeric", "users.settings": "jsonb", "posts.published_on": "date"},
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NAMES)
def test_schema_of_an_application_arrives(
    database: Server, tmp_path: Path, name: str, engine: str
) -> None:
    source = build(tmp_path / f"{name}.db", (SCHEMAS / f"{name}.sql").read_text())
    code, document = report(database, source, "--quarantine", "--engine", engine)
    refused = {
        entry["source"]: entry["rows_quarantined"]
        for entry in document["tables"]
        if entry["rows_quarantined"]
    }
    assert refused == REFUSED.get(name, {}), document["quarantine"]
    assert code == (5 if refused else 0)
    assert all(entry["verified"] for entry in document["tables"])
    types = {
        f"{entry['source']}.{column['source']}": column["pg_type"]
        for entry in document["tables"]
        for column in entry["columns"]
    }
    assert types | TYPES.get(name, {}) == types
    with contextlib.closing(sqlite3.connect(source)) as connection:
        for collation in sqlite_filler.COLLATIONS:
            connection.create_collation(
                collation, lambda left, right: (left > right) - (left < right)
            )
        carried = {entry["source"] for entry in document["tables"]}
        assert carried == set(sqlite_filler.tables(connection))
        for entry in document["tables"]:
            _same_rows(database, connection, entry)
        _nothing_unsaid(database, connection, document)


def _same_rows(server: Server, source: sqlite3.Connection, entry: dict[str, Any]) -> None:
    """Every row of the target is one of the source, and only refused ones are not there."""
    columns = entry["columns"]
    names = ", ".join(quoted(column["source"]) for column in columns)
    kinds = [column["pg_type"] for column in columns]
    rows = source.execute(f"select {names} from {quoted(entry['source'])}").fetchall()
    expected = Counter(
        tuple(_arrived(value, kind) for value, kind in zip(row, kinds, strict=True)) for row in rows
    )
    names = ", ".join(quoted(column["target"]) for column in columns)
    found = Counter(
        tuple(_comparable(value) for value in row)
        for row in query(server, f"select {names} from public.{quoted(entry['target'])}")
    )
    assert found <= expected, entry["source"]
    assert (expected - found).total() == entry["rows_quarantined"], entry["source"]


def _text(value: object) -> str:
    return value if isinstance(value, str) else repr(value)


#: PostgreSQL type → what a value of SQLite must be there.
_ARRIVED: dict[str, Callable[[Any], object]] = {
    "bigint": int,
    "double precision": lambda value: repr(float(value)),
    "numeric": lambda value: Decimal(str(value)),
    "boolean": lambda value: bool(int(value)),
    "date": date.fromisoformat,
    "timestamp without time zone": lambda value: datetime.fromisoformat(value).replace(tzinfo=None),
    "timestamp with time zone": lambda value: datetime.fromisoformat(value).astimezone(UTC),
    "jsonb": lambda value: _comparable(json.loads(value)),
    "uuid": UUID,
    "bytea": lambda value: value if isinstance(value, bytes) else _text(value).encode(),
    "text": lambda value: value.decode() if isinstance(value, bytes) else _text(value),
}


def _arrived(value: object, kind: str) -> object:
    return None if value is None else _ARRIVED[kind](value)


def _comparable(value: object) -> object:
    if isinstance(value, float):
        return repr(value)  # -0.0 is another value than 0.0
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value


def _nothing_unsaid(server: Server, source: sqlite3.Connection, document: dict[str, Any]) -> None:
    """Each object of the source is in the target, or the report says that it is not."""
    said = Counter(entry["kind"] for entry in document["not_carried"])
    there = _objects(source)
    found = {
        kind: query(server, text, [entry["target"] for entry in document["tables"]])[0][0]
        for kind, text in _FOUND.items()
    }
    for kind, number in there.items():
        assert int(str(found[kind])) + said[kind] >= number, (kind, document["not_carried"])


def _objects(source: sqlite3.Connection) -> Counter[str]:
    """How many there are of each kind, by SQLite's own account."""
    count = Counter(
        kind
        for (kind,) in source.execute("select type from sqlite_master where type <> 'table'")
        if kind != "index"
    )
    for table in sqlite_filler.tables(source):
        keys = source.execute("select distinct id from pragma_foreign_key_list(?)", [table])
        count["foreign key"] += len(keys.fetchall())
        indexes = source.execute("select origin from pragma_index_list(?)", [table]).fetchall()
        count["index"] += sum(origin != "pk" for (origin,) in indexes)
        columns = source.execute("select * from pragma_table_xinfo(?)", [table]).fetchall()
        count["primary key"] += any(column[5] for column in columns)
        count["default"] += sum(str(column[4] or "null").lower() != "null" for column in columns)
        count["generated column"] += sum(column[6] in (2, 3) for column in columns)
    return count


_OF_TABLES = "in (select oid from pg_class where relname = any(%s))"
_FOUND = {
    "view": "select count(*) from pg_views where schemaname = 'public' and viewname <> all(%s)",
    "trigger": f"select count(*) from pg_trigger where not tgisinternal and tgrelid {_OF_TABLES}",
    "foreign key": f"select count(*) from pg_constraint where contype = 'f'"
    f" and conrelid {_OF_TABLES}",
    "index": f"select count(*) from pg_index where not indisprimary and indrelid {_OF_TABLES}",
    "primary key": f"select count(*) from pg_index where indisprimary and indrelid {_OF_TABLES}",
    "default": f"select count(*) from pg_attrdef where adrelid {_OF_TABLES}",
    "generated column": f"select count(*) from pg_attribute where attgenerated <> ''"
    f" and attrelid {_OF_TABLES}",
}
