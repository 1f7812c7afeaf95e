"""What makes a difference disappear: SQL for one fact, with a rank for its place among others.

The ranks are those of sql/differences/: roles and schemas, tables and columns, constraints,
indexes, functions, comments, rights, policies, triggers.
"""

import re
from collections.abc import Callable, Iterator

from database.catalogue.facts import Definition, Facts, Key, quoted

Ranked = tuple[int, str]
_IDENTITIES = {"d": "by default", "a": "always"}
_ROLE_WORDS = ("login", "inherit", "superuser", "createdb", "createrole", "replication")


def statements_of(
    key: Key, wanted: Definition | None, present: Definition | None, declared: Facts
) -> Iterator[Ranked]:
    """The statements for one fact; of what is extra, only for what is security.

    Args:
        wanted: the declared definition; None where it is extra.
        present: the live one; None where it is missing.
        declared: all declared facts: a table is made with its columns.
    """
    if key.kind == "policy":
        yield from _policy(key, wanted, present)
    elif key.kind in ("rights", "column rights", "default rights"):
        yield from _rights(key, wanted or {}, present or {})
    elif wanted is None and key.kind == "membership":
        yield 13, f"revoke {quoted(key.relation)} from {quoted(key.name)}"
    elif wanted is None and key.kind == "setting" and key.relation.startswith("mcp_"):
        yield 12, f"alter role {quoted(key.relation)} reset {key.name}"
    elif wanted is not None and key.kind in _REPAIRS:
        yield from _REPAIRS[key.kind](key, wanted, present, declared)


def takes_a_person(key: Key, wanted: Definition | None, present: Definition | None) -> bool:
    """Whether values may be lost or cannot be made up, so that a person looks first."""
    if wanted is None or key.kind != "column":
        return False
    if present is None:
        # Where there are rows, nobody can make their values up.
        return bool(wanted["not_null"]) and not _filling(wanted)
    if _lengthened(wanted["type"], present["type"]):
        return False
    return bool(
        wanted["type"] != present["type"]
        or (wanted.get("generated") != present.get("generated"))
        or (present.get("default") is not None and wanted.get("default") != present.get("default"))
    )


def _filling(wanted: Definition) -> str | None:
    filling = wanted.get("default") or wanted.get("backfill") or wanted.get("identity")
    return None if filling is None else str(filling)


def _lengthened(wanted: str, present: str) -> bool:
    """Whether the live type is the declared one with a length on it, which loses nothing to go."""
    return wanted != present and re.sub(r"\(\d+\)$", "", present) == wanted


def _schema(key: Key, _wanted: object, _present: object, declared: Facts) -> Iterator[Ranked]:
    rights = declared[Key("rights", key.name, "", f"schema {key.name}")]
    yield 16, f"create schema {quoted(key.name)} authorization {quoted(rights['owner'])}"


def _table(
    key: Key, wanted: Definition, present: Definition | None, declared: Facts
) -> Iterator[Ranked]:
    if present is None:
        columns = [
            (fact["position"], quoted(column.name) + _column_type(fact))
            for column, fact in declared.items()
            if column.kind == "column" and column.table == key.table
        ]
        yield 20, f"create table {key.table} ({', '.join(text for _, text in sorted(columns))})"
        present = {"persistence": "p", "row_security": False, "forced_row_security": False}
    if present["persistence"] != wanted["persistence"]:
        yield 23, f"alter table {key.table} set logged"
    if _security(wanted) != _security(present):
        enabled, forced = _security(wanted)
        yield (
            80,
            f"alter table {key.table} {'enable' if enabled else 'disable'} row level security, "
            f"{'force' if forced else 'no force'} row level security",
        )


def _security(definition: Definition) -> tuple[bool, bool]:
    return definition["row_security"], definition["forced_row_security"]


def _column_type(wanted: Definition, default: str | None = None) -> str:
    text = f" {wanted['type']}"
    if wanted.get("generated"):
        text += f" generated always as ({wanted['default']}) stored"
    elif wanted.get("identity"):
        text += f" generated {_IDENTITIES[wanted['identity']]} as identity"
    elif value := wanted.get("default") or default:
        text += f" default {value}"
    return text + (" not null" if wanted["not_null"] else "")


def _column(
    key: Key, wanted: Definition, present: Definition | None, _declared: Facts
) -> Iterator[Ranked]:
    alter, column = f"alter table {key.table}", quoted(key.name)
    if present is None:
        backfill = None if wanted.get("default") else wanted.get("backfill")
        yield 21, f"{alter} add column {column}{_column_type(wanted, backfill)}"
        if backfill:
            yield 22, f"{alter} alter column {column} drop default"
        return
    column = f"{alter} alter column {column}"
    if wanted["type"] != present["type"]:
        if present.get("default") is not None:
            # One of another type is in the way; the declared one is set below.
            yield 22, f"{column} drop default"
        using = "" if _lengthened(wanted["type"], present["type"]) else (
            f" using {quoted(key.name)}::{wanted['type']}"
        )  # fmt: skip
        yield 23, f"{column} type {wanted['type']}{using}"
    yield from _column_default(key, wanted, present, column)
    if wanted["not_null"] != present["not_null"]:
        if wanted["not_null"] and (filling := wanted.get("default") or wanted.get("backfill")):
            name = quoted(key.name)
            # Names are quoted, expressions are those of sql/.
            yield 24, f"update {key.table} set {name} = {filling} where {name} is null"  # noqa: S608
        yield 25, f"{column} {'set' if wanted['not_null'] else 'drop'} not null"


def _column_default(
    key: Key, wanted: Definition, present: Definition, column: str
) -> Iterator[Ranked]:
    kind = wanted.get("identity")
    if kind and present.get("identity") and kind != present["identity"]:
        yield 26, f"{column} set generated {_IDENTITIES[kind]}"
    elif kind and not present.get("identity"):
        if present.get("default") is not None:
            yield 25, f"{column} drop default"
        yield 26, f"{column} add generated {_IDENTITIES[kind]} as identity"
        yield 27, identity_reset(key)
    elif present.get("identity") and not kind:
        yield 25, f"{column} drop identity"
    elif wanted.get("default") != present.get("default") and not wanted.get("generated"):
        default = wanted.get("default")
        yield 25, f"{column} {f'set default {default}' if default is not None else 'drop default'}"


def identity_reset(key: Key) -> str:
    """Sets the sequence of an identity column to the highest number of the table, never back."""
    literal, name = key.table.replace("'", "''"), key.name.replace("'", "''")
    sequence = f"pg_get_serial_sequence('{literal}', '{name}')"
    return (  # names are quoted
        f"select setval({sequence}, top) from (select max({quoted(key.name)}) as top"  # noqa: S608
        f" from {key.table}) as rows"
        f" where top > coalesce(pg_sequence_last_value({sequence}::regclass), 0)"
    )


def _constraint(
    key: Key, wanted: Definition, present: Definition | None, _declared: Facts
) -> Iterator[Ranked]:
    alter, name = f"alter table {key.table}", quoted(key.name)
    if present and wanted["definition"] == present["definition"]:
        yield 36, f"{alter} validate constraint {name}"
        return
    kind = wanted["type"]
    if present:
        yield 30 if kind == "f" else 31, f"{alter} drop constraint {name}"
    rank = {"p": 32, "u": 33, "f": 35}.get(kind, 34)
    yield rank, f"{alter} add constraint {name} {wanted['definition']}"


def _index(
    key: Key, wanted: Definition, present: Definition | None, _declared: Facts
) -> Iterator[Ranked]:
    if present:
        yield 40, f"drop index {quoted(key.schema)}.{quoted(key.name)}"
    yield 41, wanted["definition"]


def _sequence(key: Key, wanted: Definition, _present: object, _declared: Facts) -> Iterator[Ranked]:
    yield (
        28,
        f"alter sequence {key.table} as {wanted['type']} increment {wanted['increment']} minvalue "
        f"{wanted['minimum']} maxvalue {wanted['maximum']} start {wanted['start']} "
        f"{'' if wanted['cycle'] else 'no '}cycle",
    )


def _function(
    _key: Key, wanted: Definition, _present: object, _declared: Facts
) -> Iterator[Ranked]:
    yield 50, wanted["definition"].strip()


def _view(key: Key, wanted: Definition, _present: object, _declared: Facts) -> Iterator[Ranked]:
    options = f" with ({', '.join(wanted['options'])})" if wanted.get("options") else ""
    definition = wanted["definition"].strip().rstrip(";")
    yield 51, f"create or replace view {key.table}{options} as {definition}"


def _comment(key: Key, wanted: Definition, _present: object, _declared: Facts) -> Iterator[Ranked]:
    relation = f"{quoted(key.schema)}.{quoted(key.relation)}"
    target = f"column {relation}.{quoted(key.name)}" if key.name else f"table {relation}"
    text = wanted["text"].replace("'", "''")
    yield 60, f"comment on {target} is '{text}'"


def _policy(key: Key, wanted: Definition | None, present: Definition | None) -> Iterator[Ranked]:
    if present is not None:
        yield 81, f"drop policy {quoted(key.name)} on {key.table}"
    if wanted is not None:
        yield 82, f"create policy {quoted(key.name)} on {key.table} {wanted['definition']}"


def _trigger(
    key: Key, wanted: Definition, present: Definition | None, _declared: Facts
) -> Iterator[Ranked]:
    if present and present["definition"] != wanted["definition"]:
        yield 85, f"drop trigger {quoted(key.name)} on {key.table}"
    if not present or present["definition"] != wanted["definition"]:
        # OR REPLACE: on a new table the event trigger audit_follows may have been there before.
        yield 86, re.sub(r"^CREATE TRIGGER", "CREATE OR REPLACE TRIGGER", wanted["definition"])
    elif present["enabled"] != wanted["enabled"]:
        yield 87, f"alter table {key.table} enable trigger {quoted(key.name)}"


def _event_trigger(
    key: Key, wanted: Definition, present: Definition | None, _declared: Facts
) -> Iterator[Ranked]:
    name = quoted(key.name)
    if present and {**present, "enabled": ""} == {**wanted, "enabled": ""}:
        yield 87, f"alter event trigger {name} enable"
        return
    if present:
        yield 85, f"drop event trigger {name}"
    yield (
        86,
        f"create event trigger {name} on {wanted['event']} execute function {wanted['function']}()",
    )


def _role(
    key: Key, wanted: Definition, present: Definition | None, _declared: Facts
) -> Iterator[Ranked]:
    words = [word if wanted[word] else f"no{word}" for word in (*_ROLE_WORDS, "bypassrls")]
    yield (
        10,
        f"{'alter' if present else 'create'} role {quoted(key.name)} {' '.join(words)} "
        f"connection limit {wanted['connection_limit']}",
    )


def _setting(key: Key, wanted: Definition, _present: object, _declared: Facts) -> Iterator[Ranked]:
    # The one list among them: quoted as a whole it would be one strange schema name.
    value = wanted["value"] if key.name == "search_path" else f"'{wanted['value']}'"
    yield 12, f"alter role {quoted(key.relation)} set {key.name} = {value}"


def _membership(
    key: Key, wanted: Definition, present: Definition | None, _declared: Facts
) -> Iterator[Ranked]:
    role, member = quoted(key.relation), quoted(key.name)
    if present:
        yield 13, f"revoke {role} from {member}"
    yield (
        14,
        f"grant {role} to {member} with inherit {str(wanted['inherit']).lower()}, "
        f"set {str(wanted['set']).lower()}",
    )


def _rights(key: Key, wanted: Definition, present: Definition) -> Iterator[Ranked]:
    declared, live = wanted.get("rights") or {}, present.get("rights") or {}
    target = key.name
    if target == "database":
        target = 'database :"DBNAME"'
    if (owner := wanted.get("owner")) and owner != present.get("owner"):
        yield 71, f"alter {target} owner to {quoted(owner)}"
    for role in sorted(declared.keys() | live.keys()):
        grantee = "public" if role == "public" else quoted(role)
        lacking = [right for right in declared.get(role, ()) if right not in live.get(role, ())]
        beyond = [right for right in live.get(role, ()) if right not in declared.get(role, ())]
        # WITH GRANT OPTION goes with the right; the right itself is granted again after it.
        again = [r for r in beyond if r.split(" with ")[0] in declared.get(role, ())]
        lacking = sorted({*lacking, *(right.split(" with ")[0] for right in again)})
        if beyond:
            gone = ", ".join(right.split(" with ")[0] for right in beyond)
            yield 72, _right_statement(key, "revoke", gone, target, f"from {grantee}")
        if lacking:
            yield 74, _right_statement(key, "grant", ", ".join(lacking), target, f"to {grantee}")


def _right_statement(key: Key, verb: str, rights: str, target: str, whom: str) -> str:
    if key.kind == "column rights":
        column = quoted(key.name)
        listed = ", ".join(f"{right} ({column})" for right in rights.split(", "))
        return f"{verb} {listed} on table {quoted(key.schema)}.{quoted(key.relation)} {whom}"
    if key.kind == "default rights":
        place = f" in schema {quoted(key.schema)}" if key.schema else ""
        return (
            f"alter default privileges for role {quoted(key.relation)}{place} "
            f"{verb} {rights} on {target} {whom}"
        )
    return f"{verb} {rights} on {target} {whom}"


_Repair = Callable[[Key, Definition, Definition | None, Facts], Iterator[Ranked]]
_REPAIRS: dict[str, _Repair] = {
    "schema": _schema,
    "table": _table,
    "column": _column,
    "constraint": _constraint,
    "index": _index,
    "sequence": _sequence,
    "view": _view,
    "function": _function,
    "trigger": _trigger,
    "event trigger": _event_trigger,
    "comment": _comment,
    "role": _role,
    "setting": _setting,
    "membership": _membership,
}
