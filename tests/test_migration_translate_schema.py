"""What CREATE TABLE, DEFAULT and CREATE INDEX say is read whole, and means the same."""

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from database.connect import connect
from database.settings import Server
from migration.translate import (
    Check,
    IndexPart,
    UntranslatableError,
    default,
    expression,
    index_part,
    read_definition,
    read_index,
)
from tests.both_engines import SCOPE, BothEngines, both_engines
from tests.conftest import fresh_database


@pytest.fixture(scope="module")
def both(cluster: Server) -> Iterator[BothEngines]:
    with both_engines(cluster) as engines:
        yield engines


@pytest.fixture(scope="module")
def target(cluster: Server) -> Iterator[psycopg.Connection[Any]]:
    with (
        fresh_database(cluster) as database,
        connect(database, "migrator", autocommit=True) as connection,
    ):
        connection.execute("set role atlas_owner")
        connection.execute("set timezone to 'Asia/Kolkata'")
        yield connection


DEFINITION = """
CREATE TABLE IF NOT EXISTS main.[odd "table"] ( -- a comment with CHECK (no)
  "id" INTEGER CONSTRAINT pk PRIMARY KEY ON CONFLICT REPLACE AUTOINCREMENT,
  `a ( b` text COLLATE "nocase" DEFAULT 'CHECK (x)' CONSTRAINT "is it" CHECK (`a ( b` <> ')'),
  [check] unsigned big int NOT NULL ON CONFLICT IGNORE DEFAULT (abs(-1)) CHECK ([check] >= 0 /*)*/),
  'plain' varchar(10, 2) CONSTRAINT nothing,
  untyped,
  Twice INT GENERATED ALWAYS AS (untyped * 2) VIRTUAL
    CONSTRAINT positive NOT NULL CHECK (Twice > 0),
  sum_ AS (untyped + (1)) STORED COLLATE RTRIM,
  parent REFERENCES other(id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
  eager REFERENCES other NOT DEFERRABLE INITIALLY DEFERRED,
  later REFERENCES other DEFERRABLE INITIALLY IMMEDIATE,
  CONSTRAINT c1 CHECK (id > 0) CONSTRAINT c2 CHECK (id < 9),
  CHECK (untyped IN ('a,b', "c)")),
  CONSTRAINT fk FOREIGN KEY (untyped, [check]) REFERENCES p(x, y)
    ON UPDATE CASCADE MATCH FULL DEFERRABLE INITIALLY DEFERRED,
  UNIQUE (id, untyped) ON CONFLICT ROLLBACK
) STRICT
"""


def test_a_definition_is_read_whole() -> None:
    definition = read_definition(DEFINITION)
    assert definition.checks == (
        Check("is it", "`a ( b` <> ')'"),
        Check(None, "[check] >= 0"),
        Check(None, "Twice > 0"),
        Check("c1", "id > 0"),
        Check("c2", "id < 9"),
        Check(None, "untyped IN ('a,b', \"c)\")"),
    )
    assert definition.generated == {"Twice": "untyped * 2", "sum_": "untyped + (1)"}
    assert definition.collations == {"a ( b": "NOCASE", "sum_": "RTRIM"}
    assert definition.deferred == {("parent",), ("untyped", "check")}
    assert definition.not_understood == ()


def test_what_is_not_understood_is_said() -> None:
    for text in ("", "CREATE TABLE t", "CREATE TABLE t (a, b", "CREATE INDEX i ON t(a)"):
        assert read_definition(text).not_understood
    assert read_definition("CREATE TABLE t (a, CHECK (), (x))").not_understood == (
        "CHECK ()",
        "(x)",
    )
    assert read_definition("CREATE VIRTUAL TABLE t USING fts5(a, CHECK (b))").checks == ()


@given(st.text(alphabet="CREATE TABLE(),'\"`[]-*/ \ncheck as xs0.|", max_size=60))
def test_a_definition_never_raises(text: str) -> None:
    read_definition("CREATE TABLE " + text)


DEFAULTS = [
    ("'text'", "text", "text"),
    ('"text"', "text", "text"),
    ("'it''s'", "text", "it's"),
    ("word", "text", "word"),
    ("''", "text", ""),
    ("(5)", "text", "5"),
    ("1.5", "text", "1.5"),
    ("0", "bigint", 0),
    ("-1", "bigint", -1),
    ("+7", "bigint", 7),
    ("0x7F", "bigint", 127),
    ("-9223372036854775808", "bigint", -(2**63)),
    ("'12'", "bigint", 12),
    ("2.0", "bigint", 2),
    ("1 + 2 * 3", "bigint", 7),
    ("TRUE", "bigint", 1),
    ("0", "boolean", False),
    ("1", "boolean", True),
    ("false", "boolean", False),
    ("'true'", "boolean", True),
    ("1.5", "double precision", 1.5),
    ("-3", "double precision", -3.0),
    ("1e3", "numeric", 1000),
    ("x'00ff'", "bytea", b"\x00\xff"),
    ("'ї'", "bytea", "ї".encode()),
    ("'{}'", "jsonb", {}),
    ("json_array()", "jsonb", []),
    ("json_object()", "text", "{}"),
    ("json('[1]')", "jsonb", [1]),
    ("'a' || 'b'", "text", "ab"),
]


@pytest.mark.parametrize(("text", "pg_type", "value"), DEFAULTS)
def test_a_default_gives_its_value(
    target: psycopg.Connection[Any], text: str, pg_type: str, value: object
) -> None:
    assert inserted(target, text, pg_type) == value


def inserted(target: psycopg.Connection[Any], text: str, pg_type: str) -> Any:
    """What a row gets that is inserted without a value."""
    translated = default(text, pg_type)
    with target.transaction(force_rollback=True):
        target.execute(f"create table public.d (v {pg_type} default {translated}, w int)".encode())
        row = target.execute("insert into public.d (w) values (1) returning v").fetchone()
    assert row is not None
    return row[0]


SHAPES = [
    ("CURRENT_TIMESTAMP", "text", "^2[0-9]{3}-[01][0-9]-[0-3][0-9] [0-9:]{8}$"),
    ("CURRENT_DATE", "text", "^2[0-9]{3}-[01][0-9]-[0-3][0-9]$"),
    ("CURRENT_TIME", "text", "^[0-9]{2}:[0-9]{2}:[0-9]{2}$"),
    ("(datetime('now'))", "text", "^2[0-9]{3}-[01][0-9]-[0-3][0-9] [0-9:]{8}$"),
    ("(date('now'))", "text", "^2[0-9]{3}-[01][0-9]-[0-3][0-9]$"),
    ("(strftime('%Y-%m-%dT%H:%M:%fZ','now'))", "text", "^2[-0-9]{9}T[0-9:]{8}[.][0-9]{3}Z$"),
    ("(strftime('%s','now'))", "text", "^[0-9]{10}$"),
    ("(lower(hex(randomblob(16))))", "text", "^[0-9a-f]{32}$"),
    ("'r'||lower(hex(randomblob(7)))", "text", "^r[0-9a-f]{14}$"),
    (
        "lower(hex(randomblob(4))) || '-4' || substr('89ab', abs(random()) % 4 + 1, 1)",
        "text",
        "^[0-9a-f]{8}-4[89ab]$",
    ),
]


@pytest.mark.parametrize(("text", "pg_type", "shape"), SHAPES)
def test_a_computed_default_looks_as_in_sqlite(
    target: psycopg.Connection[Any], text: str, pg_type: str, shape: str
) -> None:
    value = inserted(target, text, pg_type)
    with contextlib.closing(sqlite3.connect(":memory:")) as source:
        original = source.execute(f"select cast(({text}) as text)").fetchone()[0]
    for one in (value, original):
        row = target.execute("select %s ~ %s", [one, shape]).fetchone()
        assert row == (True,), (one, shape)


@pytest.mark.parametrize(
    ("text", "pg_type"),
    [
        ("CURRENT_TIMESTAMP", "timestamp without time zone"),
        ("CURRENT_TIMESTAMP", "timestamp with time zone"),
        ("(datetime('now'))", "timestamp without time zone"),
        ("(strftime('%Y-%m-%dT%H:%M:%fZ','now'))", "timestamp with time zone"),
        ("(unixepoch())", "timestamp with time zone"),
        ("(strftime('%s','now'))", "bigint"),
        ("(unixepoch())", "bigint"),
        ("(cast(strftime('%s', 'now') as int))", "bigint"),
    ],
)
def test_now_is_now_in_utc(target: psycopg.Connection[Any], text: str, pg_type: str) -> None:
    utc = {"bigint": "to_timestamp({})", "timestamp without time zone": "timezone('UTC', {})"}
    moment = utc.get(pg_type, "{}").format(default(text, pg_type))
    row = target.execute(
        f"select abs(extract(epoch from {moment} - now())) < 2".encode()
    ).fetchone()
    assert row == (True,)


def test_today_in_a_timestamp_is_midnight(target: psycopg.Connection[Any]) -> None:
    value = inserted(target, "CURRENT_DATE", "timestamp without time zone")
    assert (value.hour, value.minute, value.second) == (0, 0, 0)


def test_random_takes_64_bits(target: psycopg.Connection[Any]) -> None:
    sql = f"select {default('(random())', 'bigint')} from generate_series(1, 200)"
    values = {row[0] for row in target.execute(sql.encode())}
    assert len(values) == 200
    assert min(values) < -(2**61) < 2**61 < max(values)


def test_null_and_nothing_are_no_default() -> None:
    assert [default(text, "text") for text in (None, "NULL", "(null)", "", "()")] == [None] * 5


@pytest.mark.parametrize(
    ("text", "pg_type"),
    [
        ("''", "bigint"),
        ("''", "boolean"),
        ("''", "timestamp without time zone"),
        ("''", "jsonb"),
        ("''", "uuid"),
        ("'x'", "double precision"),
        ("'NaN'", "jsonb"),
        ("1.5", "bigint"),
        ("1e300", "text"),
        ("2", "boolean"),
        ("9223372036854775808", "bigint"),
        ("0", "timestamp without time zone"),
        ("'0000-00-00 00:00:00'", "timestamp without time zone"),
        ("'2024-01-01 10:00'", "date"),
        ("CURRENT_TIMESTAMP", "date"),
        ("CURRENT_TIMESTAMP", "bigint"),
        ("x'00'", "text"),
        ("(datetime('now','localtime'))", "text"),
        ("(randomblob(100))", "bytea"),
        ("(my_function())", "text"),
        ("(1", "bigint"),
    ],
)
def test_a_default_that_the_type_refuses_is_refused(text: str, pg_type: str) -> None:
    with pytest.raises(UntranslatableError):
        default(text, pg_type)


def test_an_index_is_read() -> None:
    definition = read_index(
        'CREATE UNIQUE INDEX IF NOT EXISTS main."on (x)" ON [t (y)]('
        '"a b" COLLATE nocase DESC, lower(n) ASC, a || \',\' || b, x COLLATE "RTRIM") '
        "WHERE n > 0 AND s = ')' -- end"
    )
    assert definition.parts == (
        IndexPart('"a b"', "NOCASE", True),
        IndexPart("lower(n)", None, False),
        IndexPart("a || ',' || b", None, False),
        IndexPart("x", "RTRIM", False),
    )
    assert definition.where == "n > 0 AND s = ')'"
    assert read_index("create index i on t(a)").where is None
    for text in ("", "create index i", "create index i on t(a", "create index i on t()"):
        with pytest.raises(UntranslatableError):
            read_index(text)


@pytest.mark.parametrize(
    ("text", "collation", "descending", "wanted"),
    [
        ("n", None, False, '"N"'),
        ("n", "BINARY", True, '"N" DESC'),
        ("[full name]", "NOCASE", False, '(lower("повне ""ім\'я"" 🧪" COLLATE "C"))'),
        ("nc", None, False, '(lower("nc" COLLATE "C"))'),
        ("nc", "BINARY", False, '"nc"'),
        ("s", "RTRIM", True, "(rtrim(\"s\", ' ')) DESC"),
        ("n + 1", "BINARY", False, '("N" + 1)'),
        ("lower(s)", "BINARY", False, '(lower("s" COLLATE "C"))'),
        ("date(at)", None, False, '(("at")::date)'),
        ("n > 0", None, False, '("N" > 0)'),
    ],
)
def test_an_index_key_is_one_that_postgresql_takes(
    both: BothEngines, text: str, collation: str | None, descending: bool, wanted: str
) -> None:
    key = index_part(text, SCOPE, collation, descending=descending)
    assert key == wanted
    with both.target.transaction(force_rollback=True):
        both.target.execute(f'create index on public."T" ({key})'.encode())


def test_a_json_path_and_a_partial_index_are_taken(both: BothEngines) -> None:
    key = index_part("json_extract(doc, '$.a.b')", SCOPE)
    where = expression("flag = 0 and nc <> ''", SCOPE, "boolean")
    with both.target.transaction(force_rollback=True):
        both.target.execute(f'create index on public."T" ({key}) where {where}'.encode())


@pytest.mark.parametrize("text", ["5", "'x'", "null", "random()", "s collate other", "missing"])
def test_an_index_key_without_a_meaning_is_refused(text: str) -> None:
    with pytest.raises(UntranslatableError):
        index_part(text, SCOPE)


# Random trees, without brackets of courtesy: precedence is part of what is compared.
INTEGERS = st.recursive(
    st.sampled_from(["n % 1000", "m", "flag", "length(s)", "0", "1", "-3", "7", "null"]),
    lambda inner: st.one_of(
        st.builds("{} {} {}".format, inner, st.sampled_from("+-/%"), inner),
        st.builds("({}) {} {}".format, inner, st.sampled_from(["+", "-", "/", "&", "|"]), inner),
        st.builds("coalesce({}, {})".format, inner, inner),
        st.builds("max({}, {})".format, inner, inner),
        st.builds("nullif({}, {})".format, inner, inner),
        st.builds("abs({})".format, inner),
        st.builds("case when {} then {} else {} end".format, inner, inner, inner),
        st.builds("- {}".format, inner),
    ),
    max_leaves=6,
)
TEXTS = st.recursive(
    st.sampled_from(["s", '"full name"', "'a'", "'Ада'", "''", '"no column"', "null", "n || ''"]),
    lambda inner: st.one_of(
        st.builds("{} || {}".format, inner, inner),
        st.builds("substr({}, {}, {})".format, inner, st.integers(-5, 5), st.integers(0, 5)),
        st.builds("lower({})".format, inner),
        st.builds("upper({})".format, inner),
        st.builds("trim({}, {})".format, inner, inner),
        st.builds("replace({}, {}, {})".format, inner, inner, inner),
        st.builds("ifnull({}, {})".format, inner, inner),
        st.builds("min({}, {})".format, inner, inner),
        st.builds("hex({})".format, inner),
    ),
    max_leaves=5,
)
COMPARING = st.sampled_from(["=", "<>", "<", "<=", ">", ">=", "is", "is not", "==", "!="])
CONDITIONS = st.recursive(
    st.one_of(
        st.builds("{} {} {}".format, INTEGERS, COMPARING, INTEGERS),
        st.builds("{} {} {}".format, TEXTS, COMPARING, TEXTS),
        st.builds("{} collate nocase {} {}".format, TEXTS, COMPARING, TEXTS),
        st.builds("{} in ({}, {})".format, INTEGERS, INTEGERS, INTEGERS),
        st.builds("{} not in ({}, {})".format, TEXTS, TEXTS, TEXTS),
        st.builds("{} between {} and {}".format, INTEGERS, INTEGERS, INTEGERS),
        st.builds("nc {} {}".format, COMPARING, TEXTS),
        st.builds("{} like {}".format, TEXTS, st.sampled_from(["'a%'", "'%Д_'", "'_'", "'%%'"])),
        st.builds("{} glob {}".format, TEXTS, st.sampled_from(["'*a*'", "'[A-Z]?*'", "'*[^a]'"])),
        st.builds("{} is null".format, TEXTS),
        st.just("flag"),
        st.just("n"),
    ),
    lambda inner: st.one_of(
        st.builds("{} and {}".format, inner, inner),
        st.builds("{} or {}".format, inner, inner),
        st.builds("not {}".format, inner),
        st.builds("({}) is not {}".format, inner, st.sampled_from(["true", "false", "null"])),
    ),
    max_leaves=5,
)
many = settings(max_examples=300, deadline=None)


def agrees(both: BothEngines, text: str, *, condition: bool) -> None:
    try:
        (both.check_condition if condition else both.check)(text)
    except UntranslatableError:
        pass  # said, not guessed: nothing to compare
    except psycopg.errors.NumericValueOutOfRange:
        pass  # PostgreSQL refuses where SQLite goes over to reals


@many
@given(text=INTEGERS)
def test_random_arithmetic_agrees(both: BothEngines, text: str) -> None:
    agrees(both, text, condition=False)


@many
@given(text=TEXTS)
def test_random_texts_agree(both: BothEngines, text: str) -> None:
    agrees(both, text, condition=False)


@many
@given(text=CONDITIONS)
def test_random_conditions_agree(both: BothEngines, text: str) -> None:
    agrees(both, text, condition=True)


def test_most_random_conditions_are_translated() -> None:
    """The property above is about translations, not about refusals."""
    outcomes: list[bool] = []

    @settings(max_examples=300, deadline=None, database=None, derandomize=True)
    @given(text=CONDITIONS)
    def collect(text: str) -> None:
        try:
            expression(text, SCOPE, "boolean")
        except UntranslatableError:
            outcomes.append(False)
        else:
            outcomes.append(True)

    collect()
    assert sum(outcomes) > len(outcomes) * 0.8
