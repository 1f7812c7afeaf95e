"""A program that is forked runs as one that is started: the tests may believe what they see."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forks import Forks
from tests.programs import CHECKOUT, forks

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="programs are started here")

PROGRAMS = {
    "a group": ["-m", "migration"],
    "help": ["-m", "migration", "run", "--help"],
    "another parser": ["-m", "mcp_server", "--help"],
    "a file": ["scripts/backup.py", "--help"],
    "a wrong option": ["-m", "database", "drift", "--sideways"],
    "an error of ours": ["-m", "migration", "run", "/nowhere.db"],
    "no such module": ["-m", "migration.nothing"],
}


def started(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=CHECKOUT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("arguments", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_it_says_and_returns_the_same(arguments: list[str]) -> None:
    environment = dict(os.environ)
    there, here = started(arguments, environment), forks().run(arguments, environment, 60)
    assert (here.returncode, here.stdout) == (there.returncode, there.stdout)
    if "Traceback" not in there.stderr and "No module" not in there.stderr:
        assert here.stderr == there.stderr


SELF = """
import json, os, sys, threading, atexit, random
atexit.register(lambda: print("at exit"))
threading.Thread(target=lambda: (__import__("time").sleep(0.1), print("thread"))).start()
print(json.dumps({
    "arguments": sys.argv, "path": sys.path[0], "folder": os.getcwd(), "name": __name__,
    "environment": dict(os.environ), "input": sys.stdin.read(), "terminal": sys.stdout.isatty(),
    "open": sorted(os.listdir("/proc/self/fd"), key=int)[:3],
}))
print("aside", file=sys.stderr)
"""


def test_it_has_its_own_arguments_environment_files_and_end(tmp_path: Path) -> None:
    file = tmp_path / "self.py"
    file.write_text(SELF)
    environment = {**os.environ, "ONLY_HERE": "wörtlich"}
    results = [started([str(file), "1 2"], environment)]
    results += [forks().run([str(file), "1 2"], environment, 60) for _ in range(2)]
    assert results[0].stdout == results[1].stdout == results[2].stdout
    assert [result.stderr for result in results] == ["aside\n"] * 3
    said, *rest = results[0].stdout.splitlines()
    assert json.loads(said)["environment"]["ONLY_HERE"] == "wörtlich"
    assert rest == ["thread", "at exit"]
    assert "ONLY_HERE" not in os.environ


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("raise SystemExit", 0),
        ("raise SystemExit(7)", 7),
        ("raise SystemExit('text')", 1),
        ("1 / 0", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9),
        ("import os; os.abort()", -6),
    ],
)
def test_it_ends_the_same(tmp_path: Path, end: str, code: int) -> None:
    file = tmp_path / "end.py"
    file.write_text(f"print('said')\nimport sys; sys.stdout.flush()\n{end}\n")
    there, here = (run([str(file)], dict(os.environ)) for run in (started, forked))
    assert there.returncode == here.returncode == code
    assert there.stdout == here.stdout == "said\n"
    assert there.stderr.splitlines()[-1:] == here.stderr.splitlines()[-1:]


def forked(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return forks().run(arguments, environment, 60)


def test_one_that_hangs_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "hangs.py"
    file.write_text("import os, time; open('/proc/self/comm'); time.sleep(600)")
    with pytest.raises(subprocess.TimeoutExpired):
        forks().run([str(file)], dict(os.environ), 0.2)
    assert forks().run(["-m", "migration", "--help"], dict(os.environ), 60).returncode == 0


def test_what_is_read_at_the_start_needs_a_start() -> None:
    assert forks().can_run({**os.environ, "MIGRATION_DIR": "/x"})
    assert not forks().can_run({**os.environ, "COLUMNS": "77"})
    assert not forks().can_run({**os.environ, "PYTHONPATH": "/x"})


def test_it_ends_with_those_who_ask() -> None:
    process = Forks()
    process._ours.close()
    assert process._process.wait(30) == 0
