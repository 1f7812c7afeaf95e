"""Reads an error in whatever form it comes: an exception, a SQLSTATE, or text of somebody's log.

The forms: PostgreSQL's own (server log, psql), asyncpg's and psycopg's exceptions, the same wrapped
by SQLAlchemy with its [SQL: …], and the JSON that the tools of this server answer with.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import asyncpg
import orjson
import psycopg

from mcp_server.healing.states import known_states, names_in, recognised

#: Called a SQLSTATE; or standing where one may stand, and then only if there is such a one.
_CALLED = re.compile(
    r"(?:sqlstate|pgcode|SQL state)\W{0,4}\b([0-9A-Z]{5})\b"
    r"|(?:ERROR|FATAL|PANIC):\s+([0-9A-Z]{5}):",
    re.IGNORECASE,
)
_POSSIBLE = re.compile(r"(?:\bcode\W{0,3}|\[|^\W*)([0-9A-Z]{5})\b", re.MULTILINE)
#: asyncpg.exceptions.UndefinedColumnError, psycopg.errors.UndefinedColumn, bare names too.
_CLASS_NAME = re.compile(r"\b([A-Z][A-Za-z]+(?:Error|[a-z]))\b")
_STATEMENT = re.compile(r"^\[SQL: (.*?)\](?=\s*$|\n\[parameters)", re.DOTALL | re.MULTILINE)
_LOGGED_STATEMENT = re.compile(r"\bSTATEMENT:\s+(.*?)(?=\n\d{4}-|\Z)", re.DOTALL)
#: Names of classes that say nothing beyond that it was an error.
_GENERAL = frozenset({"Error", "DatabaseError", "ProgrammingError", "OperationalError",
                      "InterfaceError", "InternalError", "IntegrityError", "DBAPIError",
                      "PostgresError", "NotSupportedError"})  # fmt: skip
_CLIENT_DATA = "22000"


@dataclass(frozen=True)
class Seen:
    """An error as it was read.

    Attributes:
        text: what was given.
        sqlstate: None where it could not be told.
        names: what it names: table, column, constraint, index, function, …
        statement: the SQL that came with it.
    """

    text: str
    sqlstate: str | None
    names: dict[str, str] = field(default_factory=dict)
    statement: str | None = None


def read_error(error: BaseException | str) -> Seen:
    """Read an error. Text that tells nothing has no SQLSTATE; nothing is guessed."""
    return _of_exception(error) if isinstance(error, BaseException) else _of_text(error)


def _of_exception(error: BaseException) -> Seen:
    for cause in _causes(error):
        sqlstate = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
        if isinstance(sqlstate, str):
            given = {
                name: getattr(cause, f"{name}_name", None)
                or getattr(getattr(cause, "diag", None), f"{name}_name", None)
                for name in ("table", "column", "constraint", "schema")
            }
            named = {name: text for name, text in given.items() if isinstance(text, str)}
            names = {**names_in(str(cause), sqlstate), **named}
            statement = getattr(error, "statement", None)
            return Seen(str(error), sqlstate, names, statement)
    return _of_text(f"{type(error).__name__}: {error}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it wraps, the innermost last; a ring of causes is gone round once."""
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        cause = waiting.pop(0)
        if cause is None or any(cause is earlier for earlier in seen):
            continue
        seen.append(cause)
        yield cause
        orig = getattr(cause, "orig", None)
        waiting += [orig if isinstance(orig, BaseException) else None, cause.__cause__]


def _of_text(text: str) -> Seen:
    if fields := _json(text):
        state = fields.get("sqlstate")
        inner = _of_text(str(fields.get("error") or ""))
        return Seen(text, state if isinstance(state, str) else inner.sqlstate, inner.names)
    statement = _statement(text)
    message = _STATEMENT.sub("", text)
    sqlstate = _written(message) or _by_class(message)
    if sqlstate is not None and sqlstate != _CLIENT_DATA:
        return Seen(text, sqlstate, names_in(message, sqlstate), statement)
    if found := recognised(message):
        return Seen(text, *found, statement)
    return Seen(text, sqlstate, {}, statement)


def _json(text: str) -> dict[str, Any]:
    if not text.lstrip().startswith("{"):
        return {}
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) and "error" in fields else {}


def _statement(text: str) -> str | None:
    found = _STATEMENT.search(text) or _LOGGED_STATEMENT.search(text)
    return found[1].strip() if found else None


def _written(text: str) -> str | None:
    if called := _CALLED.search(text):
        return (called[1] or called[2]).upper()
    existing = {*_states_by_class().values(), *known_states()}
    return next((one[1] for one in _POSSIBLE.finditer(text) if one[1] in existing), None)


def _by_class(text: str) -> str | None:
    by_name = _states_by_class()
    for found in _CLASS_NAME.finditer(text):
        if found[1] in by_name and found[1] not in _GENERAL:
            return by_name[found[1]]
    return None


@cache
def _states_by_class() -> dict[str, str]:
    """Class name → SQLSTATE, of both drivers."""
    found: dict[str, str] = {}
    for module in (psycopg.errors, asyncpg.exceptions):
        for name in dir(module):
            state = getattr(getattr(module, name), "sqlstate", None)
            # Warnings bear some names of errors; where both drivers know one, it is the same.
            if isinstance(state, str) and not state.startswith(("00", "01", "02")):
                found.setdefault(name, state)
    return found
