"""Every hazard, over both engines: each row arrives exactly, or is kept aside and explained."""

import contextlib
import importlib
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from database.errors import BundleError
from database.settings import Server
from migration.load import EngineName
from migration.progress import Steps
from migration.quarantine.values import decode
from migration.reverify import verify_last_run
from migration.run import Options, Outcome, migrate
from tests.engines import ENGINES
from tests.hazards.catalogue import GROUPS, HAZARDS
from tests.hazards.hazard import Hazard, Refused, Stop
from tests.programs import dump, query

CASES = [
    pytest.param(hazard, id=hazard.name, marks=[pytest.mark.deep] if hazard.deep else [])
    for hazard in HAZARDS
    if not hazard.elsewhere
]
ELSEWHERE = {hazard.name: hazard.elsewhere for hazard in HAZARDS if hazard.elsewhere}


def test_every_name_is_used_once() -> None:
    assert [name for name, times in Counter(h.name for h in HAZARDS).items() if times > 1] == []
    assert sum(map(len, GROUPS.values())) == len(HAZARDS)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_hazard_that_needs_more_than_one_run_has_a_test_of_its_own(name: str) -> None:
    module, _, function = ELSEWHERE[name].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("engine", ENGINES, ids=str)
@pytest.mark.parametrize("hazard", CASES)
def test_hazard(database: Server, tmp_path: Path, hazard: Hazard, engine: EngineName) -> None:
    if hazard.target:
        query(database, hazard.target)
    options = Options(
        source=tmp_path / "data" / "source.db",
        work=tmp_path / "work",
        engine=engine,
        **{"quarantine": True, **hazard.options},  # type: ignore[arg-type]
    )
    before = dump(database) if hazard.stops else ""
    options.source.parent.mkdir()
    with prepared(hazard, options.source):
        if hazard.stops:
            assert_stopped(database, options, hazard.stops)
            assert dump(database) == before
            if not hazard.cure:
                return
            query(database, hazard.cure)
        assert_arrived(database, options, hazard, run(database, options))


def run(server: Server, options: Options) -> Outcome:
    return migrate(server, options, Steps(Console(quiet=True)))


@contextlib.contextmanager
def prepared(hazard: Hazard, path: Path) -> Iterator[None]:
    """The source, for as long as the migration may read it."""
    if callable(hazard.source):
        with hazard.source(path):
            yield
    else:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.executescript(hazard.source)
        yield


def assert_stopped(server: Server, options: Options, stop: Stop) -> None:
    try:
        error = run(server, options).error
    except BundleError as raised:
        error = raised
    assert error is not None
    assert error.exit_code == stop.exit_code, error.message
    assert re.search(stop.says, error.message), error.message
    assert error.hint


def assert_arrived(server: Server, options: Options, hazard: Hazard, outcome: Outcome) -> None:
    report = outcome.report.data
    exit_code = outcome.error.exit_code if outcome.error else 0
    assert exit_code == (5 if hazard.refused else 0), report["differences"] or report["quarantine"]
    assert report["verdict"] == ("quarantined" if hazard.refused else "verified")
    kept = sorted(map(str, kept_aside(server, hazard)))
    assert kept == sorted(map(str, map(expected, hazard.refused)))
    reasons = " | ".join(entry["reason"] for entry in report["quarantine"])
    assert [entry.reason for entry in hazard.refused if entry.reason not in reasons] == [], reasons
    for table in report["tables"]:
        assert table["verified"]
        assert table["rows_source"] == table["rows_loaded"] + table["rows_quarantined"]
    said = {(entry["kind"], entry["name"]) for entry in report["not_carried"]}
    assert set(hazard.said) <= said, said
    # Again: the second run finds it done, and the comparison finds both sides equal.
    assert all(entry.verified for entry in verify_last_run(server, options.work, quiet()))
    if not hazard.changing:
        assert run(server, options).already_done
    for text, rows in hazard.arrives.items():
        assert query(server, text) == rows, text


def quiet() -> Steps:
    return Steps(Console(quiet=True))


def expected(entry: Refused) -> tuple[object, ...]:
    return (entry.table, entry.column, entry.sqlstate, kind_and_bytes(entry.value))


def kept_aside(server: Server, hazard: Hazard) -> list[tuple[object, ...]]:
    """Each quarantined row as `expected` gives it, its value read back from what was stored."""
    of_columns = {entry.table: entry.of_column for entry in hazard.refused if entry.of_column}
    found: list[tuple[object, ...]] = []
    for table, column, sqlstate, values in query(
        server, "select table_name, column_name, sqlstate, row_values from migration.quarantine"
    ):
        assert isinstance(values, dict)
        of_column = column or of_columns[str(table)]
        found.append((table, column, sqlstate, kind_and_bytes(decode(values[of_column]))))
    return found


def kind_and_bytes(value: object) -> tuple[str, object]:
    if isinstance(value, str):
        return "text", value.encode("utf-8", "surrogateescape")
    return type(value).__name__, repr(value)
