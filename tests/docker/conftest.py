"""Fixtures: an engine that answers, base images, and the whole road started once."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from scripts.make_demo_database import make_demo_database
from tests.docker.project import ROOT, SECRET_NAMES, Project, run
from tests.docker.watch import CommandLines

HERE = Path(__file__).parent
BASE_IMAGES = ("debian:trixie-slim", "postgres:17-trixie")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs an engine, and images take their time to build."""
    missing = missing_tool() if any(HERE in item.path.parents for item in items) else None
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.docker)
            item.add_marker(pytest.mark.timeout(1200))
            if missing:
                item.add_marker(pytest.mark.skip(reason=missing))


def missing_tool() -> str | None:
    """What the Docker tests lack on this machine, and how to get it; None: nothing."""
    advice = "on Debian '.ci/docker-engine' installs and starts everything"
    if shutil.which("docker") is None:
        return f"Docker is not installed: no 'docker' on PATH ({advice})"
    for what, command in (
        ("No Docker engine answers", ["docker", "info"]),
        ("Docker's plugin compose v2 is missing", ["docker", "compose", "version"]),
        ("Docker's plugin buildx is missing", ["docker", "buildx", "version"]),
    ):
        result = run(command, check=False)
        if result.returncode != 0:
            said = (result.stderr or result.stdout).strip().splitlines()
            return f"{what} ({advice}): {said[-1] if said else ''}"
    return None


@pytest.fixture(scope="session")
def base_images() -> None:
    """The two base images: here already, pulled, or built from Debian's packages."""
    for image in BASE_IMAGES:
        if run(["docker", "image", "inspect", image], check=False).returncode == 0:
            continue
        if run(["docker", "pull", "--quiet", image], check=False).returncode != 0:
            run([str(ROOT / "docker" / "offline" / "build.sh")])


@pytest.fixture(scope="session")
def platform_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filled AtlasTrinity database, alone in a folder that any user may read."""
    folder = tmp_path_factory.mktemp("platform")
    folder.chmod(0o755)
    path = folder / "atlastrinity.db"
    make_demo_database(path, target_bytes=1_000_000)
    path.chmod(0o644)
    return path


@pytest.fixture(scope="session")
def command_lines() -> Iterator[CommandLines]:
    """Every command line seen on this machine while the road is walked."""
    with CommandLines() as seen:
        yield seen


@pytest.fixture(scope="session")
def road(
    base_images: None, platform_database: Path, command_lines: CommandLines
) -> Iterator[Project]:
    """The project as `docker compose up --build --wait` leaves it, from nothing."""
    project = Project(data=platform_database.parent)
    try:
        project.up()
        yield project
    finally:
        project.remove()


@pytest.fixture
def project(base_images: None, tmp_path: Path) -> Iterator[Project]:
    """A project of its own, with an empty data folder, not started."""
    tmp_path.chmod(0o755)
    (tmp_path / "data").mkdir()
    started = Project(data=tmp_path / "data")
    try:
        yield started
    finally:
        started.remove()


@pytest.fixture(scope="session")
def secrets(road: Project) -> dict[str, str]:
    """All secrets of the road, by name."""
    return {name: road.secret(name) for name in SECRET_NAMES}


def source_counts(path: Path) -> dict[str, int]:
    """Rows per table of an SQLite database."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        names = [
            str(row[0])
            for row in connection.execute(
                "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'"
            )
        ]
        return {
            name: int(connection.execute(f'select count(*) from "{name}"').fetchone()[0])
            for name in names
        }
