"""Random SQLite databases, schema included, for hypothesis: whatever SQLite itself accepts."""

import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

Statement = tuple[str, tuple[object, ...]]

HOSTILE_NAMES = (
    "t", "T", "a", "A", "id", "ID", "rowid", "oid", "ctid", "xmin", "tableoid", "select",
    "Order", "user", "group", "null", "sessions", "logs", "run", "pg_class", "pg_x", "my table",
    " a ", "a.b", 'q"q', "it's", "100%", "%s", "{x}", "$1", "a;--", "\\", "`", "[x]", "їжак",
    "ЇЖАК", "🧪", "ß", "y" * 62, "y" * 63, "y" * 64, "y" * 65, "ї" * 31, "ї" * 32, "ї" * 33,
    "t_pkey", "t_a_key", "1", "", "a\nb", "a\tb", "\u202e", "é", "e\u0301",
)  # fmt: skip
NAME = st.one_of(
    st.sampled_from(HOSTILE_NAMES[:16]),
    st.sampled_from(HOSTILE_NAMES),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12),
)
DECLARED = st.sampled_from(
    [
    "", "integer", "int", "bigint", "real", "float", "double precision", "text", "varchar(3)",
    "blob", "numeric", "decimal(10,2)", "boolean", "datetime", "timestamp", "date", "time",
    "json", "uuid", "char(36)", "any", "unsigned big int", "strange type", "text collate nocase",
    "point",
]
)  # fmt: skip
STRICT = st.sampled_from(["int", "integer", "real", "text", "blob", "any"])
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
HARD_TEXT = st.sampled_from(
    [
    "", " ", "\\N", "\\.", "\t", "\n", "\r\n", "\\", "'", '"', "NULL", "a\0b", "é", "e\u0301",
    "🧪", "0", "1", "-0", "007", "1.50", "1e5", "1e400", "9223372036854775808", "nan", "Infinity",
    "t", "yes", "true", "2026-02-01", "2026-02-30", "0000-00-00", "2026-02-01 10:00:00",
    "2026-02-01T10:00:00Z", "2026-02-01 10:00:00+02:00", "2026-02-01 10:00:00.1234567",
    "10000-01-01", "12:30", "24:00:00", "{}", "[]", '{"a": 1, "a": 2}', '["\\u0000"]',
    '["\\ud800"]', "{oops", "null", "[1e400]", "[NaN]", "0b0e7a52-6f0e-4a6e-9d39-2f6a3a3f0a11",
    "{0B0E7A52-6F0E-4A6E-9D39-2F6A3A3F0A11}", "x" * 3000,
]
)  # fmt: skip
INTEGER = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([2**31, 2**53 + 1, 1769940000, 1769940000000, 2**63 - 1, -(2**63)]),
)
REAL = st.one_of(st.floats(allow_nan=False), st.sampled_from([0.5, 1.0, 2461072.9, 1e15, -0.0]))


@dataclass(frozen=True)
class BadText:
    """Bytes that are stored as text, whatever they are."""

    raw: bytes


VALUE = st.one_of(
    st.none(), INTEGER, REAL, TEXT, HARD_TEXT, st.binary(max_size=12),
    st.binary(max_size=6).map(BadText),
)  # fmt: skip
EXPRESSIONS = st.sampled_from(
    [
    "1", "0", "-1", "null", "'x'", "x'00ff'", "current_timestamp", "(1 + 1)", "(length({c}))",
    "{c}", "{c} + 1", "{c} || 'x'", "lower({c})", "abs({c})", "{c} is null", "{c} > 0",
    "{c} <> ''", "{c} in (1, 2, 'x')", "length({c}) < 5", "typeof({c})", "coalesce({c}, 0)",
    "{c} like 'a%'", "{c} glob '*'", "substr({c}, 1, 2)", "{c} / 2", "{c} % 3",
    "cast({c} as integer)", "date({c})", "json_extract({c}, '$.a')", "random()",
    "printf('%d', {c})", "case {c} when 1 then 2 end", "{c} between 0 and 9", "not {c}",
    "{c} collate nocase", "{c} = {d}", "{c} and {d}", "max({c}, {d})",
]
)  # fmt: skip
ACTIONS = st.sampled_from(["", " on delete cascade", " on update set null on delete set default"])


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True)
class DrawnTable:
    name: str
    columns: tuple[str, ...]


@st.composite
def expression(draw: st.DrawFn, columns: tuple[str, ...]) -> str:
    one, other = (quoted(draw(st.sampled_from(columns))) for _ in range(2))
    return draw(EXPRESSIONS).replace("{c}", one).replace("{d}", other)


@st.composite
def column(draw: st.DrawFn, name: str, columns: tuple[str, ...], *, strict: bool) -> str:
    text = f"{quoted(name)} {draw(STRICT if strict else DECLARED)}"
    extra = draw(st.integers(0, 19))
    made = draw(expression(columns))
    if extra == 0:
        text += " not null"
    elif extra == 1:
        text += " unique"
    elif extra == 2:
        text += f" default ({made})" if draw(st.booleans()) else f" default {made}"
    elif extra == 3:
        text += f" check ({made})"
    elif extra == 4:
        text += f" generated always as ({made}) {draw(st.sampled_from(['virtual', 'stored']))}"
    elif extra == 5:
        text += f" collate {draw(st.sampled_from(['nocase', 'rtrim', 'binary']))}"
    return text


@st.composite
def table(draw: st.DrawFn, earlier: list[DrawnTable]) -> tuple[DrawnTable, str]:
    name = draw(NAME)
    drawn = draw(st.lists(NAME, min_size=1, max_size=4, unique_by=lambda text: text.lower()))
    columns = tuple(drawn)
    strict = draw(st.integers(0, 5)) == 0
    parts = [draw(column(one, columns, strict=strict)) for one in columns]
    options = ["strict"] if strict else []
    key = draw(st.sampled_from(["none", "none", "rowid", "auto", "text", "one", "two", "without"]))
    if key in ("rowid", "auto"):
        auto = " autoincrement" if key == "auto" else ""
        parts[0] = f"{quoted(columns[0])} integer primary key{auto}"
    elif key == "text":
        parts[0] = f"{quoted(columns[0])} text primary key"
    elif key != "none":
        chosen = columns[:1] if key == "one" else columns[:2][::-1]
        parts.append(f"primary key ({', '.join(map(quoted, chosen))})")
    if key == "without":
        options.append("without rowid")
    if earlier and draw(st.integers(0, 2)) == 0:
        parent = draw(st.sampled_from([*earlier, DrawnTable(name, columns)]))
        to = draw(st.sampled_from(parent.columns))
        named = f" ({quoted(to)})" if draw(st.booleans()) else ""
        ours = quoted(draw(st.sampled_from(columns)))
        parts.append(f"foreign key ({ours}) references {quoted(parent.name)}{named}{draw(ACTIONS)}")
    if draw(st.integers(0, 6)) == 0:
        parts.append(f"check ({draw(expression(columns))})")
    text = f"create table {quoted(name)} ({', '.join(parts)}) {', '.join(options)}"
    return DrawnTable(name, columns), text


@st.composite
def further(draw: st.DrawFn, of: DrawnTable) -> Statement:
    """An index, a view or a trigger."""
    name, relation = quoted(draw(NAME)), quoted(of.name)
    made, condition = draw(expression(of.columns)), draw(expression(of.columns))
    one = quoted(draw(st.sampled_from(of.columns)))
    unique = draw(st.sampled_from(["", "unique "]))
    text = draw(
        st.sampled_from(
            [
                f"create {unique}index {name} on {relation} ({one})",
                f"create {unique}index {name} on {relation} ({one} desc) where {condition}",
                f"create {unique}index {name} on {relation} ({made})",
                f"create {unique}index {name} on {relation} ({one} collate nocase, {made})",
                f"create view {name} as select {made} as x, * from {relation} where {condition}",
                f"create view {name} as select count(*), {one} from {relation} group by {made}",
                f"create trigger {name} after insert on {relation} begin select 1; end",
            ]
        )
    )
    return text, ()


@st.composite
def rows(draw: st.DrawFn, of: DrawnTable) -> list[Statement]:
    shape = st.tuples(*(VALUE for _ in of.columns))
    found: list[Statement] = []
    for drawn in draw(st.lists(shape, max_size=8)):
        marks = ["cast(? as text)" if isinstance(v, BadText) else "?" for v in drawn]
        values = tuple(v.raw if isinstance(v, BadText) else v for v in drawn)
        into = f"insert or ignore into {quoted(of.name)}"
        names = ", ".join(map(quoted, of.columns))
        found.append((f"{into} ({names}) values ({', '.join(marks)})", values))
    if draw(st.integers(0, 5)) == 0:
        found.append((f"insert or ignore into {quoted(of.name)} default values", ()))
    if draw(st.integers(0, 5)) == 0:
        found.append((f"delete from {quoted(of.name)} where rowid = 1", ()))
    return found


@st.composite
def database(draw: st.DrawFn) -> list[Statement]:
    """Statements that make a database; those that SQLite refuses are no part of it."""
    encoding = draw(st.sampled_from(["UTF-8", "UTF-8", "UTF-8", "UTF-16le", "UTF-16be"]))
    found: list[Statement] = [(f"pragma encoding = '{encoding}'", ())]
    tables: list[DrawnTable] = []
    for _ in range(draw(st.integers(1, 5))):
        made, text = draw(table(tables))
        tables.append(made)
        found.append((text, ()))
        found += draw(st.lists(further(made), max_size=3))
        found += draw(rows(made))
    return found


def write(path: Path, statements: list[Statement]) -> dict[str, list[tuple[object, ...]]]:
    """Make the file; its tables with their rows, read by SQLite alone, text as its bytes."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # Not off: what fails half-way must be undone, or SQLite itself cannot read the file.
        connection.execute("pragma journal_mode = memory")
        connection.execute("pragma ignore_check_constraints = on")
        connection.execute("pragma user_version = 1")
        connection.execute("begin")
        for text, values in statements:
            # SQLite decides what is a database; what it refuses is none.
            with suppress(sqlite3.Error):
                connection.execute(text, values)
            _drop_unreadable(connection)
        if connection.in_transaction:
            connection.execute("commit")
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        names = [
            name
            for (name,) in connection.execute(
                "select name from sqlite_master where type = 'table'"
                " and name not like 'sqlite\\_%' escape '\\'"
            )
        ]
        return {
            name: connection.execute(f"select * from {quoted(name)}").fetchall() for name in names
        }


def _drop_unreadable(connection: sqlite3.Connection) -> None:
    """Generated columns that rest on each other make a table that nobody can read."""
    names = connection.execute("select name from sqlite_master where type = 'table'").fetchall()
    for (name,) in names:
        try:
            connection.execute(f"select * from {quoted(name)} limit 0").fetchall()
        except sqlite3.Error:
            connection.execute(f"drop table {quoted(name)}")
