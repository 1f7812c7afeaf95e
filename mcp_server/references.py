"""The foreign keys that sql/ declares, taken apart."""

import json
import re
from dataclasses import asdict, dataclass
from functools import cache

from database.catalogue.facts import declared_facts

_DEFINITION = re.compile(r"FOREIGN KEY \((.+?)\) REFERENCES ([\w.]+)\((.+?)\)")


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
    found = []
    for key, fact in declared_facts().items():
        if (key.kind, key.schema) != ("constraint", "public") or fact["type"] != "f":
            continue
        parts = _DEFINITION.match(fact["definition"])
        # sql/ has no name that needs quotes.
        assert parts is not None
        columns, parent_columns = (tuple(parts[n].split(", ")) for n in (1, 3))
        child = f"public.{key.relation}"
        found.append(Reference(key.name, child, columns, parts[2], parent_columns))
    return tuple(found)


def reference_named(name: str) -> Reference:
    """One of them. No two have the same name: it begins with the table's."""
    return next(one for one in references() if one.name == name)


@cache
def declared_references() -> str:
    """All of them as a JSON array of objects, which PostgreSQL takes apart."""
    return json.dumps([asdict(one) for one in references()])
