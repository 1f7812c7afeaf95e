"""A guessed and proved column has the facts that counting everything gives, whatever it holds."""

import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from migration.facts import NAMES
from migration.profile import profile_source

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


@given(affinity=st.sampled_from(_AFFINITIES), parts=_VALUES)
@example(affinity="DATETIME", parts=(["2026-01-31 23:59:59"], 120, ["2026-02-30 00:00:00"]))
@example(affinity="DATETIME", parts=(["2026-01-31T23:59:59"], 120, ["2026-01-31 23:59:59"]))
@example(affinity="TEXT", parts=(["word"], 120, ["{}"]))
@example(affinity="", parts=([1], 120, [2.5]))
@example(affinity="", parts=([None], 120, ["t"]))
@settings(max_examples=150, deadline=None)
def test_a_proved_guess_counts_as_everything_does(
    affinity: str, parts: tuple[list[object], int, list[object]]
) -> None:
    first, times, rest = parts
    with TemporaryDirectory() as folder:
        path = Path(folder) / "values.db"
        values = [*(first * times)[: max(times, len(first))], *rest]
        _write(path, affinity, enumerate(values))
        assert _facts(path, everything=False) == _facts(path, everything=True)


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


def _write(path: Path, affinity: str, rows: enumerate[object]) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"create table t (n, v {affinity})")
        connection.execute("begin")
        connection.executemany("insert into t values (?, ?)", rows)
        connection.execute("commit")


def _facts(path: Path, *, everything: bool) -> dict[str, object]:
    (table,) = profile_source(path, everything=everything).tables
    return table.columns["v"].model_dump(include=set(NAMES))
