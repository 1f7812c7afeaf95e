"""What `verify` promises to find, it finds; a sound backup under load passes."""

import json
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backup.content import differences, server_content
from backup.repository import Repository
from tests.backups import Place, connect, flip, numbers, place, restored
from tests.programs import query


@pytest.fixture(scope="module")
def sound() -> Iterator[Place]:
    """A server with a backup that is sound, and log after it."""
    with place() as found:
        query(found.server, "insert into written select n from generate_series(1, 20000) as n")
        found.take()
        query(found.server, "insert into written select n from generate_series(20001, 30000) as n")
        query(found.server, "select pg_switch_wal()")
        found.write(30001)
        assert found.run("backup", "archive").returncode == 0
        yield found


@pytest.fixture
def copy(sound: Place) -> Iterator[Place]:
    """The same with a copy of its repository, which may be damaged."""
    # Where the server's user can enter, as it cannot in a folder of pytest's.
    with tempfile.TemporaryDirectory(prefix="atlas-copy-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(sound.repository.directory, folder / "repository")
        yield Place(sound.instance, Repository(folder / "repository"))


def test_sound_backup_is_verified_and_listed_so(copy: Place) -> None:
    result = copy.run("backup", "verify", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["problems"] == []
    (entry,) = json.loads(copy.run("backup", "list", "--json").stdout)
    assert entry["verified"].startswith("verified")
    assert entry["tables"] > 15


def data_file(found: Place, relation: str) -> Path:
    path = query(found.server, f"select pg_relation_filepath('{relation}')")[0][0]
    return found.repository.data(found.repository.find(None)) / str(path)


def newest_log(found: Place) -> Path:
    whole = [path for path in found.repository.wal.glob("*/*") if path.suffix != ".partial"]
    return max(whole, key=lambda path: path.name)


DAMAGES: dict[str, tuple[Callable[[Place], Path], int]] = {
    "table": (lambda found: data_file(found, "written"), 8192 * 3 + 5000),
    "index": (lambda found: data_file(found, "written_pkey"), 8192 * 2 + 5000),
    "catalogue": (lambda found: data_file(found, "pg_class"), 5000),
    "commit log": (
        lambda found: found.repository.data(found.repository.find(None)) / "pg_xact/0000",
        100,
    ),
    "manifest": (
        lambda found: found.repository.data(found.repository.find(None)) / "backup_manifest",
        2000,
    ),
    "own log": (
        lambda found: next(
            (found.repository.data(found.repository.find(None)) / "pg_wal").glob("0*")
        ),
        200,
    ),
    "record": (
        lambda found: found.repository.backups / found.repository.find(None).id / "backup.json",
        100,
    ),
}


@pytest.mark.parametrize(
    "what",
    [
        "table",
        *(pytest.param(name, marks=pytest.mark.deep) for name in DAMAGES if name != "table"),
    ],
)
def test_four_flipped_bytes_are_found(copy: Place, what: str) -> None:
    find, position = DAMAGES[what]
    flip(find(copy), position)
    result = copy.run("backup", "verify")
    assert result.returncode == 8, result.stdout
    assert "Traceback" not in result.stderr
    elsewhere = copy.repository.directory.parent / "restored"
    result = copy.run("restore", "--directory", elsewhere)
    assert result.returncode == 8, "nor is it restored"
    assert not (elsewhere / "data/PG_VERSION").exists()


def test_flipped_bytes_in_the_archived_log_are_found(copy: Place) -> None:
    flip(newest_log(copy), 5_000)
    verified = copy.run("backup", "verify")
    assert verified.returncode == 8
    assert "log is damaged" in verified.stderr
    # Recovery itself would take the damage for the end of the log, and say nothing.
    elsewhere = copy.repository.directory.parent / "restored"
    result = copy.run("restore", "--directory", elsewhere)
    assert result.returncode == 8
    assert "cannot be read beyond" in result.stderr
    assert not (elsewhere / "data/PG_VERSION").exists()


def test_missing_log_is_found(copy: Place) -> None:
    newest_log(copy).unlink()
    assert "lacks" in copy.run("backup", "verify").stderr
    assert "lacks" in copy.run("backup", "check").stderr
    (entry,) = json.loads(copy.run("backup", "list", "--json").stdout)
    assert entry["restorable_to"].startswith("before ")


@pytest.mark.deep
def test_index_that_lacks_a_row_is_found(copy: Place) -> None:
    """The files are as they were on the server, which had a fault itself: pg_amcheck's part."""
    with place() as faulty:
        query(faulty.server, "create table t as select n from generate_series(1, 1000) as n")
        query(faulty.server, "create index on t (n)")
        query(
            faulty.server,
            "update pg_index set indisready = false where indexrelid = 't_n_idx'::regclass",
        )
        query(faulty.server, "insert into t values (7777)")
        query(
            faulty.server,
            "update pg_index set indisready = true where indexrelid = 't_n_idx'::regclass",
        )
        faulty.run("backup", "take")
        result = faulty.run("backup", "verify")
        assert result.returncode == 8
        assert "lacks matching index tuple" in result.stderr


def test_other_content_is_found_by_table(sound: Place) -> None:
    server = sound.server
    databases = [server.database]
    query(server, "create table various (a text, b jsonb, c float8, d bytea, e timestamptz)")
    query(server, "insert into various values ('a', '{}', 0.1, '\\x00', now())")
    query(server, "insert into various values (null)")
    try:
        before = server_content(server, databases)
        assert differences(before, server_content(server, databases)) == []
        query(server, "update various set c = 0.10000000000000002 where a = 'a'")
        name = f"{server.database}: public.various"
        assert differences(before, server_content(server, databases)) == [
            f"{name} holds other values"
        ]
        query(server, "insert into various values (null)")
        assert differences(before, server_content(server, databases)) == [
            f"{name} has 3 rows, not 2"
        ]
    finally:
        query(server, "drop table various")
    assert differences(before, server_content(server, databases)) == [f"{name} is missing (2 rows)"]
    assert differences({}, before)[0].startswith(f"{server.database}: ")


class Writers:
    """Sessions that write numbered rows, and remember which ones were acknowledged."""

    def __init__(self, found: Place) -> None:
        self.acknowledged: list[int] = []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._next = 0
        self._threads = [threading.Thread(target=self._write, args=(found,)) for _ in range(4)]
        for thread in self._threads:
            thread.start()

    def _write(self, found: Place) -> None:
        with connect(found.server) as connection:
            while not self._stop.is_set():
                with self._lock:
                    self._next += 1
                    number = self._next
                connection.execute("insert into written values (%s)", [number])
                connection.commit()
                with self._lock:
                    self.acknowledged.append(number)

    def so_far(self) -> set[int]:
        with self._lock:
            return set(self.acknowledged)

    def started(self) -> int:
        """Numbers above this one have not begun."""
        with self._lock:
            return self._next

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_backup_under_load_has_every_acknowledged_write_and_none_after_the_target() -> None:
    with place() as busy:
        writers = Writers(busy)
        try:
            busy.take()
            before = writers.so_far()
            assert busy.run("backup", "mark", "here").returncode == 0
            # Rows begun after the command has ended are after the moment.
            after = writers.started()
            while writers.started() < after + 200:
                time.sleep(0.01)
            verified = busy.run("backup", "verify")
            assert verified.returncode == 0, verified.stderr
            assert busy.run("backup", "archive").returncode == 0
        finally:
            writers.stop()
        busy.instance.stop(mode="immediate")
        shutil.rmtree(busy.instance.data)
        with restored(busy, "--name", "here") as server:
            found = set(numbers(server))
            assert before - found == set(), "lost"
            assert {number for number in found if number > after} == set(), "unexpected"
        with restored(busy) as server:
            assert before < set(numbers(server))


def test_transaction_that_stays_open_leaves_the_backup_whole_and_is_said() -> None:
    with place() as busy:
        with connect(busy.server) as writer:
            writer.execute("insert into written values (1)")
            result = busy.run("backup", "take", BACKUP_LOCK_SECONDS=1)
        assert result.returncode == 6
        assert "somebody was writing" in result.stderr
        assert "does not know what the tables held" in busy.run("backup", "check").stderr
        result = busy.run("backup", "verify")
        assert result.returncode == 8
        assert "not known what the tables held" in result.stderr
        with restored(busy, "--immediate") as server:
            assert numbers(server) == []


@pytest.mark.deep
def test_killed_verification_leaves_nothing_that_runs(copy: Place) -> None:
    running = copy.start("backup", "verify")
    assert running.stderr is not None
    scratch = Path(f"/var/lib/atlas-postgres/verify-{copy.repository.identity().slot}")
    if not scratch.parent.exists() and not scratch.exists():
        scratch = copy.repository.directory / ".scratch"
    while running.poll() is None and not (scratch / "data/postmaster.pid").exists():
        time.sleep(0.002)
    running.kill()
    running.wait()
    assert copy.run("backup", "verify").returncode == 0
    left = subprocess.run(
        ["pgrep", "-f", str(scratch)], capture_output=True, text=True, check=False
    )
    assert left.stdout == ""
    assert not scratch.exists()
