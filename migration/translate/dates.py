"""SQLite's date and time functions on columns that are dates and times, and on 'now'.

SQLite computes in UTC. The functions yield text there; here a date, a timestamp or a time,
whose text form is SQLite's (`Value.canonical`).
"""

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from migration.translate.errors import UntranslatableError
from migration.translate.nodes import Node
from migration.translate.scope import quote_text
from migration.translate.values import Kind, Value

if TYPE_CHECKING:
    from migration.translate.expression import Translator

NOW = "timezone('UTC', now())"
_SHIFT = re.compile(r"([+-]?\d{1,9}) (second|minute|hour|day)s?", re.IGNORECASE)
_LONG_SHIFT = re.compile(r"([+-]?\d{1,4}) (month|year)s?", re.IGNORECASE)
_FULL = re.compile(r"(?:%Y-%m-%d|%F)[ T](?:%T|%H:%M:(%S|%f))(?:Z|\+00:00)?")
_STARTS = {"start of day": "day", "start of month": "month", "start of year": "year"}
_DIRECTIVES = {
    "Y": "YYYY",
    "m": "MM",
    "d": "DD",
    "H": "HH24",
    "M": "MI",
    "S": "SS",
    "j": "DDD",
    "F": "YYYY-MM-DD",
    "T": "HH24:MI:SS",
}


def moment(values: list[Value]) -> str:
    """The timestamp, in UTC and without a zone, that a time value and its modifiers mean."""
    value, *modifiers = values or [Value("'now'", Kind.TEXT, literal="now")]
    texts = [one.literal for one in modifiers]
    if not all(isinstance(text, str) for text in texts):
        raise UntranslatableError("a date modifier that is not a literal")
    words = [str(text).strip().lower() for text in texts]
    epoch = words[:1] == ["unixepoch"]
    sql = _start(value, epoch=epoch)
    first_of_month = False
    for word in words[1:] if epoch else words:
        if word in _STARTS:
            sql = f"date_trunc('{_STARTS[word]}', {sql})"
            first_of_month = word != "start of day"
        elif match := _SHIFT.fullmatch(word):
            sql = f"({sql} + interval '{match[1]} {match[2]}')"
            first_of_month = False
        elif (match := _LONG_SHIFT.fullmatch(word)) and first_of_month:
            sql = f"({sql} + interval '{match[1]} {match[2]}')"
        elif match:
            # SQLite lets the 31st run over into the next month, PostgreSQL stops at the 30th.
            raise UntranslatableError(f"date modifier {word!r} on any day but the first")
        else:
            raise UntranslatableError(f"date modifier {word!r}")
    return sql


def _start(value: Value, *, epoch: bool) -> str:
    if isinstance(value.literal, str) and value.literal.lower() == "now" and not epoch:
        return NOW
    if value.kind is Kind.INTEGER and epoch:
        return f"timezone('UTC', to_timestamp({value.sql}))"
    if value.kind is Kind.TIMESTAMP:
        return value.wrapped
    if value.kind is Kind.INSTANT:
        return f"timezone('UTC', {value.sql})"
    if value.kind is Kind.DATE and not epoch:
        return value.cast("timestamp")
    raise UntranslatableError(f"a date function on {value.kind.value}")


def _date(values: list[Value]) -> Value:
    return Value(f"({moment(values)})::date", Kind.DATE, canonical=True)


def _datetime(values: list[Value]) -> Value:
    sql = f"date_trunc('second', {moment(values)})"
    known = sql if NOW in sql else None
    return Value(sql, Kind.TIMESTAMP, canonical=True, moment=known)


def _time(values: list[Value]) -> Value:
    return Value(f"date_trunc('second', {moment(values)})::time", Kind.TIME, canonical=True)


def _unix_epoch(values: list[Value]) -> Value:
    time = moment(values)
    sql = f"floor(extract(epoch from {time}))::bigint"
    known = f"date_trunc('second', {NOW})" if time == NOW else None
    return Value(sql, Kind.INTEGER, moment=known)


def _julian_day(values: list[Value]) -> Value:
    # SQLite counts milliseconds since the Julian epoch; 210866760000000 lead to 1970.
    milliseconds = f"round(extract(epoch from {moment(values)}) * 1000) + 210866760000000"
    return Value(f"({milliseconds})::double precision / 86400000", Kind.REAL, atom=False)


def _format_time(values: list[Value]) -> Value:
    template = values[0].literal
    if not isinstance(template, str):
        raise UntranslatableError("strftime with a format that is not a literal")
    if template == "%s":
        epoch = _unix_epoch(values[1:])
        return Value(epoch.cast("text"), Kind.TEXT, number=epoch.sql, moment=epoch.moment)
    time, pieces = moment(values[1:]), []
    for match in re.finditer(r"%(.?)|([^%]+)", template, re.DOTALL):
        directive, plain = match.groups()
        if plain is None and directive == "%":
            plain = "%"
        if plain is not None:
            escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
            pieces.append(f'"{escaped}"')
        elif directive in _DIRECTIVES:
            pieces.append(_DIRECTIVES[directive])
        elif directive == "f" and time == NOW:
            # Of stored times SQLite rounds the milliseconds, and PostgreSQL cuts them.
            pieces.append("SS.MS")
        else:
            raise UntranslatableError(f"strftime with %{directive}")
    known = None
    if time == NOW and (full := _FULL.fullmatch(template)):
        known = f"date_trunc('{'milliseconds' if full[1] == '%f' else 'second'}', {NOW})"
    return Value(f"to_char({time}, {quote_text(''.join(pieces))})", Kind.TEXT, moment=known)


def _date_node(translator: "Translator", node: Node) -> Value:
    if node.args.get("zone") or node.expressions:
        raise UntranslatableError("date with modifiers that are not literals")
    return _date([translator.value(node.this)] if node.this is not None else [])


def _format_node(translator: "Translator", node: Node) -> Value:
    inner = node.this
    if isinstance(inner, exp.TsOrDsToTimestamp):
        inner = inner.this
    value = [] if isinstance(inner, exp.CurrentTimestamp) else [translator.value(inner)]
    return _format_time([translator.value(node.args["format"]), *value])


_ANY = range(9)
NAMED = {
    "date": (_ANY, _date),
    "datetime": (_ANY, _datetime),
    "time": (_ANY, _time),
    "unixepoch": (_ANY, _unix_epoch),
    "julianday": (_ANY, _julian_day),
    "strftime": (range(1, 9), _format_time),
}
HANDLERS: dict[type[exp.Expression], Node] = {
    exp.Date: _date_node,
    exp.TimeToStr: _format_node,
    exp.CurrentTimestamp: lambda *_: _datetime([]),
    exp.CurrentDate: lambda *_: _date([]),
    exp.CurrentTime: lambda *_: _time([]),
}
