"""Killed, disk full, server lost: it is said, PostgreSQL goes on, and the next run is clean."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backup.repository import Repository
from backup.wal import parse_lsn
from database.embedded.server import EmbeddedServer
from tests.backups import Place, numbers, place, restored
from tests.programs import query, run_module


@pytest.fixture
def own() -> Iterator[Place]:
    with place() as found:
        yield found


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.002)


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def grow(found: Place) -> None:
    """Enough that a copy takes a moment."""
    query(
        found.server,
        "create table large as select repeat('x', 2000) from generate_series(1, 40000)",
    )
    run_module("database", "apply", "--directory", found.instance.directory)


def test_killed_backup_is_swept_away_by_the_next(own: Place) -> None:
    grow(own)
    taking = own.start("backup", "take")
    wait_for(lambda: list(own.repository.backups.glob(".draft-*/data/base/*")))
    kill(taking)
    assert own.repository.taken() == []
    result = own.run("backup", "take")
    assert result.returncode == 0, result.stderr
    assert ".draft-" in result.stdout, "it says what it removed"
    assert len(list(own.repository.backups.iterdir())) == 1
    assert own.run("backup", "verify").returncode == 0


@pytest.mark.deep
@pytest.mark.parametrize("milliseconds", [300, 500, 700, 900, 1100, 1400])
def test_backup_killed_at_any_moment_leaves_the_next_clean(own: Place, milliseconds: int) -> None:
    own.write(1)
    first = own.take()
    taking = own.start("backup", "take")
    time.sleep(milliseconds / 1000)
    kill(taking)
    assert first.id in [backup.id for backup in own.repository.taken()]
    own.take()
    assert [path for path in own.repository.backups.iterdir() if path.name[0] == "."] == []
    with restored(own) as server:
        assert numbers(server) == [1]


@pytest.mark.deep
def test_signal_stops_a_backup_with_its_own_code(own: Place) -> None:
    grow(own)
    taking = own.start("backup", "take")
    wait_for(lambda: list(own.repository.backups.glob(".draft-*/data/base/*")))
    taking.send_signal(signal.SIGTERM)
    assert taking.wait(30) == 7
    assert own.repository.taken() == []
    own.take()


def test_of_two_backups_at_once_one_is_refused(own: Place) -> None:
    grow(own)
    taking = own.start("backup", "take")
    wait_for(lambda: list(own.repository.backups.glob(".draft-*/data/base/*")))
    second = own.run("backup", "take")
    assert second.returncode == 8
    assert "Another backup is at work" in second.stderr
    assert taking.wait(60) == 0
    assert len(own.repository.taken()) == 1


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("data/PG_VERSION", marks=pytest.mark.deep),
        pytest.param("data/pg_wal", marks=pytest.mark.deep),
        "data/postmaster.pid",
    ],
)
def test_killed_restore_leaves_the_old_cluster_and_the_next_is_clean(
    own: Place, moment: str
) -> None:
    grow(own)
    own.write(1)
    own.take()
    own.write(2)
    assert own.run("backup", "archive").returncode == 0
    own.instance.stop()
    staging = own.instance.directory / ".restoring"
    restoring = own.start("restore")
    wait_for((staging / moment).exists)
    kill(restoring)
    assert own.instance.start()
    assert numbers(own.server) == [1, 2], "the old cluster is untouched"
    own.instance.stop()
    result = own.run("restore")
    assert result.returncode == 0, result.stderr
    assert not staging.exists()
    left = subprocess.run(
        ["pgrep", "-f", str(staging)], capture_output=True, text=True, check=False
    )
    assert left.stdout == "", "no server of the killed run is left"
    own.instance.start()
    assert numbers(own.server) == [1, 2]


@pytest.mark.parametrize("finisher", ["start", pytest.param("restore", marks=pytest.mark.deep)])
def test_swap_that_was_killed_half_way_is_finished_by_whoever_comes_next(
    own: Place, finisher: str
) -> None:
    """The only moment without a cluster in place: nobody makes an empty one there."""
    own.write(1)
    own.take()
    own.instance.stop()
    directory = own.instance.directory
    elsewhere = EmbeddedServer(directory.parent / "elsewhere")
    shutil.copytree(directory / "secrets", elsewhere.directory / "secrets")
    assert own.run("restore", "--directory", elsewhere.directory).returncode == 0
    elsewhere.data.rename(directory / "new")
    old = directory / "data.before-now"
    (directory / "swap.json").write_text(f'["{directory / "new"}", "{old}"]')
    own.instance.data.rename(old)
    if finisher == "restore":
        assert own.run("restore").returncode == 0
    own.instance.start()
    assert numbers(own.server) == [1]
    assert not (directory / "swap.json").exists()
    assert (old / "PG_VERSION").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", folder],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("mounting needs root with CAP_SYS_ADMIN")
    yield folder
    subprocess.run(["umount", folder], check=True)


def write_log(found: Place, megabytes: int) -> None:
    query(
        found.server,
        "select count(pg_logical_emit_message(false, 'test', repeat('x', 1048576))) "
        f"from generate_series(1, {megabytes})",
    )


def test_full_archive_is_an_alarm_and_recovers(own: Place, small_disk: Path) -> None:
    full = Place(own.instance, Repository(small_disk / "repository"))
    full.write(1)
    full.take()
    write_log(full, 200)
    full.write(2)
    failed = full.run("backup", "archive")
    assert failed.returncode == 8
    assert "No space left on device" in failed.stderr
    alarm = full.run("backup", "check")
    assert alarm.returncode == 8
    assert "are free" in alarm.stderr
    assert "MB of the server's log are not archived" in alarm.stderr
    full.write(3)
    assert numbers(full.server) == [1, 2, 3], "PostgreSQL keeps running"
    subprocess.run(["mount", "-o", "remount,size=900m", small_disk], check=True)
    assert full.run("backup", "archive").returncode == 0
    assert full.check()["problems"] == []
    with restored(full) as server:
        assert numbers(server) == [1, 2, 3]


@pytest.mark.deep
def test_follower_reports_failures_goes_on_by_itself_and_loses_nothing(
    own: Place, small_disk: Path
) -> None:
    full = Place(own.instance, Repository(small_disk / "repository"))
    full.take()
    following = full.start("backup", "archive", "--follow")
    assert following.stderr is not None
    try:
        write_log(full, 200)
        full.write(1)
        assert "archiving fails" in following.stderr.readline()
        assert full.run("backup", "check").returncode == 8
        subprocess.run(["mount", "-o", "remount,size=900m", small_disk], check=True)
        for line in following.stderr:
            if "archiving works again" in line:
                break
        # A backup beside the follower waits for it instead of receiving as well.
        full.take()
        full.write(2)
        assert full.run("backup", "mark", "now").returncode == 0
        assert full.check()["problems"] == []
    finally:
        kill(following)
    assert full.run("backup", "archive").returncode == 0, "the killed one's receiver is ended"
    with restored(full, "--name", "now") as server:
        assert numbers(server) == [1, 2]


@pytest.mark.deep
def test_follower_outlives_a_restart_of_the_server_and_ends_by_signal(own: Place) -> None:
    own.take()
    following = own.start("backup", "archive", "--follow")
    assert following.stderr is not None
    wait_for(lambda: query(own.server, "select 1 from pg_stat_replication"))
    own.instance.stop()
    assert "archiving fails" in following.stderr.readline()
    own.instance.start()
    own.write(1)
    reached = parse_lsn(str(query(own.server, "select pg_current_wal_insert_lsn()::text")[0][0]))
    wait_for(lambda: parse_lsn(own.repository.archive_state().reached[1]) >= reached, seconds=120)
    following.send_signal(signal.SIGTERM)
    assert following.wait(30) == 7
    wait_for(lambda: not query(own.server, "select 1 from pg_stat_replication"))
    with restored(own) as server:
        assert numbers(server) == [1]


def test_killed_server_loses_nothing_that_was_archived(own: Place) -> None:
    own.take()
    own.write(1)
    assert own.run("backup", "archive").returncode == 0
    pid = int((own.instance.data / "postmaster.pid").read_text().splitlines()[0])
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not own.instance.running())
    shutil.rmtree(own.instance.data)
    assert own.run("restore").returncode == 0
    own.instance.start()
    assert numbers(own.server) == [1]


@pytest.mark.deep
def test_server_that_gave_the_slot_up_is_said_and_the_next_backup_begins_anew() -> None:
    with place(max_slot_wal_keep_size="32MB", max_wal_size="48MB", min_wal_size="32MB") as own:
        own.take()
        write_log(own, 200)
        query(own.server, "checkpoint")
        lost = own.run("backup", "archive")
        assert lost.returncode == 8
        assert "gave up the slot" in lost.stderr
        assert "removed log that was not archived" in own.run("backup", "check").stderr
        own.write(1)
        own.take()
        assert own.check()["problems"] == []
        with restored(own) as server:
            assert numbers(server) == [1]


@pytest.mark.deep
def test_only_so_many_are_kept_and_the_log_that_they_need(own: Place) -> None:
    taken = []
    for number in range(4):
        own.write(number)
        query(own.server, "select pg_switch_wal()")
        taken.append(own.take(BACKUP_KEEP=2).id)
    assert [backup.id for backup in own.repository.taken()] == taken[2:]
    oldest = own.repository.taken()[0]
    names = sorted(path.name for path in own.repository.wal.glob("*/0*"))
    assert len(names) < 8
    with restored(own, "--backup", oldest.id) as server:
        assert numbers(server) == [0, 1, 2, 3]
    with restored(own, "--backup", oldest.id, "--immediate") as server:
        assert numbers(server) == [0, 1, 2]


def test_another_servers_repository_is_refused(own: Place) -> None:
    own.take()
    with place() as other:
        foreign = Place(other.instance, own.repository)
        result = foreign.run("backup", "take")
    assert result.returncode == 8
    assert "backups of another server" in result.stderr
    assert len(own.repository.taken()) == 1


def test_without_a_repository_every_command_says_so(own: Place) -> None:
    for arguments in (["list"], ["verify"], ["check"], ["archive"], ["mark", "x"]):
        result = own.run("backup", *arguments)
        assert result.returncode == 8, arguments
        assert "There are no backups" in result.stderr
    assert own.run("restore", "--directory", own.repository.directory.parent / "x").returncode == 8
    own.instance.stop()
    assert own.run("backup", "take").returncode == 4


def test_without_the_server_one_can_restore(own: Place) -> None:
    own.take()
    result = own.run(
        "backup", "check", "--json", DATABASE_URL="postgresql://postgres@127.0.0.1:1/postgres"
    )
    assert result.returncode == 4
    assert "One can restore" in result.stderr
    found = json.loads(result.stdout)
    assert found["problems"] == []
    assert "Cannot reach PostgreSQL" in found["unreachable"]


def test_a_server_that_refuses_us_is_no_server_that_is_down(own: Place) -> None:
    own.take()
    server = own.server
    address = f"postgresql://postgres@{server.host}:{server.port}/absent?sslmode=disable"
    result = own.run("backup", "check", DATABASE_URL=address, SECRETS_DIR=server.secrets_dir)
    assert result.returncode == 8
    assert "refuses postgres" in result.stderr


def test_archiving_can_be_given_up(own: Place) -> None:
    own.take()
    assert own.run("backup", "archive", "--end").returncode == 0
    assert query(own.server, "select 1 from pg_replication_slots") == []
    assert "nothing to end" in own.run("backup", "archive", "--end").stdout
    assert "take a backup" in own.run("backup", "check").stderr


def test_any_reachable_server_is_backed_up(own: Place) -> None:
    """One that is named by its address, as a server of the system's packages would be."""
    own.write(1)
    server = own.server
    address = f"postgresql://postgres@{server.host}:{server.port}/{server.database}?sslmode=disable"
    elsewhere = own.instance.directory.parent / "no-instance"
    settings = {
        "DATABASE_URL": address,
        "SECRETS_DIR": server.secrets_dir,
        "EMBEDDED_DIR": elsewhere,
    }
    for arguments in (["take"], ["archive"], ["check"], ["verify"], ["mark", "x"]):
        result = own.run("backup", *arguments, **settings)
        assert result.returncode == 0, result.stderr
    with restored(own) as server:
        assert numbers(server) == [1]


def test_tablespaces_are_refused(own: Place, tmp_path: Path) -> None:
    folder = own.instance.directory / "space"
    folder.mkdir()
    own.instance.account.own(folder)
    query(own.server, f"create tablespace space location '{folder}'")
    result = own.run("backup", "take")
    assert result.returncode == 4
    assert "tablespaces" in result.stderr
