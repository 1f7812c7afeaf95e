"""A restore leads to the moment that was named: not one transaction less, not one more."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.backups import Place, numbers, place, restored
from tests.programs import dump, query, run_module


@dataclass
class Story:
    """A server's life: two backups, and moments between transactions."""

    place: Place
    #: Number written → its transaction.
    xids: dict[int, str]
    #: Number written → a time after it, and before the next.
    times: dict[int, str]
    first: str


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    with place() as found:
        first = found.take().id
        told = Story(found, {}, {}, first)
        for number in range(1, 7):
            told.xids[number] = found.write(number)
            told.times[number] = found.now()
            if number == 2:
                assert found.run("backup", "mark", "after two").returncode == 0
            if number == 3:
                found.take()
        assert found.run("backup", "archive").returncode == 0
        yield told


def test_latest_is_everything_that_was_archived(story: Story) -> None:
    with restored(story.place) as server:
        assert numbers(server) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    "number", [2, *(pytest.param(other, marks=pytest.mark.deep) for other in (1, 3, 4, 5))]
)
def test_time(story: Story, number: int) -> None:
    with restored(story.place, "--time", story.times[number].replace(" ", "T")) as server:
        assert numbers(server) == list(range(1, number + 1))


@pytest.mark.parametrize(
    "number", [3, *(pytest.param(other, marks=pytest.mark.deep) for other in (1, 5))]
)
@pytest.mark.parametrize("exclusive", [False, True], ids=["inclusive", "exclusive"])
def test_xid(story: Story, number: int, exclusive: bool) -> None:
    options = ["--exclusive"] if exclusive else []
    with restored(story.place, "--xid", story.xids[number], *options) as server:
        assert numbers(server) == list(range(1, number + (0 if exclusive else 1)))


def test_name_from_before_the_newest_backup(story: Story) -> None:
    with restored(story.place, "--name", "after two") as server:
        assert numbers(server) == [1, 2]


@pytest.mark.deep
def test_end_of_a_backup_itself(story: Story) -> None:
    with restored(story.place, "--immediate") as server:
        assert numbers(server) == [1, 2, 3]
    with restored(story.place, "--immediate", "--backup", story.first) as server:
        assert numbers(server) == []


def test_older_backup_leads_to_the_latest_moment_too(story: Story) -> None:
    with restored(story.place, "--backup", story.first) as server:
        assert numbers(server) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--time", "2020-01-01"], 8, "No backup is from before the target"),
        pytest.param(
            ["--time", "2100-01-01"], 8, "does not contain the target", marks=pytest.mark.deep
        ),
        (["--time", "soon"], 2, "is no time"),
        (["--xid", "3"], 8, "No backup is from before the target"),
        pytest.param(
            ["--xid", "4000000000"], 8, "does not contain the target", marks=pytest.mark.deep
        ),
        (["--xid", "-1"], 2, "is no transaction"),
        (["--name", "never"], 8, "does not contain the target"),
        (["--timeline", "7"], 8, "There is no timeline 7"),
        (["--backup", "never"], 8, "There is no backup never"),
        (["--time", "2020-01-01", "--name", "x"], 2, "exclude each other"),
        (["--exclusive"], 2, "belongs to --time or --xid"),
    ],
)
def test_impossible_target_is_said_and_leaves_nothing(
    story: Story, arguments: list[str], code: int, said: str
) -> None:
    folder = story.place.repository.directory.parent / "elsewhere"
    result = story.place.run("restore", *arguments, "--directory", folder)
    assert result.returncode == code, result.stderr
    assert said in result.stderr
    assert "→" in result.stderr
    assert not (folder / "data/PG_VERSION").exists()
    assert not (folder / ".restoring").exists()


def test_running_server_is_never_restored_over(story: Story) -> None:
    before = numbers(story.place.server)
    result = story.place.run("restore")
    assert result.returncode == 4
    assert "A server runs in" in result.stderr
    assert numbers(story.place.server) == before
    assert not (story.place.instance.directory / ".restoring").exists()


def test_folder_of_something_else_is_refused(story: Story) -> None:
    folder = story.place.repository.directory.parent / "holiday"
    folder.mkdir()
    (folder / "photos").mkdir()
    result = story.place.run("restore", "--directory", folder)
    assert result.returncode == 2
    assert "it holds photos" in result.stderr
    assert [path.name for path in folder.iterdir()] == ["photos"]


@pytest.mark.deep
def test_another_host_has_secrets_of_its_own(story: Story) -> None:
    """Moving: the logins of the restored server have the passwords of the new place."""
    with restored(story.place) as server:
        assert server.password("atlas") != story.place.server.password("atlas")
        for role in ("atlas", "mcp_read", "migrator"):
            assert query(server, "select current_user::text", role=role) == [(role,)]


@pytest.fixture
def own() -> Iterator[Place]:
    with place() as found:
        yield found


def test_untouched_database_is_the_same_after_loss_and_restore(own: Place) -> None:
    query(own.server, "insert into written select n from generate_series(1, 5000) as n")
    before = dump(own.server)
    own.take()
    secrets = own.instance.directory / "secrets"
    own.instance.stop(mode="immediate")
    shutil.rmtree(own.instance.data)
    assert own.run("restore").returncode == 0
    assert secrets.exists()
    started = run_module("database", "start", "--directory", own.instance.directory)
    assert started.returncode == 0, started.stderr
    assert dump(own.server) == before


@pytest.mark.deep
def test_old_cluster_stays_beside_the_new_one(own: Place) -> None:
    own.write(1)
    own.take()
    own.write(2)
    own.instance.stop()
    assert own.run("restore").returncode == 0
    (old,) = own.instance.directory.glob("data.before-*")
    own.instance.start()
    assert numbers(own.server) == [1], "what was not archived is not in the archive"
    own.instance.stop()
    shutil.rmtree(own.instance.data)
    old.rename(own.instance.data)
    own.instance.start()
    assert numbers(own.server) == [1, 2]


def test_life_goes_on_after_a_restore_and_each_timeline_can_be_chosen(own: Place) -> None:
    own.take()
    own.write(1)
    assert own.run("backup", "mark", "fork").returncode == 0
    own.write(2)
    lost = own.take().id
    own.instance.stop()
    assert own.run("restore", "--name", "fork").returncode == 0
    own.instance.start()
    assert own.run("backup", "archive").returncode == 8, "the archive has to begin anew"
    assert "take a backup" in own.run("backup", "check").stderr
    own.take()
    own.write(3)
    assert own.run("backup", "archive").returncode == 0
    assert own.check()["problems"] == []
    with restored(own) as server:
        assert numbers(server) == [1, 3]
    with restored(own, "--timeline", 1) as server:
        assert numbers(server) == [1, 2]
    wrong = own.run(
        *("restore", "--backup", lost, "--timeline", 2),
        *("--directory", own.repository.directory.parent / "wrong"),
    )
    assert wrong.returncode == 8
    assert "No backup leads to timeline 2" in wrong.stderr
    verified = own.run("backup", "verify", lost)
    assert verified.returncode == 0, verified.stderr
