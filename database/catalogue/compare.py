"""Drift: the live facts compared with the declared ones.

Invariant: what is there beyond the declaration is told and never taken away, with one exception,
which is security: policies, and the rights of PUBLIC and of the roles that sql/ names, end exactly
as declared, as `python -m database apply` has it too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from database.catalogue.facts import Definition, Facts, Key
from database.catalogue.repair import statements_of, takes_a_person

State = Literal["missing", "changed", "extra"]

#: Parts of a definition that are no difference: where a column stands, whose a sequence is.
_NOT_COMPARED = {"position", "owned_by", "backfill"}
#: Security: what is extra of these goes.
_EXACT = ("policy", "rights", "column rights", "default rights", "membership")
_WORDS = {
    "not_null": "NOT NULL",
    "row_security": "row-level security",
    "forced_row_security": "row-level security for the owner",
    "definition": "its definition",
}


@dataclass(frozen=True)
class Difference:
    """One thing that is not as sql/ declares it.

    Attributes:
        declared: None where it is extra.
        live: None where it is missing.
        statements: what makes it as declared, in this order with those of others (`rank`, SQL);
            empty for what is extra and stays.
        by_hand: values may be lost or waited for: a person looks at the statements first.
    """

    key: Key
    state: State
    declared: Definition | None
    live: Definition | None
    statements: tuple[tuple[int, str], ...]
    by_hand: bool

    @property
    def is_drift(self) -> bool:
        """Whether it is to be repaired; else it is an addition, which stays."""
        return self.state != "extra" or bool(self.statements)

    @property
    def words(self) -> str:
        """What differs, in one sentence."""
        return f"{_name(self.key)} {_state_in_words(self)}"

    def __str__(self) -> str:
        if not self.is_drift:
            return self.words
        return f"{self.words} ({'by hand' if self.by_hand else 'database apply repairs it'})"

    def fields(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "kind": self.key.kind,
            "schema": self.key.schema,
            "table": self.key.relation,
            "name": self.key.name,
            "state": self.state,
            "words": self.words,
            "repair": [statement for _, statement in self.statements],
            "by_hand": self.by_hand,
        }


def drift(declared: Facts, live: Facts) -> list[Difference]:
    """What differs; nothing where both are the same.

    The definitions in `declared` may come from declared.json, which knows no rights to
    PostgreSQL's own functions: those are compared only where `declared` has any.
    """
    found = list(_differences(declared, live))
    lost = {
        difference.key.table
        for difference in found
        if difference.state == "missing" and difference.key.kind == "table"
    }
    # A table that is gone took its columns along: they come back with it, and are one difference.
    return [
        difference
        for difference in found
        if difference.key.kind != "column" or difference.key.table not in lost
    ]


def repairs(differences: list[Difference], *, by_hand: bool = False) -> list[str]:
    """The statements that repair them, in an order in which they can be run.

    Args:
        by_hand: with those that a person looks at first.
    """
    ranked = {
        ranked
        for difference in differences
        if by_hand or not difference.by_hand
        for ranked in difference.statements
    }
    return [statement for _, statement in sorted(ranked)]


def _differences(declared: Facts, live: Facts) -> Iterator[Difference]:
    schemas = {key.schema for key in declared if key.kind == "schema"}
    has_builtins = any(key.schema == "pg_catalog" for key in declared)
    ruled = {"public", *(key.name for key in declared if key.kind == "role")}
    for key in sorted(declared.keys() | live.keys()):
        if key.schema == "pg_catalog" and not has_builtins:
            continue
        wanted, present = declared.get(key), live.get(key)
        if key.kind in ("rights", "column rights", "default rights"):
            wanted, present = _ruled(key, wanted, present, ruled)
        if _same(wanted, present) or (wanted is None and not _is_ours(key, schemas, ruled)):
            continue
        if key.kind == "sequence" and wanted and wanted.get("owned_by") and not present:
            continue  # told, and repaired, with the column that it numbers
        state: State = "extra" if wanted is None else "missing" if present is None else "changed"
        kept = state == "extra" and not _is_security(key)
        statements = () if kept else tuple(statements_of(key, wanted, present, declared))
        by_hand = not kept and takes_a_person(key, wanted, present)
        yield Difference(key, state, wanted, present, statements, by_hand)


def _same(wanted: Definition | None, present: Definition | None) -> bool:
    if wanted is None or present is None:
        return wanted is present
    return _compared(wanted) == _compared(present)


def _compared(definition: Definition) -> Definition:
    return {
        name: value
        for name, value in definition.items()
        if name not in _NOT_COMPARED and value is not None
    }


def _is_security(key: Key) -> bool:
    # A login may change its own defaults, and for a login of the agents that is any agent's SQL.
    return key.kind in _EXACT or (key.kind == "setting" and key.relation.startswith("mcp_"))


def _is_ours(key: Key, schemas: set[str], ruled: set[str]) -> bool:
    """Whether something extra is told: not what the site has in schemas and roles of its own."""
    match key.kind:
        case "schema" | "role" | "event trigger":
            return False
        case "setting":
            return key.relation in ruled
        case "membership":
            return key.name in ruled
    return key.schema in schemas or key.schema in ("", "pg_catalog")


def _ruled(
    key: Key, wanted: Definition | None, present: Definition | None, ruled: set[str]
) -> tuple[Definition | None, Definition | None]:
    """Rights without those of the site's own roles; a new object has those of its defaults."""
    if key.kind == "default rights" and key.relation not in ruled:
        return None, None

    def without(definition: Definition | None) -> Definition | None:
        if definition is None:
            return None
        rights = {
            role: held for role, held in (definition.get("rights") or {}).items() if role in ruled
        }
        return {**definition, "rights": rights} if rights or "owner" in definition else None

    present, wanted = without(present), without(wanted)
    if wanted is None and present is not None and key.kind == "rights":
        # Of something that is itself extra; its own difference tells that.
        return None, None
    if wanted is not None and present is None:
        # PostgreSQL lets everybody execute a new function.
        first = {"public": ["EXECUTE"]} if key.name.startswith("routine ") else {}
        present = {**wanted, "owner": None, "rights": first}
    return wanted, present


#: How what has no name of its own in a schema is called; the others are `kind name of table`.
_NAMES = {
    "rights": "rights to {name}",
    "column rights": "rights to column {name} of {table}",
    "default rights": "rights to future {name} of {relation}",
    "membership": "membership of {name} in {relation}",
    "setting": "setting {name} of {relation}",
    "comment": "comment on {table}.{name}",
    "function": "function {name}",
    "role": "role {name}",
    "schema": "schema {name}",
    "event trigger": "event trigger {name}",
}


def _name(key: Key) -> str:
    table = f"{key.schema}.{key.relation}" if key.relation else key.schema
    form = _NAMES.get(key.kind)
    if form is None:
        form = "{kind} {name} of {table}" if key.relation else "{kind} {table}.{name}"
    return form.format(**key._asdict(), table=table).rstrip(".")


def _state_in_words(difference: Difference) -> str:
    wanted, present = difference.declared, difference.live
    if difference.state == "missing":
        return "is missing"
    if wanted is None or present is None:
        return "is not declared" + ("" if difference.statements else "; it stays")
    parts = []
    for name in sorted((wanted.keys() | present.keys()) - _NOT_COMPARED):
        declared, live = wanted.get(name), present.get(name)
        if declared != live:
            word = _WORDS.get(name, name.replace("_", " "))
            parts.append(f"{word} is {_value(live)}, declared as {_value(declared)}")
    return ": " + "; ".join(parts)


def _value(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case dict():
            rights = (f"{role} {', '.join(held)}" for role, held in sorted(value.items()))
            return "(" + "; ".join(rights) + ")"
    return str(value)
