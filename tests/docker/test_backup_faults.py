"""Backups of containers when things go wrong: lost disks, damaged files, full volumes, kills."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.docker.backups import (
    BY_HAND,
    REPOSITORY,
    backup,
    inside,
    listed,
    numbers,
    problems,
    restore,
    until,
    up,
    wipe,
    writing,
)
from tests.docker.project import Project, docker, run

#: Enough that copying it takes some time: text that does not compress.
LARGE = (
    "create table large as select i, (select string_agg(gen_random_uuid()::text, '')"
    " from generate_series(1, 200) where i > 0) as t from generate_series(1, 20000) i"
)


@pytest.fixture
def kept(project: Project) -> Project:
    """A project with its first backup taken, and an empty table of numbers."""
    return _kept(project)


def _kept(project: Project) -> Project:
    project.settings.update(BY_HAND)
    up(project)
    project.psql("create table n (i int primary key)")
    return project


def test_under_load_nothing_that_was_acknowledged_is_lost(kept: Project) -> None:
    with writing(kept) as acknowledged:
        until(lambda: len(acknowledged) > 50)
        backup(kept, "take", "--kind", "incr")
        before = len(acknowledged)
        backup(kept, "mark", "target")
        after = len(acknowledged)
        until(lambda: len(acknowledged) > after + 50)
    wipe(kept)
    restore(kept, "--name", "target")
    up(kept)
    found = numbers(kept)
    # Without a gap; all that was acknowledged before the mark, nothing from after it.
    assert found == list(range(len(found)))
    assert before <= len(found) <= after + 1


def test_an_untouched_database_is_the_same_dump(project: Project, platform_database: Path) -> None:
    project.settings.update(BY_HAND)
    project.data = platform_database.parent
    up(project)
    before, numbered = _dump(project)
    backup(project, "archive")
    wipe(project)
    restore(project)
    up(project)
    after, numbered_after = _dump(project)
    assert after == before
    # PostgreSQL logs sequences 32 numbers ahead: whatever was not shut down skips those.
    pairs = zip(numbered, numbered_after, strict=True)
    assert all(old <= new <= old + 32 for old, new in pairs)
    assert "pg_amcheck: as it should be" in backup(project, "verify").stdout


def test_restored_on_another_host_with_other_passwords(kept: Project, tmp_path: Path) -> None:
    kept.psql("insert into n values (-1)")
    backup(kept, "archive")
    key = kept.secret("backup_cipher_key")
    wipe(kept)
    # Another host has the repository's volume and the key; it generates all passwords itself.
    for volume in ("secrets", "secrets_postgres", "secrets_backup", "secrets_mcp"):
        docker("volume", "rm", f"{kept.name}_{volume}", check=False)
    kept.compose("run", "--rm", "-T", "secrets")
    refused = restore(kept, check=False)
    assert refused.returncode == 8
    assert "backup_cipher_key" in refused.stderr
    given = tmp_path / "given"
    given.mkdir(mode=0o755)
    (given / "backup_cipher_key").write_text(key)
    (given / "backup_cipher_key").chmod(0o444)
    kept.settings["SECRET_FILES"] = str(given)
    restore(kept)
    up(kept)
    assert numbers(kept) == [-1]
    with writing(kept) as acknowledged:
        until(lambda: len(acknowledged) > 1)


#: Run twice, it is as it was.
FLIP = """
import glob, os, sys
path = max(glob.glob(sys.argv[1]), key=os.path.getsize)
os.chmod(path, 0o640)
with open(path, "r+b") as file:
    middle = file.seek(os.path.getsize(path) // 2)
    found = file.read(4)
    file.seek(middle)
    file.write(bytes(byte ^ 0xFF for byte in found))
print(path)
"""


def test_four_flipped_bytes_are_found(kept: Project) -> None:
    backup(kept, "archive")
    for what in (
        "backup/atlas/*F/bundle/1",
        "backup/atlas/*F/backup.manifest",
        "archive/atlas/17-1/*/*.zst",
    ):
        damaged = _flip(kept, f"{REPOSITORY}/repo/{what}")
        result = backup(kept, "verify", check=False)
        assert result.returncode == 8, (what, result.stdout)
        assert listed(kept)[0]["verified"].startswith("failed"), what
        assert any("failed its verification" in problem for problem in problems(kept)), what
        assert _flip(kept, damaged) == damaged
    assert backup(kept, "verify").returncode == 0
    assert problems(kept) == []


SMALL = """
volumes:
  backup:
    driver_opts: { type: tmpfs, device: tmpfs, o: "size=100m,uid=999,gid=999,mode=0750" }
"""


def test_a_full_repository_is_an_alarm_and_recovers(project: Project, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    project.files = ("compose.yaml", tmp_path / "small.yaml")
    kept = _kept(project)
    inside(kept, "backup", f"cat /dev/zero > {REPOSITORY}/filler || true")
    kept.psql("insert into n values (1); select pg_switch_wal()")
    until(lambda: any("archiving has been failing" in problem for problem in problems(kept)))
    assert backup(kept, "take", "--kind", "incr", check=False).returncode == 8
    # PostgreSQL goes on, and says why it cannot archive.
    kept.psql("insert into n values (2)")
    assert "No space left on device" in kept.compose("logs", "postgres").stdout
    inside(kept, "backup", f"rm {REPOSITORY}/filler")
    until(lambda: problems(kept) == [])
    backup(kept, "take", "--kind", "incr")


def test_killed_while_a_backup_is_taken(kept: Project) -> None:
    kept.psql(LARGE)
    first = [entry["id"] for entry in listed(kept)]
    running = _start(kept, "backup", "take")
    repository = f"{REPOSITORY}/repo/backup/atlas"
    copying = f"ls -d {repository}/*F/bundle {repository}/*F/pg_data 2>/dev/null | wc -l"
    whole = int(inside(kept, "backup", copying))
    until(lambda: int(inside(kept, "backup", copying)) > whole)
    _kill(kept, running)
    assert [entry["id"] for entry in listed(kept)] == first
    backup(kept, "take")
    assert len(listed(kept)) == len(first) + 1
    assert backup(kept, "verify").returncode == 0
    assert problems(kept) == []


def test_killed_while_restoring(kept: Project) -> None:
    kept.psql(LARGE)
    kept.psql("insert into n values (1)")
    backup(kept, "take")
    kept.psql("insert into n values (2)")
    kept.compose("stop")
    running = _start(kept, "restore")
    until(
        lambda: (
            "base"
            in inside(
                kept, "restore", "ls /var/lib/postgresql/data/.restoring/data 2>/dev/null || true"
            )
        )
    )
    locked_out = kept.compose("run", "--rm", "-T", "--no-deps", "postgres", check=False)
    assert "a restore, is at work" in locked_out.stderr
    _kill(kept, running)
    # Nothing was touched.
    up(kept, "postgres")
    assert numbers(kept) == [1, 2]
    kept.compose("stop")
    restore(kept)
    up(kept)
    assert numbers(kept) == [1, 2]


def test_the_start_finishes_a_swap_and_moves_an_old_volume(kept: Project) -> None:
    kept.psql("insert into n values (1)")
    kept.compose("stop")
    # As the first of the two renames leaves it.
    inside(
        kept,
        "restore",
        "cd /var/lib/postgresql/data; mkdir .restoring; cp -a data .restoring/data;"
        ' mv data data.before-x; printf \'["%s", "%s"]\' $PWD/.restoring/data'
        " $PWD/data.before-x > swap.json",
    )
    up(kept, "postgres")
    assert numbers(kept) == [1]
    left = inside(kept, "restore", "ls -a /var/lib/postgresql/data").split()
    assert "swap.json" not in left
    assert "data.before-x" in left
    # As volumes were before there were backups: the cluster itself, not a folder with it.
    kept.compose("stop")
    flat = "cd /var/lib/postgresql/data; rm -r data.before-x .restoring; mv data/* .; rmdir data"
    inside(kept, "restore", f"{flat}; rm .running .lock server.log || true")
    up(kept, "postgres")
    assert numbers(kept) == [1]
    assert "moved the cluster" in kept.compose("logs", "postgres").stdout
    kept.compose("restart", "postgres")
    up(kept, "postgres")
    assert numbers(kept) == [1]


def _flip(project: Project, pattern: str) -> str:
    """Flip four bytes in the middle of the largest file of a pattern; which one that is."""
    return inside(project, "backup", f"python -c '{FLIP}' '{pattern}'").strip()


def _dump(project: Project) -> tuple[str, list[int]]:
    """Everything in the server, and apart from that the numbers that its sequences have reached."""
    position = re.compile(r"(?<=', )(\d+)(?=, (true|false)\);)")
    text = project.dump()
    return position.sub("N", text), [int(found[0]) for found in position.findall(text)]


def _start(project: Project, service: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        project.command(
            "run", "--rm", "-T", "--name", f"{project.name}-killed", service, *arguments
        ),
        cwd=project.root,
        env=project.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _kill(project: Project, running: subprocess.Popen[bytes]) -> None:
    run(["docker", "kill", "--signal", "KILL", f"{project.name}-killed"])
    running.wait(60)
