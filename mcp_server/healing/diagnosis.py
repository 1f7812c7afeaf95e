"""What is wrong, and what would put it right: from an error, and from what the schema lacks.

Invariant: a pure judgement. It reads no database and changes nothing; what it lets healing do alone
is a statement that sql/ itself leads to, and that adds. All else is for a person, in exact words.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from pglast import ast, parser

from database.catalogue.compare import Difference, repairs
from database.catalogue.facts import Definition, Facts, Key, quoted
from database.catalogue.repair import identity_reset
from mcp_server.failure import Failure
from mcp_server.gate.parse import nodes, parse_one
from mcp_server.healing.data import orphan, sanitised
from mcp_server.healing.errors import Seen
from mcp_server.healing.states import Knowledge, knowledge
from mcp_server.hints import hint_for

#: Types that hold every value of a narrower one.
_WIDER = {
    "smallint": {"integer", "bigint", "numeric"},
    "integer": {"bigint", "numeric", "double precision"},
    "real": {"double precision"},
    "character varying": {"text"},
}
_APPLY = "A person runs 'python -m database apply'"


@dataclass(frozen=True)
class Fix:
    """What would heal it.

    Attributes:
        words: in words.
        statements: exact SQL, in order; empty where only a person can say.
        alone: healing may run them without a person.
        differences: what of the drift is gone afterwards.
        resets: identity columns whose sequence is put after their highest number.
        needed: False where nothing is wrong.
    """

    words: str
    statements: tuple[str, ...] = ()
    alone: bool = False
    differences: tuple[Difference, ...] = ()
    resets: tuple[Key, ...] = ()
    needed: bool = True


@dataclass(frozen=True)
class Diagnosis:
    """An error understood, or honestly not."""

    seen: Seen
    known: Knowledge
    fix: Fix
    statement: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "sqlstate": self.seen.sqlstate,
            "class": self.known.kind,
            "cause": self.known.cause,
            "names": dict(self.seen.names),
            "fix": self.fix.words,
            "sql": list(self.fix.statements),
            "risk": self.known.risk if self.fix.statements else "none",
            "alone": self.fix.alone,
            "alert": self.known.alert,
        }


def diagnose(
    seen: Seen, statement: str | None, drift: Iterable[Difference], declared: Facts, live: Facts
) -> Diagnosis:
    """Understand an error.

    Args:
        statement: the SQL that failed, where it is known.
        drift: how the live schema differs from the declared one.
    """
    known = knowledge(seen.sqlstate)
    statement = statement or seen.statement
    case = _Case(seen, statement, list(drift), declared, live)
    judge = _JUDGES.get(seen.sqlstate or "", _advise)
    return Diagnosis(seen, known, judge(case, known), statement)


def diagnose_drift(drift: list[Difference]) -> Diagnosis:
    """The diagnosis of a schema that drifted, without any error."""
    wrong = [difference for difference in drift if difference.is_drift]
    known = Knowledge("schema", "The schema is not as sql/ declares it.", _APPLY, "low", True)
    if not wrong:
        fix = Fix("Nothing: the schema is as sql/ declares it.", needed=False)
    else:
        fix = fix_of([one for one in wrong if may_heal_alone(one)])
        left = [one.words for one in wrong if not may_heal_alone(one)]
        if left:
            words = f"{_APPLY} for: {'; '.join(left)}."
            fix = Fix(f"{fix.words} {words}".strip(), *(fix.statements, fix.alone, fix.differences))
    return Diagnosis(Seen("drift", None), known, fix)


def may_heal_alone(difference: Difference) -> bool:
    """Whether mcp_heal may repair it: it adds or widens, and decides about no protection."""
    key, wanted, live = difference.key, difference.declared, difference.live
    if not difference.is_drift or key.schema != "public" or wanted is None:
        return False
    if any(text.startswith(("update ", "select ")) for _, text in difference.statements):
        return False
    match key.kind:
        case "index":
            return True
        case "constraint":
            # Another definition would mean to take the present one away.
            return live is None or wanted["definition"] == live["definition"]
        case "column":
            return not wanted.get("generated") and (live is None or _is_widened(wanted, live))
    return False


def _is_widened(wanted: Definition, live: Definition) -> bool:
    same_identity = wanted.get("identity") == live.get("identity")
    return same_identity and (
        wanted["type"] == live["type"] or _is_wider(wanted["type"], live["type"])
    )


def _is_wider(wanted: str, live: str) -> bool:
    bare = re.sub(r"\(\d+\)$", "", live)
    return wanted != live and (bare == wanted or wanted in _WIDER.get(bare, ()))


@dataclass(frozen=True)
class _Case:
    seen: Seen
    statement: str | None
    drift: list[Difference]
    declared: Facts
    live: Facts

    def tables(self) -> set[str]:
        """The tables of public that the error or the statement names; empty where unknown."""
        if table := self.seen.names.get("table"):
            return {table.split(".")[-1]}
        return tables_in(self.statement or "")

    def missing(self, kind: str, name: str) -> list[Difference]:
        tables = self.tables()
        return [
            one
            for one in self.drift
            if one.key.kind == kind and one.key.name == name and one.live is None
            and one.is_drift and (not tables or not one.key.relation or one.key.relation in tables)
        ]  # fmt: skip

    def columns(self) -> set[str]:
        """The columns of the tables that the error or the statement names."""
        tables = self.tables()
        return {key.name for key in self.live if key.kind == "column" and key.relation in tables}


def tables_in(statement: str) -> set[str]:
    """The tables that a statement names; none where it is no PostgreSQL."""
    try:
        tree = parse_one(statement)
    except (Failure, parser.ParseError):
        return set(
            re.findall(r"(?i)\b(?:from|join|into|update)\s+(?:public\.)?\"?(\w+)", statement)
        )
    return {node.relname for node in nodes(tree) if isinstance(node, ast.RangeVar)}


def _advise(case: _Case, known: Knowledge) -> Fix:
    seen = case.seen
    hint = hint_for(seen.sqlstate, seen.text, case.statement or "")
    # A hint about SQLite's dialect knows more than the code alone.
    return Fix(hint if hint and known.kind in ("query", "schema") else known.advice)


def _undefined_column(case: _Case, known: Knowledge) -> Fix:
    column = case.seen.names.get("column", "").split(".")[-1].strip('"')
    found = case.missing("column", column)
    if len(found) == 1:
        # With it come back the keys, rules and indexes that it took along.
        return fix_of([found[0], *_along(case, found[0])])
    if found:
        tables = ", ".join(one.key.relation for one in found)
        return Fix(f"Column {column} is missing in {tables}: give the statement that failed.")
    known_here = sorted(case.columns())
    near = get_close_matches(column, known_here, n=1)
    text = f" Did you mean {near[0]}?" if near else ""
    if known_here:
        text += f" The columns are {', '.join(known_here)}."
    advice = _advise(case, known).words
    return Fix(f"sql/ knows no column {column} here: rewrite the query.{text} {advice}".strip())


def _along(case: _Case, column: Difference) -> list[Difference]:
    name = re.compile(rf'(?<!\w)"?{re.escape(column.key.name)}"?(?!\w)')
    return [
        one
        for one in case.drift
        if one.key.kind in ("constraint", "index")
        and one.live is None and one.declared is not None
        and one.key.relation == column.key.relation and name.search(one.declared["definition"])
    ]  # fmt: skip


def _undefined_table(case: _Case, known: Knowledge) -> Fix:
    name = case.seen.names.get("table", "").split(".")[-1]
    lost = case.missing("table", name)
    if not lost:
        tables = sorted(key.name for key in case.live if key.kind == "table")
        near = get_close_matches(name, tables, n=1)
        advice = f"Did you mean {near[0]}?" if near else _advise(case, known).words
        return Fix(f"sql/ knows no table {name}: rewrite the query. {advice}")
    # Only the owner can give it rights and policies; and what became of its rows?
    return Fix(
        f"Table {name} was lost, with its rows. {_APPLY}, which makes it again with its rights and "
        "policies, and restores the rows from a backup.",
        tuple(repairs(lost)),
    )


def _undefined_object(case: _Case, known: Knowledge) -> Fix:
    for kind in ("index", "constraint"):
        if found := case.missing(kind, case.seen.names.get(kind, "")):
            return fix_of(found)
    return _advise(case, known)


def _too_narrow(case: _Case, known: Knowledge) -> Fix:
    tables = case.tables()
    found = [
        one
        for one in case.drift
        if one.key.kind == "column" and one.declared and one.live
        and _is_wider(one.declared["type"], one.live["type"])
        and (not tables or one.key.relation in tables)
    ]  # fmt: skip
    if found:
        return fix_of(found)
    limits = sanitised(case.seen, tables, case.live)
    return Fix(f"{known.advice} {limits.words}" if limits else known.advice)


def _null(case: _Case, known: Knowledge) -> Fix:
    column, tables = case.seen.names.get("column", ""), case.tables()
    found = [
        one
        for one in case.drift
        if one.key.kind == "column" and one.key.name == column and one.declared and one.live
        and (not tables or one.key.relation in tables)
    ]  # fmt: skip
    return fix_of(found) if found else Fix(known.advice)


def _duplicate(case: _Case, _known: Knowledge) -> Fix:
    constraint = case.seen.names.get("constraint", "")
    for key, fact in case.live.items():
        if key.kind != "constraint" or key.name != constraint or fact["type"] not in "pu":
            continue
        columns = re.findall(r'"?(\w+)"?', fact["definition"].split("(", 1)[-1])
        column = Key("column", key.schema, key.relation, columns[0] if columns else "")
        if len(columns) == 1 and (case.live.get(column) or {}).get("identity"):
            return Fix(
                f"Put the sequence of {key.relation}.{column.name} after its highest number, where "
                "it is behind; where it is not, the key is really taken: use ON CONFLICT.",
                (identity_reset(column),),
                alone=True,
                resets=(column,),
            )
    return Fix(
        "The key is really taken. Write INSERT … ON CONFLICT (key) DO UPDATE, or another key."
    )


def _orphan(case: _Case, known: Knowledge) -> Fix:
    found = orphan(case.seen, case.live)
    return Fix(known.advice) if found is None else Fix(*found)


def _bad_value(case: _Case, known: Knowledge) -> Fix:
    found = sanitised(case.seen, case.tables(), case.live)
    return _advise(case, known) if found is None else Fix(found.words)


def _damaged_page(case: _Case, known: Knowledge) -> Fix:
    """A person's matter, always: what is read from a damaged disk proves nothing."""
    index, table = case.seen.names.get("index"), case.seen.names.get("table")
    if index:
        where = f" of table {table}" if table else ""
        advice = knowledge("XX002").advice
        words = f"Index {index}{where} is damaged, its table perhaps not. {advice}"
        return Fix(words, (f"reindex index concurrently public.{quoted(index)}",))
    if table:
        return Fix(
            f"Table {table} is damaged, and REINDEX or VACUUM does not help; zero_damaged_pages "
            f"would throw rows away. {known.advice}"
        )
    return Fix(known.advice)


def fix_of(found: list[Difference]) -> Fix:
    """What repairs differences; none of it without a person where one of them needs a person."""
    if not found:
        return Fix("")
    words = "; ".join(one.words for one in found)
    alone = all(may_heal_alone(one) for one in found)
    advice = "Make it as sql/ declares it" if alone else _APPLY
    return Fix(
        f"{advice}: {words}.",
        tuple(repairs(found, by_hand=True)),
        alone,
        tuple(found) if alone else (),
    )


_JUDGES = {
    "42703": _undefined_column,
    "42P01": _undefined_table,
    "42704": _undefined_object,
    "22001": _too_narrow,
    "22003": _too_narrow,
    "22P02": _bad_value,
    "22P05": _bad_value,
    "22021": _bad_value,
    "22007": _bad_value,
    "22008": _bad_value,
    "23502": _null,
    "23503": _orphan,
    "23505": _duplicate,
    "XX001": _damaged_page,
    "XX002": _damaged_page,
}
