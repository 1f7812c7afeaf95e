"""A guessed and proved column decides as counting everything does, whatever it holds."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from migration.facts import ColumnProfile
from migration.profile import profile_source
from migration.types import choose_type

_AFFINITIES = ("", "INTEGER", "REAL", "TEXT", "NUMERIC", "BLOB", "DATETIME", "TEXT COLLATE NOCASE")
_TIMES = (
    *("2026-01-31 23:59:59", "2026-01-31T23:59:59", "2026-01-31 23:59:59.999999"),
    *("2026-02-30 00:00:00", "2026-01-31 24:00:00", "0000-01-01 00:00:00", "0001-01-01 00:00:00"),
    *("2026-01-31 23:59:59.", "2026-01-31 23:59:59.1234567", "2026-01-31 23:59:59.12x"),
    *("2026-01-31 23:59", "2026-01-31 23:59:59Z", "2026-01-31T23:59:59.5+00:00"),
    *("2026-01-31 23:59:59\0tail", "2026-01-31 23:59:59 ", "2024-02-29 12:00:00", "-4712-01-01"),
)
_TEXTS = (
    *("", "t", "f", "T", "now", "word", "nul \0 inside", "ключ", "2026-01-31", "2026-02-31"),
    *("{}", "[1]", "{", '{"a": 1}', "550e8400-e29b-41d4-a716-446655440000"),
    *("550E8400-E29B-41D4-A716-446655440000", "12", "1.5", "2026"),
)
_OF_A_KIND = (
    st.just(None),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.sampled_from(_TIMES[:3:2]),
    st.sampled_from(_TIMES),
    st.sampled_from(_TEXTS),
    st.text(max_size=30).filter(lambda text: text.isprintable()),
    st.binary(max_size=10),
)
#: Many values of one kind, and a few that prove the guess wrong.
_VALUES = st.sampled_from(_OF_A_KIND).flatmap(
    lambda kind: st.tuples(
        st.lists(kind, max_size=8),
        st.integers(0, 120),
        st.lists(st.one_of(*_OF_A_KIND), max_size=3),
    )
)


#: Of another column, which decides with the first where a foreign key joins them.
_REALS: tuple[list[object], int, list[object]] = ([2.5], 1, [])
#: Words that a type is chosen by.
_DECLARED = (
    *("", "BOOLEAN", "DATETIME", "DATE", "JSON"),
    *("UUID", "DECIMAL", "TEXT", "BLOB", "INTEGER"),
)


@given(affinity=st.sampled_from(_AFFINITIES), parts=_VALUES, others=_VALUES)
@example(
    affinity="DATETIME",
    parts=(["2026-01-31 23:59:59"], 120, ["2026-02-30 00:00:00"]),
    others=_REALS,
)
@example(
    affinity="DATETIME",
    parts=(["2026-01-31T23:59:59"], 120, ["2026-01-31 23:59:59"]),
    others=_REALS,
)
@example(affinity="TEXT", parts=(["word"], 120, ["{}"]), others=_REALS)
@example(affinity="TEXT", parts=(["{}"], 120, ["word"]), others=_REALS)
@example(affinity="", parts=([1], 120, [2.5]), others=_REALS)
@example(affinity="", parts=([1], 120, [2]), others=_REALS)
@example(affinity="", parts=([None], 120, ["t"]), others=_REALS)
@example(affinity="", parts=([b"text"], 120, [b"\0"]), others=_REALS)
@settings(max_examples=150, deadline=None)
def test_a_proved_guess_decides_as_everything_does(
    affinity: str,
    parts: tuple[list[object], int, list[object]],
    others: tuple[list[object], int, list[object]],
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "values.db"
        _write(path, affinity, zip_longest(_values(*parts), _values(*others)))
        guessed, counted = (_decided(path, everything=everything) for everything in (False, True))
    assert guessed == counted


@pytest.mark.parametrize("key", ["integer primary key", "integer primary key desc", "integer"])
def test_a_key_that_is_the_rowid_is_known(tmp_path: Path, key: str) -> None:
    """Without a look at its values; `desc` makes it a column like any other, which may be NULL."""
    path = tmp_path / "rows.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"create table t (n {key}, v)")
        connection.executemany("insert into t values (?, 1)", [(-5,), (7,), (None,)])
    guessed, counted = (_facts(path, everything=everything)[0] for everything in (False, True))
    names = ("nulls", "integers", "smallest", "largest")
    assert guessed.model_dump(include=set(names)) == counted.model_dump(include=set(names))


@pytest.mark.parametrize("key", ["id integer primary key", "id integer", "rowid, _rowid_, oid, id"])
@pytest.mark.parametrize("positions", ["dense", "sparse", "extreme"])
def test_pieces_hold_every_row_once(tmp_path: Path, key: str, positions: str) -> None:
    """Whatever the rowids are: the same facts by four threads as by one."""
    numbers = {
        "dense": range(30_000),
        "sparse": [n**2 for n in range(3_000)],
        "extreme": [-(2**63), *range(-50, 50), 2**63 - 1],
    }[positions]
    path = tmp_path / "rows.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"create table t ({key}, v)")
        names = "id, v" if "oid" in key or "primary" in key else "rowid, v"
        connection.execute("begin")
        connection.executemany(
            f"insert into t ({names}) values (?, ?)", ((n, n % 7 or "seven") for n in numbers)
        )
        connection.execute("commit")
    alone, together = (profile_source(path, jobs=jobs) for jobs in (1, 4))
    assert alone == together
    assert together.tables[0].rows == len(numbers)


def _values(first: list[object], times: int, rest: list[object]) -> list[object]:
    return [*(first * times)[: max(times, len(first))], *rest]


def _write(path: Path, affinity: str, rows: Iterable[tuple[object, object]]) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"create table t (v {affinity}, w {affinity})")
        connection.execute("begin")
        connection.executemany("insert into t values (?, ?)", rows)
        connection.execute("commit")


def _facts(path: Path, *, everything: bool) -> list[ColumnProfile]:
    (table,) = profile_source(path, everything=everything).tables
    return list(table.columns.values())


def _decided(path: Path, *, everything: bool) -> list[object]:
    """The types that the columns have, alone and together, however declared; and their NULLs."""
    facts = _facts(path, everything=everything)
    together = facts[0].plus(facts[1])
    return [
        [(entry.nulls, entry.values) for entry in facts],
        [[choose_type(declared, entry) for declared in _DECLARED] for entry in (*facts, together)],
    ]
