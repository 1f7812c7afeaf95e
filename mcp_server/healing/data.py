"""What is wrong with the values of a statement, and how exactly they are put right.

Invariant: a pure judgement, from the error, the statement and the live catalogue. Nothing is
guessed about a value that is not named; where a cure would lose something, that is said.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from database.catalogue.facts import Facts, declared_facts, quoted
from mcp_server.healing.errors import Seen
from mcp_server.references import Reference, lacking, parse, references, row_statement

_CHILD = re.compile(
    r'Key \((?P<columns>.+?)\)=\((?P<value>.*?)\) is not present in table \\?"(?P<parent>[^"\\]+)'
)
_PARENT = re.compile(
    r"Key \((?P<columns>.+?)\)=\((?P<value>.*?)\) is (?:still )?referenced from table "
    r'\\?"(?P<child>[^"\\]+)'
)
_SYNTAX = re.compile(
    r"invalid input (?:syntax|value) for (?:type |enum )?(?P<type>[\w ]+?)(?::|\b)"
)
_LENGTH = re.compile(r"^(?:character varying|character)\((\d+)\)$")
_TEXTS = ("text", "character varying", "character", "jsonb", "json")
#: Type → how its values are written.
_FORMS = {
    "uuid": "32 hexadecimal digits, as str(uuid.UUID(value)) writes them; a word such as "
    "current_session is none: look the session up, or compare a column of text",
    "integer": "digits alone, int(value), from -2147483648 to 2147483647",
    "bigint": "digits alone, int(value)",
    "smallint": "digits alone, int(value), from -32768 to 32767",
    "boolean": "true or false",
    "json": "one JSON document, json.dumps(value)",
    "jsonb": "one JSON document, json.dumps(value)",
    "double precision": "a number, float(value)",
    "numeric": "a number, str(Decimal(value))",
    "timestamp": "2026-01-31 12:00:00.123456, in UTC and without a zone: "
    "value.astimezone(UTC).replace(tzinfo=None)",
    "date": "2026-01-31",
}


class Advice(NamedTuple):
    """What would put it right."""

    words: str
    statements: tuple[str, ...] = ()


def orphan(seen: Seen, live: Facts) -> Advice | None:
    """Of a broken foreign key: which row is missing, or which one still refers; None if unknown."""
    reference = _reference(seen, live)
    if reference is None:
        return None
    child, parent = (_plain(name) for name in (reference.child, reference.parent))
    ours, theirs = ", ".join(reference.columns), ", ".join(reference.parent_columns)
    if found := _PARENT.search(seen.text):
        return Advice(
            f"Rows of {child} still refer, by {ours}, to ({theirs}) = ({found['value']}) of "
            f"{parent}: delete them first, or give them another parent.",
            _looks(reference.child, reference.columns, found["value"]),
        )
    if "update or delete on" in seen.text:
        return Advice(f"Rows of {child} still refer to the row of {parent} by {ours}: they first.")
    value = found["value"] if (found := _CHILD.search(seen.text)) else None
    which = f" with ({theirs}) = ({value})" if value is not None else ""
    # What sql/ declares has values for old rows with it.
    lacks = lacking(reference, {**live, **declared_facts()})
    needs = (
        f" It needs its {', '.join(lacks)} as well, which only its author knows." if lacks else ""
    )
    nullable = [
        name for name in reference.columns if not _column(live, child, name).get("not_null", True)
    ]
    empty = f" Or write no parent: {', '.join(nullable)} may be NULL." if nullable else ""
    statements: tuple[str, ...] = ()
    if value is not None and len(reference.columns) == 1:
        statements = _looks(reference.parent, reference.parent_columns, value)
        if not lacks:
            statements += (row_statement(reference, _literal(value)),)
    return Advice(
        f"The parent is missing: no row of {parent}{which}, which {child}.{ours} refers to. Write "
        f"it first, in the same transaction.{needs}{empty} Rows that are there already without "
        f"one: postgres_heal with orphans={'quarantine' if lacks else 'parents or quarantine'}.",
        statements,
    )


def sanitised(seen: Seen, tables: Iterable[str], live: Facts) -> Advice | None:
    """How the bound value has to be changed, and which columns it may be meant for."""
    state = seen.sqlstate
    if state == "22021":
        return Advice(
            "Text holds neither NUL nor bytes that are not UTF-8 here. Take them out first: "
            "value.replace('\\x00', ''); of bytes, raw.decode('utf-8', 'replace'). "
            "Both lose what they replace; bytes as they are belong into a bytea."
            + _meant(_of_types(tables, live, _TEXTS))
        )
    if state == "22P05":
        return Advice(
            "JSON text cannot hold \\u0000 here: take it out of the strings of the document before "
            "json.dumps, text.replace('\\x00', '')." + _meant(_of_types(tables, live, _TEXTS[-2:]))
        )
    if state == "22001":
        limits = [
            f"{name} {found[1]}"
            for name, type_ in _columns(tables, live)
            if (found := _LENGTH.match(type_))
        ]
        listed = f" The most characters: {', '.join(limits)}." if limits else ""
        return Advice(listed.strip()) if listed else None
    if (found := _SYNTAX.search(seen.text)) is None:
        return None
    type_ = found["type"].strip()
    form = _FORMS.get(type_) or _FORMS.get(type_.split()[0])
    if form is None:
        return None
    columns = [name for name, own in _columns(tables, live) if own.startswith(type_.split()[0])]
    return Advice(f"Send a {type_} as {form}.{_meant(columns)}")


def _reference(seen: Seen, live: Facts) -> Reference | None:
    name = seen.names.get("constraint", "")
    for one in references():
        if one.name == name:
            return one
    for key, fact in live.items():
        if (key.kind, key.schema, key.name) == ("constraint", "public", name):
            return parse(key, fact)
    return None


def _columns(tables: Iterable[str], live: Facts) -> list[tuple[str, str]]:
    wanted = set(tables)
    return [
        (f"{key.relation}.{key.name}", str(fact["type"]))
        for key, fact in sorted(live.items())
        if key.kind == "column" and key.schema == "public" and key.relation in wanted
    ]


def _of_types(tables: Iterable[str], live: Facts, types: tuple[str, ...]) -> list[str]:
    return [name for name, own in _columns(tables, live) if re.sub(r"\(\d+\)$", "", own) in types]


def _meant(columns: list[str]) -> str:
    return f" It may be meant for {', '.join(columns)}." if columns else ""


def _column(live: Facts, table: str, name: str) -> dict[str, object]:
    for key, fact in live.items():
        if (key.kind, key.schema, key.relation, key.name) == ("column", "public", table, name):
            return fact
    return {}


def _looks(table: str, columns: tuple[str, ...], value: str) -> tuple[str, ...]:
    if len(columns) != 1:
        return ()
    # The name is quoted, and so is the value.
    return (f"select * from {table} where {quoted(columns[0])} = {_literal(value)}",)  # noqa: S608


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _plain(table: str) -> str:
    return table.removeprefix("public.")
