"""The fast way for plain values and each row's own way give the same text and the same digest."""

import contextlib
import itertools
import json
import sqlite3
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migration.batches import Batch
from migration.canonical import line_digest, row_digest
from migration.convert import text_of
from migration.digest import source_digest
from migration.load.copy_text import copy_blocks
from migration.load.rendering import render, rendering_of
from migration.plain import NotPlainError, PlainTable
from migration.plan import ColumnPlan, Plan, TablePlan
from migration.policies import ColumnPolicy, InvalidJson, NulText, OverLong
from migration.rows import RefusedRow, RowConverter
from migration.schema import Column, Table
from migration.source import Value
from tests.engines import Quiet

TYPES = (
    "smallint", "integer", "bigint", "double precision", "numeric", "boolean", "date", "uuid",
    "timestamp without time zone", "timestamp with time zone", "jsonb", "bytea", "text",
)  # fmt: skip
PLAIN: dict[str, Value] = {
    "bigint": 7,
    "double precision": -0.0,
    "numeric": 1e22,
    "boolean": 1,
    "date": "2026-02-28",
    "uuid": "0b3f8a52-7f1e-4c7e-9d0a-2f1f5f1f5f1f",
    "timestamp without time zone": "2026-02-28T10:00:00.500",
    "timestamp with time zone": "2026-02-28 10:00:00Z",
    "jsonb": '{"bb": 1.50, "a": 2}',
    "bytea": b"\0\xff",
    "text": "tab\t, new\nline, \\N, їжак",
}
TIMES = st.one_of(
    st.datetimes().map(lambda moment: moment.isoformat(" ")),
    st.datetimes().map(lambda moment: moment.isoformat("T") + "Z"),
    st.datetimes().map(lambda moment: moment.isoformat(" ") + "+00:00"),
    st.from_regex(
        r"\A[0-9]{4}-[01][0-9]-[0-3][0-9][ T][0-2][0-9]:[0-6][0-9]:[0-6][0-9]"
        r"(\.[0-9]{1,7})?(Z|[+]0[0-9]:00)?\Z"
    ),
    st.sampled_from(["2024-02-29 00:00:00", "2023-02-29 00:00:00", "0000-01-01 00:00:00", "now"]),
)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([0, 1]),
    st.floats(allow_nan=False),
    st.text(),
    st.text("a\\\n\t\r'é\0\x1f;"),
    st.binary(),
    TIMES,
    st.dates().map(str),
    st.uuids().map(str),
    DOCUMENTS.map(json.dumps),
)
POLICIES = st.sampled_from(
    [
        ColumnPolicy(),
        ColumnPolicy(nul=NulText.STRIP),
        ColumnPolicy(invalid_json=InvalidJson.STRING),
        ColumnPolicy(over_long=OverLong.TRUNCATE),
    ]
)


def table(pg_type: str, *, not_null: bool = False, policy: ColumnPolicy | None = None) -> TablePlan:
    column = ColumnPlan(
        source="c",
        target="c",
        declared="",
        pg_type=pg_type,
        not_null=not_null,
        why="",
        added=False,
        policy=policy or ColumnPolicy(),
        length=3,
    )
    source = Table(
        name="t",
        columns=(),
        primary_key=(),
        rowid_alias=None,
        without_rowid=False,
        virtual=False,
    )
    return TablePlan(table=source, target="t", known=False, rows=0, columns=(column,))


@settings(max_examples=3000, deadline=None)
@given(st.sampled_from(TYPES), st.booleans(), POLICIES, st.lists(VALUES, min_size=1, max_size=4))
def test_plain_is_what_the_row_s_own_conversion_gives(
    pg_type: str, not_null: bool, policy: ColumnPolicy, values: list[Value]
) -> None:
    plan = table(pg_type, not_null=not_null, policy=policy)
    batch = Batch(0, [(value,) for value in values], 1, (), is_unicode=False)
    try:
        sent = PlainTable(plan).sent(batch)[0]
        lines = PlainTable(plan).lines(batch)
    except NotPlainError:
        return
    for number, text in enumerate(sent):
        converted = RowConverter(plan).convert(batch.row(number))
        assert not isinstance(converted, RefusedRow), converted.reason
        assert line_digest(lines[number]) == row_digest(plan.columns, converted)
        if pg_type == "double precision" and text is not None:
            # An exponent may be written in two ways.
            assert repr(float(text)) == repr(converted[0])
        # A time is sent as it stands, and in ISO 8601 where it was converted.
        elif not pg_type.startswith("timestamp"):
            assert text == text_of(converted[0])


def test_plain_values_are_taken() -> None:
    """Else everything would go the slow way, and the test above would say nothing."""
    for pg_type, value in PLAIN.items():
        batch = Batch(0, [(value,), (None,)], 1, (), is_unicode=False)
        assert len(PlainTable(table(pg_type)).lines(batch)) == 2, pg_type


def test_no_text_looks_like_two_others_or_like_null() -> None:
    """The line of a row is told from that of every other one, whatever its texts hold."""
    plan = table("text")
    texts = [None, "", "0", ";", *map("".join, itertools.product("\x1f;0", repeat=2)), "\x1f"]
    rows = list(itertools.product(texts, repeat=2))
    columns = plan.columns * 2
    assert len({row_digest(columns, row) for row in rows}) == len(rows)


@pytest.mark.parametrize("pg_type", ["bytea", "text", "bigint"])
@pytest.mark.parametrize("way", ["digest", "copy", "render"])
def test_long_values_are_read_a_few_at_a_time(tmp_path: Path, pg_type: str, way: str) -> None:
    """Whatever becomes of them: digested, sent, cut into pieces, refused (as numbers)."""
    path = tmp_path / "source.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("create table t (c)")
        value = "hex(zeroblob(250000))" if pg_type == "text" else "zeroblob(500000)"
        many = "with recursive n (i) as (select 1 union all select i + 1 from n where i < 60)"
        connection.execute(f"insert into t {many} select {value} from n")
        connection.commit()
    source = Table(
        name="t",
        columns=(Column.model_construct(name="c"),),
        primary_key=(),
        rowid_alias=None,
        without_rowid=False,
        virtual=False,
    )
    plan = table(pg_type).model_copy(update={"table": source})
    kept: list[RefusedRow] = []
    tracemalloc.start()
    if way == "digest":
        source_digest(path, plan)
    elif way == "copy":
        for _ in copy_blocks(path, RowConverter(plan), kept):
            pass
    else:
        whole = Plan(tables=(plan,), not_carried=(), problems=())
        rendering = rendering_of(whole, "x")
        for _ in render(path, rendering, tmp_path, Quiet()):
            pass
        kept = rendering.tables["t"].refused
    # Refused rows are kept on purpose.
    peak = tracemalloc.get_traced_memory()[1] - 500_000 * len(kept)
    tracemalloc.stop()
    assert peak < 8_000_000
