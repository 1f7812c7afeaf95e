"""Long runs of the migration's promises; DEEP_ROUNDS sets how long (by hand: hundreds)."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from database.settings import Server
from scripts.make_demo_database import make_demo_database
from tests.programs import CHECKOUT, environment, query, run_module
from tests.test_migration_run import wait_for_no_migration

pytestmark = pytest.mark.deep

ROUNDS = int(os.environ.get("DEEP_ROUNDS", "20"))


@pytest.mark.timeout(ROUNDS * 60)
def test_killed_at_random_points_it_still_ends_verified(database: Server, tmp_path: Path) -> None:
    source = tmp_path / "source.db"
    make_demo_database(source, target_bytes=20_000_000)
    settings = {"MIGRATION_DIR": tmp_path / "work"}
    started = time.monotonic()
    copy = database.model_copy()
    assert run_module("migration", "plan", source, server=copy, **settings).returncode == 0
    whole = max(time.monotonic() - started, 1) * 3
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(ROUNDS):
        process = subprocess.Popen(
            [sys.executable, "-m", "migration", "run", source],
            cwd=CHECKOUT,
            env=environment(database, **settings),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(chance.uniform(0.1, whole))
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_for_no_migration(database)
        committed = query(database, "select count(*) from migration.run") == [(1,)]
        loaded = query(database, "select count(*) > 0 from logs") == [(True,)]
        assert committed == loaded, "all or nothing"
    result = run_module("migration", "run", source, server=database, **settings)
    assert result.returncode == 0, result.stderr
    assert run_module("migration", "verify", server=database, **settings).returncode == 0
