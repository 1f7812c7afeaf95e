"""pgBackRest beside PostgreSQL: every kind of moment is reached, and what leads nowhere is
refused."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

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
)
from tests.docker.project import SECRET_NAMES, Project, docker


@pytest.fixture(scope="module")
def backed(base_images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with the profile `backup`, healthy: so its first backup is there."""
    folder = tmp_path_factory.mktemp("backed")
    folder.chmod(0o755)
    project = Project(data=folder, settings=dict(BY_HAND))
    try:
        up(project)
        yield project
    finally:
        project.remove()


@dataclass
class Story:
    """Numbers written one after the other, and the moments between them."""

    project: Project
    #: Number → the transaction that wrote it, and its commit time.
    xids: dict[int, str]
    times: dict[int, str]

    def restored(self, *arguments: str) -> list[int]:
        """The numbers that are there after a restore on the first timeline."""
        self.project.compose("stop")
        restore(self.project, "--timeline", "1", *arguments)
        up(self.project, "postgres")
        return numbers(self.project)


@pytest.fixture(scope="module")
def story(backed: Project) -> Story:
    """1, then a mark, then 2, 3 and 4, each in a transaction and at a time that are known."""
    backed.psql("create table n (i int primary key)")
    xids: dict[int, str] = {}
    times: dict[int, str] = {}
    for number in (1, 2, 3, 4):
        written = "insert into n values ({}) returning pg_current_xact_id()"
        xids[number] = backed.psql(written.format(number)).splitlines()[0]
        # Between this number's commit and the next one's.
        times[number] = backed.psql("select clock_timestamp()").replace(" ", "T")
        if number == 1:
            backup(backed, "mark", "after one")
    backup(backed, "archive")
    return Story(backed, xids, times)


def test_up_with_the_profile_waits_for_the_first_backup(backed: Project) -> None:
    assert backed.containers()["backup"]["State"]["Health"]["Status"] == "healthy"
    (first,) = listed(backed)
    assert first["kind"] == "full"
    assert first["point"]
    assert problems(backed) == []


def test_kinds_are_taken_and_build_on_each_other(backed: Project) -> None:
    before = len(listed(backed))
    for kind in ("diff", "incr"):
        backup(backed, "take", "--kind", kind)
    taken = listed(backed)[before:]
    assert [entry["kind"] for entry in taken] == ["diff", "incr"]
    result = backup(backed, "verify", taken[-1]["id"])
    assert "pg_amcheck: as it should be" in result.stdout
    assert "sql/checks: as it should be" in result.stdout
    assert listed(backed)[-1]["verified"].startswith("verified")


def test_a_running_server_is_not_restored_over(story: Story) -> None:
    before = numbers(story.project)
    result = restore(story.project, check=False)
    assert result.returncode == 4
    assert "docker compose stop" in result.stderr
    assert numbers(story.project) == before


def test_one_looks_at_the_past_while_the_server_goes_on(story: Story) -> None:
    folder = "/var/lib/atlas-scratch/past"
    restore(story.project, "--name", "after one", "--directory", folder)
    looked = inside(
        story.project,
        "backup",
        f"export POSTGRES_HOST= EMBEDDED_DIR={folder}; python -m database start >/dev/null;"
        " python -m database psql --role postgres -- -Atc 'select i from n; show archive_mode';"
        " python -m database stop >/dev/null; rm -r $EMBEDDED_DIR",
    )
    assert looked.split() == ["1", "off"]
    assert numbers(story.project) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (lambda _: ("--name", "after one"), [1]),
        (lambda s: ("--time", s.times[2]), [1, 2]),
        (lambda s: ("--time", s.times[2], "--exclusive"), [1, 2]),
        (lambda s: ("--xid", s.xids[3]), [1, 2, 3]),
        (lambda s: ("--xid", s.xids[3], "--exclusive"), [1, 2]),
        (lambda _: (), [1, 2, 3, 4]),
    ],
    ids=["name", "time", "time exclusive", "xid", "xid exclusive", "latest"],
)
def test_every_kind_of_moment_is_reached(
    story: Story, arguments: Callable[[Story], tuple[str, ...]], expected: list[int]
) -> None:
    assert story.restored(*arguments(story)) == expected


def test_each_restore_began_a_timeline_of_its_own(story: Story) -> None:
    timelines = inside(story.project, "backup", "atlas-pgbackrest repo-ls archive/atlas/17-1")
    # One of each restore above, but perhaps the last: its server has just been started.
    assert timelines.count(".history") >= 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--timeline", "77"), "There is no timeline 77"),
        (("--name", "never"), "does not contain the target"),
        (("--time", "2020-01-01"), "No backup is from before"),
        (("--backup", "20200101-000000F"), "There is no backup 20200101-000000F"),
    ],
)
def test_what_leads_nowhere_changes_nothing(
    story: Story, arguments: tuple[str, ...], said: str
) -> None:
    story.project.compose("stop")
    result = restore(story.project, *arguments, check=False)
    assert result.returncode == 8
    assert said in result.stderr
    up(story.project, "postgres")
    assert numbers(story.project)


def test_the_new_timeline_gets_a_backup_at_once(story: Story) -> None:
    timeline = int(story.project.psql("select timeline_id from pg_control_checkpoint()"))
    assert timeline > 1
    # The service went on all the time, most of which there was no server: it must not have become
    # unhealthy by that, which ends this command.
    up(story.project)
    until(lambda: bool(listed(story.project)[-1]["timeline"] == timeline))
    assert problems(story.project) == []


def test_two_servers_never_share_the_volume(backed: Project) -> None:
    second = backed.compose("run", "--rm", "-T", "--no-deps", "postgres", check=False)
    assert second.returncode == 1
    assert "another server, or a restore, is at work in this volume" in second.stderr
    assert backed.psql("select 1") == "1"


def test_no_secret_is_said_or_shown(backed: Project) -> None:
    secrets = {name: backed.secret(name) for name in SECRET_NAMES}
    container = backed.containers()["backup"]
    shown = json.dumps(container) + backed.compose("logs", "--no-color").stdout
    shown += docker("top", container["Id"], "-eo", "pid,args")
    assert [name for name, value in secrets.items() if value in shown] == []
    # Nothing in the repository can be read without the key.
    found = inside(
        backed, "backup", f"grep -rlaE 'CREATE TABLE|agent_messages' {REPOSITORY} || true"
    )
    assert found == ""
