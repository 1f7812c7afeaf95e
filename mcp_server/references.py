"""The foreign keys that sql/ declares, taken apart; and what a missing parent would take."""

import json
import re
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from database.catalogue.facts import Definition, Facts, Key, declared_facts, quoted

_DEFINITION = re.compile(r"FOREIGN KEY \((.+?)\) REFERENCES ([^(]+)\((.+?)\)")


@dataclass(frozen=True)
class Reference:
    """A foreign key of schema public; tables with their schema."""

    name: str
    child: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


@cache
def references() -> tuple[Reference, ...]:
    """All of them."""
    found = [
        parse(key, fact)
        for key, fact in declared_facts().items()
        if (key.kind, key.schema) == ("constraint", "public")
    ]
    return tuple(one for one in found if one is not None)


def parse(key: Key, fact: Definition) -> Reference | None:
    """A constraint of schema public; None where it is no foreign key, or has a name in quotes."""
    parts = _DEFINITION.match(fact["definition"])
    if parts is None or '"' in parts[0]:
        return None
    columns, parent_columns = (tuple(parts[n].split(", ")) for n in (1, 3))
    return Reference(key.name, f"public.{key.relation}", columns, parts[2], parent_columns)


def reference_named(name: str) -> Reference:
    """One of them. No two have the same name: it begins with the table's."""
    return next(one for one in references() if one.name == name)


@cache
def declared_references() -> str:
    """All of them as a JSON array of objects, which PostgreSQL takes apart."""
    return json.dumps([asdict(one) for one in references()])


def lacking(reference: Reference, facts: Facts | None = None) -> list[str]:
    """The columns of the parent that nobody but its author knows: it cannot be made up.

    Args:
        facts: of the parent, where sql/ may not declare it.
    """
    return [
        name
        for name, fact in _needed(reference, facts).items()
        if not fact.get("backfill") or fact.get("identity")
    ]


def row_statement(reference: Reference, value: str) -> str:
    """Makes one parent; `value` is its key, as SQL."""
    filled = {name: fact["backfill"] for name, fact in _needed(reference).items()}
    names = ", ".join(map(quoted, [*reference.parent_columns, *filled]))
    # Names are quoted, expressions are those of sql/.
    return (
        f"insert into {reference.parent} ({names})"  # noqa: S608
        f" values ({', '.join([value, *filled.values()])}) on conflict do nothing"
    )


def parents_statement(reference: Reference) -> str:
    """Makes the missing parents; what is beside the key are sql/'s own values for old rows."""
    filled = {name: fact["backfill"] for name, fact in _needed(reference).items()}
    ours = [f"referring.{quoted(name)}" for name in reference.columns]
    theirs = [quoted(name) for name in reference.parent_columns]
    pairs = [f"referred.{one} = {other}" for one, other in zip(theirs, ours, strict=True)]
    # Names are quoted, expressions are those of sql/.
    return (
        f"insert into {reference.parent} ({', '.join([*theirs, *map(quoted, filled)])})"  # noqa: S608
        f" select {', '.join(['missing.*', *filled.values()])}"
        f" from (select distinct {', '.join(ours)} from {reference.child} as referring"
        f" where {' and '.join(f'{one} is not null' for one in ours)}"
        f" and not exists (select from {reference.parent} as referred"
        f" where {' and '.join(pairs)})) as missing"
    )


def _needed(reference: Reference, facts: Facts | None = None) -> dict[str, dict[str, Any]]:
    """The columns of the parent that must be given a value, but for the key."""
    return {
        key.name: fact
        for key, fact in (facts or declared_facts()).items()
        if key.kind == "column"
        and f"{key.schema}.{key.relation}" == reference.parent
        and _is_needed(fact, is_key=key.name in reference.parent_columns)
    }


def _is_needed(fact: dict[str, Any], *, is_key: bool) -> bool:
    if is_key:
        # A number that a sequence gives is nobody's to give.
        return bool(fact.get("identity"))
    return bool(fact["not_null"]) and not fact.get("default")
