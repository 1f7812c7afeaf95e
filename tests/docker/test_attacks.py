"""The attack list through what is shipped: the containers, over HTTP, with their own settings."""

import json
from pathlib import Path
from typing import Any

import anyio

from tests.docker.agent import call, over_http
from tests.docker.project import Project

TOOLS = {
    "query": ("postgres_query", "query"),
    "execute": ("postgres_execute", "query"),
    "ddl": ("postgres_schema_alter", "ddl"),
}


def contents(road: Project) -> list[str]:
    """Roles, schema and rows; not the records of calls, which are there to grow."""
    inside = ("exec", "-T", "postgres")
    roles = ("pg_dumpall", "-U", "postgres", "--restrict-key=test", "--roles-only")
    rows = ("pg_dump", "-U", "postgres", "--restrict-key=test", "-d", "atlastrinity_prod")
    return [
        road.compose(*inside, *command).stdout
        for command in (roles, (*rows, "--exclude-table-data=audit.*"))
    ]


def test_every_attack_is_refused_and_changes_nothing(
    road: Project, secrets: dict[str, str], shared: Path
) -> None:
    lines = (shared / "attacks" / "attacks.jsonl").read_text().splitlines()
    attacks: list[dict[str, str]] = [json.loads(line) for line in lines]
    answers: dict[str, dict[str, Any]] = {}

    async def attack_all() -> None:
        async with over_http(road, secrets["mcp_token"]) as client:
            for attack in attacks:
                if attack["expectation"] in ("reject", "db_error"):
                    tool, argument = TOOLS[attack["tool"]]
                    answers[attack["id"]] = await call(client, tool, **{argument: attack["sql"]})
            health = await call(client, "postgres_health_check")
            assert health["status"] == "healthy"

    before = contents(road)
    anyio.run(attack_all)
    assert len(answers) > 150
    assert [name for name, answer in answers.items() if answer["success"]] == []
    rejects = {attack["id"] for attack in attacks if attack["expectation"] == "reject"}
    by = {name: answers[name].get("refused_by") for name in rejects}
    assert [name for name in rejects if by[name] != "gate"] == []
    assert contents(road) == before
    recorded = road.psql("select count(*) from audit.call where event = 'end'")
    assert int(recorded) >= len(answers)
    verified = road.compose("exec", "-T", "mcp", "mcp-server-atlas-pg", "audit", "verify")
    assert verified.stdout
