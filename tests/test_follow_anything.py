"""Whatever schema, whatever statements: after catching up, source and target are equal."""

import sqlite3
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from database.errors import SourceError, TargetError
from database.settings import Server
from migration.follow.follow import begin
from migration.load import EngineName
from migration.progress import Steps
from migration.run import Options
from tests import random_databases
from tests.conftest import fresh_database
from tests.following import follower
from tests.random_databases import Statement
from tests.test_capture import PRAGMAS, changes, drawn_tables, opened


@pytest.mark.parametrize(
    "examples", [25, pytest.param(400, marks=[pytest.mark.deep, pytest.mark.timeout(3000)])]
)
def test_source_equals_target_after_catching_up(cluster: Server, examples: int) -> None:
    @given(made=random_databases.database(), data=st.data(), pause=st.integers(1, 10))
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    def each(made: list[Statement], data: st.DataObject, pause: int) -> None:
        with TemporaryDirectory() as folder, fresh_database(cluster) as server:
            source = Path(folder) / "source.db"
            random_databases.write(source, made)
            follow_and_compare(server, source, data, pause)

    each()


def follow_and_compare(server: Server, source: Path, data: st.DataObject, pause: int) -> None:
    options = Options(source, source.parent / "work", EngineName.COPY, quarantine=True)
    try:
        begin(server, options, Steps(Console(quiet=True)))
    except (SourceError, TargetError):
        # What cannot be followed, or migrated at all, is said before anything is changed.
        return
    tables = drawn_tables(source)
    history = data.draw(st.lists(st.sampled_from(PRAGMAS), max_size=2))
    if tables:
        history += data.draw(st.lists(changes(tables), min_size=1, max_size=15))
    steps = follower(server, source)
    with opened(source) as connection:
        connection.execute("pragma ignore_check_constraints = on")
        for number, (text, values) in enumerate(history):
            with suppress(sqlite3.Error):
                connection.execute(text, values)
            if number % pause == 0:
                steps.step()
        steps.step()
        assert steps.lag().entries == 0
    swept = steps.sweep()
    assert [entry.table.target for entry in swept.tables if not entry.verified] == []
