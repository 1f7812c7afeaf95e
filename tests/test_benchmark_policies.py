"""The benchmark of the policies runs, as whom it says, and has a row for every query."""

import os
import subprocess
import sys

from benchmarks.policies import QUERIES
from tests.programs import CHECKOUT


def test_every_query_is_timed_with_and_without_policies() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.policies", "--runs", "1"],
        cwd=CHECKOUT,
        # Wide enough that no name is broken.
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert result.returncode == 0, result.stderr
    assert [name for name in QUERIES if name not in result.stdout] == []
    assert "Binding a transaction" in result.stdout
