"""The profile `heal`: it comes up healthy, heals what somebody breaks, and stops when told."""

import json

import pytest

from tests.docker.backups import until
from tests.docker.project import Project

LOST = "drop index ix_logs_timestamp"
INDEXES = "select count(*) from pg_index where indexrelid = to_regclass('ix_logs_timestamp')"
ATTEMPTS = "select agent, outcome from ops.healing_attempt order by started_at"


def up(project: Project) -> None:
    command = ("--profile", "heal", "up", "--build", "--detach", "--wait")
    result = project.compose(*command, check=False)
    if result.returncode:
        state = project.containers()["heal"]["State"]
        pytest.fail(f"{result.stderr}\n{json.dumps(state, indent=1)}\n{log(project)}")


def log(project: Project) -> str:
    return project.compose("logs", "--no-color", "heal").stdout


def switch(project: Project, *arguments: str) -> str:
    """As the how-to has it."""
    program = ("exec", "-T", "mcp", "mcp-server-atlas-pg", "heal")
    return project.compose(*program, *arguments).stdout


def is_there(project: Project) -> bool:
    return project.psql(f"{INDEXES} and indisvalid") == "1"


def test_what_an_administrator_breaks_comes_back_until_it_is_paused(project: Project) -> None:
    project.settings.update({"MCP_HEAL_INTERVAL_S": "1"})
    up(project)
    assert project.containers()["heal"]["State"]["Health"]["Status"] == "healthy"
    project.psql(LOST)
    until(lambda: is_there(project))

    assert "by Olena (mcp_audit)" in switch(project, "pause", "--reason", "test", "--by", "Olena")
    project.psql(LOST)
    until(lambda: "Healing is paused by Olena (mcp_audit)" in log(project))
    # It has asked again since, and does nothing.
    looked = project.compose("exec", "-T", "heal", "cat", "/tmp/heal").stdout
    until(lambda: project.compose("exec", "-T", "heal", "cat", "/tmp/heal").stdout != looked)
    assert project.psql(INDEXES) == "0"
    assert project.psql(ATTEMPTS) == "healer|healed"
    assert "healing is paused by Olena" in switch(project, "status")
    assert project.containers()["heal"]["State"]["Health"]["Status"] == "healthy"

    assert "it was paused by Olena" in switch(project, "resume")
    until(lambda: is_there(project))
    assert project.psql(ATTEMPTS) == "healer|healed\nhealer|healed"


def test_it_waits_for_a_database_that_restarts_and_ends_when_it_is_stopped(
    project: Project,
) -> None:
    project.settings.update({"MCP_HEAL_INTERVAL_S": "1"})
    up(project)
    project.compose("stop", "postgres")
    until(lambda: "cannot look" in log(project))
    project.compose("start", "postgres")
    until(lambda: project.containers()["postgres"]["State"]["Health"]["Status"] == "healthy")
    project.psql(LOST)
    until(lambda: is_there(project))
    state = project.containers()["heal"]
    assert (state["State"]["Running"], state["RestartCount"]) == (True, 0)
    project.compose("stop", "heal")
    assert project.containers()["heal"]["State"]["ExitCode"] == 7
