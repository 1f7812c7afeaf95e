"""What a text looks like is said alike by both SQLites and by Python, for texts that almost do."""

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date, datetime
from uuid import UUID

import apsw
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from migration.forms import Form, form_of_text

_EXAMPLES = (
    *("2026-01-31", "2026-01-31 23:59:59", "2026-01-31T23:59:59", "2026-01-31 23:59:59.999999"),
    *("2024-02-29 00:00:00.5", "2026-01-31 23:59:59Z", "2026-01-31T23:59:59.25+00:00"),
    *("2026-01-31T23:59:59.123456Z", "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"),
    *('{"a": 1}', "[1]", "t", "f", "550e8400-e29b-41d4-a716-446655440000"),
)
_CHARACTERS = st.sampled_from("0123456789-:. TZ+abef{}[]x\u0663")
_PATTERNS = {
    Form.DATE: r"\d{4}-\d\d-\d\d",
    Form.TIMESTAMP: r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?",
    Form.TIMESTAMP_T: r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?",
    Form.TIMESTAMP_UTC: r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|\+00:00)",
    Form.BOOLEAN: "[tf]",
    Form.UUID: r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    Form.JSON: r"[{[].*",
}


@st.composite
def _almost(draw: st.DrawFn) -> str:
    """A text that has a form, of which a few characters may be others, gone or doubled."""
    characters = list(draw(st.sampled_from(_EXAMPLES)))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(characters)))
        kept = draw(st.integers(0, 2))
        characters[place : place + kept] = draw(st.lists(_CHARACTERS, max_size=2))
    return "".join(characters)


@given(texts=st.lists(_almost(), min_size=20, max_size=60))
@example(texts=["2026-01-31 24:00:00", "2026-02-29 00:00:00", "2024-02-29 00:00:00", "2026-02-29"])
@example(texts=["0000-01-01", "0000-01-01 00:00:00", "2026-13-01 00:00:00", "2026-00-01 00:00:00"])
@example(texts=["2026-01-00 00:00:00", "2026-01-32 00:00:00", "2026-01-01 00:60:00"])
@example(texts=["2026-01-01 00:00:60", "2026-01-01    00:00", "2026-01-01 00:00:00.", "-026-01-01"])
@example(
    texts=["2026-01-01 00:00:00.1234567", "2026-01-01 00:00:00  Z", "2026-01-01 00:00:00 +00:00"]
)
@example(texts=["2026-01-01 00:00:00+01:00", "2026-01-01 00:00:00.12-00:00", "2026-01-01 00:00:0a"])
@settings(max_examples=300, deadline=None)
@pytest.mark.parametrize("connect", [sqlite3.connect, apsw.Connection])
def test_forms_are_what_python_sees(
    connect: Callable[[str], sqlite3.Connection], texts: list[str]
) -> None:
    with closing(connect(":memory:")) as connection:
        connection.execute("create table t (v datetime, w text)")
        connection.executemany("insert into t values (?1, ?1)", [(text,) for text in texts])
        for column in ("v", "w"):
            found = connection.execute(f"select {column}, {form_of_text(column)} from t").fetchall()
            for value, form in found:
                assert (form or None) == _form(value), value


def _form(value: str | float) -> Form | None:
    if not isinstance(value, str):
        return None
    matching = [form for form in _PATTERNS if _matches(value, form)]
    assert len(matching) <= 1
    return matching[0] if matching else None


def _matches(text: str, form: Form) -> bool:
    if not re.fullmatch(_PATTERNS[form], text, re.ASCII | re.DOTALL):
        return False
    try:
        if form is Form.DATE:
            date.fromisoformat(text)
        elif form in (Form.TIMESTAMP, Form.TIMESTAMP_T, Form.TIMESTAMP_UTC):
            datetime.fromisoformat(text[:19])
        elif form is Form.JSON:
            json.loads(text)
        elif form is Form.UUID:
            UUID(text)
    except ValueError:
        return False
    return True
