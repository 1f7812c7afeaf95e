"""SQLite's JSON functions on columns that are jsonb."""

from typing import TYPE_CHECKING

from sqlglot import exp

from migration.translate.errors import UntranslatableError
from migration.translate.nodes import Node
from migration.translate.scope import quote_text
from migration.translate.values import Kind, Value

if TYPE_CHECKING:
    from migration.translate.expression import Translator


def _valid(values: list[Value]) -> Value:
    value = values[0]
    if value.kind is Kind.JSON:
        return Value(f"CASE WHEN {value.wrapped} IS NOT NULL THEN true END", Kind.BOOLEAN)
    if value.kind is Kind.TEXT:
        return Value(f"{value.wrapped} IS JSON", Kind.BOOLEAN, atom=False)
    raise UntranslatableError(f"json_valid of {value.kind.value}")


def _extract(translator: "Translator", node: Node) -> Value:
    value = translator.value(node.this)
    if value.kind is not Kind.JSON:
        raise UntranslatableError(f"JSON functions on {value.kind.value}")
    if node.expressions:
        raise UntranslatableError("json_extract with several paths")
    steps = _steps(node.expression)
    if len(steps) > 1 and "only_json_types" in node.args:
        # SQLite's arrow takes 'a.b' for one key, and sqlglot for two.
        raise UntranslatableError("an arrow with a path of several steps")
    sql = value.wrapped
    for step in steps:
        # PostgreSQL takes a lone value for an array of one; SQLite does not.
        whole = f"(CASE jsonb_typeof({sql}) WHEN 'array' THEN {sql} END)"
        sql = f"{whole if step.isdigit() else sql} -> {step}"
    # The arrow -> yields JSON text in SQLite; ->> and json_extract what is in it.
    kind = Kind.JSON if type(node) is exp.JSONExtract else Kind.JSON_VALUE
    return Value(sql, kind, atom=not steps)


def _steps(node: Node) -> list[str]:
    """The keys and positions of a plain path. A text takes from objects alone, as in SQLite."""
    if not isinstance(node, exp.JSONPath):
        raise UntranslatableError("a JSON path that is not a plain literal")
    steps = []
    for step in node.expressions[1:]:
        key = step.this
        if isinstance(step, exp.JSONPathKey) and isinstance(key, str):
            steps.append(quote_text(key))
        elif isinstance(step, exp.JSONPathSubscript) and isinstance(key, int) and key >= 0:
            steps.append(str(key))
        else:
            raise UntranslatableError("a JSON path with more than keys and positions")
    return steps


def _array_length(values: list[Value]) -> Value:
    value = values[0]
    if value.kind is not Kind.JSON:
        raise UntranslatableError(f"json_array_length of {value.kind.value}")
    sql = f"CASE jsonb_typeof({value.sql}) WHEN 'array' THEN jsonb_array_length({value.sql})"
    return Value(
        f"{sql} ELSE CASE WHEN {value.wrapped} IS NOT NULL THEN 0 END END",
        Kind.INTEGER,
        small=True,
    )


NAMED = {
    "json_valid": (range(1, 2), _valid),
    "json_array_length": (range(1, 2), _array_length),
}
HANDLERS: dict[type[exp.Expression], Node] = {
    exp.JSONExtract: _extract,
    exp.JSONExtractScalar: _extract,
}
