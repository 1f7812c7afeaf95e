"""The platform's files are edited exactly where needed, and come back byte for byte."""

import asyncio
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from sqlalchemy import text
from sqlalchemy.dialects import plugins
from sqlalchemy.ext.asyncio import create_async_engine

from database.errors import UsageError
from database.settings import Server
from scripts.attach import env_text, json_text, yaml_text
from tests.programs import CHECKOUT, environment, run_python

plugins.register("atlas", "atlas_sqlalchemy", "AtlasPlugin")

SETTINGS = """\
# Синхронізовано: 2026-02-08
models:
  provider: "copilot"      # LLM provider
mcp_enhanced: { retry_attempts: 3 }

mcp:
  # === TIER 1 ===
  filesystem:          { enabled: true }
  sequential_thinking:
    enabled: true
    model: "gpt-4.1"   # Critical
  postgres:            { enabled: false }  # Experimental, disabled by default

security:
  dangerous_commands: [rm -rf, ":(){ :|:& };:"]
database_management:
  sqlite: { url: "sqlite+aiosqlite:///${CONFIG_ROOT}/atlastrinity.db" }
"""
SERVERS = """\
{
  "mcpServers": {
    "_comment_tier1": "=== TIER 1: MUST-HAVE (Ядро системи) ===",
    "memory": {"transport": "stdio", "command": "${PROJECT_ROOT}/.venv/bin/python3",
               "args": ["-m",   "src.mcp_server.memory_server"], "tier": 2},
    "postgres": {
      "command": "${PROJECT_ROOT}/.venv/bin/python3",
      "args": ["-m", "src.mcp_server.postgres_server"],
      "disabled": true, "tier": 3, "agents": ["tetyana"]
    },
    "github": {"env": {"GITHUB_TOKEN": "ghp_geheim1"}}
  },
  "_metadata": { "version": "5.1" }
}
"""
DOTENV = "COPILOT_API_KEY=ghu_geheim2\nexport DATABASE_URL='postgresql://a:geheim3@h/d'  # old\nX=1"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The platform's folder, as its first start leaves it; the path as macOS may have it."""
    folder = tmp_path / "Application Support" / "atlastrinity"
    (folder / "mcp").mkdir(parents=True)
    (folder / "config.yaml").write_text(SETTINGS)
    (folder / "mcp" / "config.json").write_text(SERVERS)
    (folder / ".env").write_text(DOTENV)
    (folder / ".env").chmod(0o600)
    return folder


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def command(config: Path, *options: object) -> list[str]:
    module = [sys.executable, "-m", "scripts.attach_agents", "--config-dir", str(config)]
    return module + [str(option) for option in options]


def attach(
    server: Server, config: Path, *options: object, code: int = 0
) -> subprocess.CompletedProcess[str]:
    ran = run_python(*command(config, *options)[1:], variables=environment(server))
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran


def test_attached_and_detached_every_byte_is_as_it_was(cluster: Server, config: Path) -> None:
    before = tree(config)
    attach(cluster, config)
    once = tree(config)
    assert "attached already" in attach(cluster, config).stdout
    assert tree(config) == once
    assert {name for name in before if once[name] != before[name]} == set(before)
    assert all(once[name][1] == mode for name, (_, mode) in before.items())
    attach(cluster, config, "--detach")
    assert tree(config) == before
    assert "Nothing was attached" in attach(cluster, config, "--detach").stdout


def test_only_the_lines_in_question_change(cluster: Server, config: Path) -> None:
    attach(cluster, config)
    url = yaml.safe_load((config / "config.yaml").read_text())["database"]["url"]
    kept = (config / "config.yaml").read_text().replace(f'database: {{ url: "{url}" }}\n', "")
    assert len(kept) < (config / "config.yaml").stat().st_size
    assert kept.replace("postgres:            { enabled: true }", "") == SETTINGS.replace(
        "postgres:            { enabled: false }", ""
    )
    servers = (config / "mcp" / "config.json").read_text()
    start = SERVERS.index('"postgres": ') + len('"postgres": ')
    assert servers.startswith(SERVERS[:start])
    assert servers.endswith(SERVERS[SERVERS.index(',\n    "github"') :])
    assert (config / ".env").read_text() == (
        f"COPILOT_API_KEY=ghu_geheim2\nexport DATABASE_URL={url}\nX=1"
    )


def test_a_dry_run_shows_no_secret_and_changes_nothing(cluster: Server, config: Path) -> None:
    before = tree(config)
    shown = attach(cluster, config, "--dry-run").stdout
    assert "+  postgres:            { enabled: true }" in shown
    assert "geheim" not in shown
    assert tree(config) == before
    attach(cluster, config)
    attached = tree(config)
    attach(cluster, config, "--detach", "--dry-run")
    assert tree(config) == attached


def test_the_platform_and_its_agents_reach_the_database(database: Server, config: Path) -> None:
    attach(database, config)
    url = yaml.safe_load((config / "config.yaml").read_text())["database"]["url"]
    secret = (database.secrets_dir / "atlas_password").read_text().strip()
    assert not any(secret.encode() in content for content, _ in tree(config).values())

    async def ask_as_platform() -> tuple[Any, ...]:
        engine = create_async_engine(url, pool_size=20, max_overflow=10, pool_pre_ping=True)
        async with engine.connect() as connection:
            row = (await connection.execute(text("select current_user, current_database()"))).one()
        await engine.dispose()
        return tuple(row)

    assert asyncio.run(ask_as_platform()) == ("atlas", database.database)

    entry = json.loads((config / "mcp" / "config.json").read_text())["mcpServers"]["postgres"]

    async def ask_as_agent() -> Any:
        # The platform hands its own environment down, with what it loaded from .env.
        inherited = {**os.environ, "DATABASE_URL": url, "PYTHONPATH": str(config)}
        parameters = StdioServerParameters(
            command=entry["command"], args=entry["args"], env={**inherited, **entry["env"]}
        )
        async with Client(stdio_client(parameters)) as client:
            result = await client.call_tool(
                "postgres_query", {"query": "select current_database() as name"}
            )
            return result.structured_content

    assert asyncio.run(ask_as_agent())["rows"] == [{"name": database.database}]


def test_the_orphan_killer_finds_the_server_and_not_postgresql(
    cluster: Server, config: Path
) -> None:
    attach(cluster, config)
    entry = json.loads((config / "mcp" / "config.json").read_text())["mcpServers"]["postgres"]
    line = " ".join([entry["command"], *entry["args"]])
    assert "mcp-server-" in line
    assert "src.mcp_server" not in line
    pattern = line.rsplit("/", maxsplit=1)[-1]
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    of_postgresql = [found for found in running.stdout.splitlines() if "postgres" in found.lower()]
    assert of_postgresql
    assert not [
        found for found in of_postgresql if re.search(pattern, found) and "bin/postgres" in found
    ]
    assert (entry["tier"], entry["disabled"], entry["transport"]) == (2, False, "stdio")
    assert entry["agents"] == ["atlas", "tetyana", "grisha"]
    assert entry["capabilities"]


def test_the_templates_of_a_checkout_follow(cluster: Server, config: Path, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    (checkout / "config").mkdir(parents=True)
    (checkout / "config" / "config.yaml.template").write_text(SETTINGS)
    (checkout / "config" / "mcp_servers.json.template").write_text(SERVERS)
    before = tree(checkout)
    attach(cluster, config, "--checkout", checkout)
    assert yaml.safe_load((checkout / "config" / "config.yaml.template").read_text())["database"]
    assert all(tree(checkout)[name] != before[name] for name in before)
    attach(cluster, config, "--detach")
    assert tree(checkout) == before


def test_the_agents_alone_or_the_database_alone(cluster: Server, config: Path) -> None:
    before = tree(config)
    attach(cluster, config, "--no-database", "--agent", "atlas", "--agent", "grisha")
    assert tree(config)[".env"] == before[".env"]
    assert "database" not in yaml.safe_load((config / "config.yaml").read_text())
    entry = json.loads((config / "mcp" / "config.json").read_text())["mcpServers"]["postgres"]
    assert entry["agents"] == ["atlas", "grisha"]
    attach(cluster, config, "--driver", "psycopg")
    assert b"postgresql+psycopg://" in tree(config)[".env"][0]
    attach(cluster, config, "--detach")
    assert tree(config) == before
    attach(cluster, config, "--no-mcp")
    assert tree(config)["mcp/config.json"] == before["mcp/config.json"]


def test_what_is_missing_is_made_or_said(cluster: Server, config: Path) -> None:
    (config / ".env").unlink()
    (config / "mcp" / "config.json").unlink()
    before = tree(config)
    assert "There is no" in attach(cluster, config).stdout
    assert (config / ".env").stat().st_mode & 0o777 == 0o600
    attach(cluster, config, "--detach")
    assert tree(config) == before
    gone = attach(cluster, config / "none", code=2)
    assert "--config-dir" in gone.stderr


def test_what_somebody_changed_since_is_not_thrown_away(cluster: Server, config: Path) -> None:
    before = tree(config)
    attach(cluster, config)
    with (config / ".env").open("a") as file:
        file.write("\nNEW=1\n")
    changed = tree(config)
    assert "was changed since" in attach(cluster, config, "--detach", code=2).stderr
    assert tree(config) == changed
    attach(cluster, config, "--detach", "--force")
    assert tree(config).pop(".env.before-detach")[0].endswith(b"\nNEW=1\n")
    (config / ".env.before-detach").unlink()
    assert tree(config) == before


def test_the_platforms_sync_of_templates_is_attached_again(cluster: Server, config: Path) -> None:
    attach(cluster, config)
    newer = SETTINGS + "new: true\n"
    (config / "config.yaml").write_text(newer)
    attach(cluster, config)
    assert "plugin=atlas" in (config / "config.yaml").read_text()
    attach(cluster, config, "--detach")
    assert (config / "config.yaml").read_text() == newer
    assert (config / ".env").read_text() == DOTENV


def test_a_broken_file_stops_it_before_anything_is_changed(cluster: Server, config: Path) -> None:
    for name, content in {
        "mcp/config.json": b'{"mcpServers": {',
        "config.yaml": b"mcp: [1\n",
        ".env": b"\xff\xfe",
    }.items():
        kept = (config / name).read_bytes()
        (config / name).write_bytes(content)
        before = tree(config)
        assert name in attach(cluster, config, code=2).stderr
        assert tree(config) == before
        (config / name).write_bytes(kept)


def test_a_link_stays_a_link(cluster: Server, config: Path, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.yaml"
    shutil.move(config / "config.yaml", real)
    (config / "config.yaml").symlink_to(real)
    attach(cluster, config)
    assert (config / "config.yaml").is_symlink()
    assert "plugin=atlas" in real.read_text()
    attach(cluster, config, "--detach")
    assert real.read_text() == SETTINGS


def test_a_folder_named_sqlite_is_refused(cluster: Server, config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sqlite secrets"
    shutil.copytree(cluster.secrets_dir, folder)
    moved = cluster.model_copy(update={"secrets_dir": folder})
    assert "sqlite" in attach(moved, config, code=2).stderr


@pytest.mark.parametrize("round_", range(8))
def test_killed_half_way_it_is_completed_or_undone(
    cluster: Server, config: Path, round_: int
) -> None:
    before = tree(config)
    for options in ((), ("--detach",)):
        job = subprocess.Popen(
            command(config, "--no-check", *options),
            cwd=CHECKOUT,
            env=environment(cluster),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert job.stdout is not None
        # The first line comes just before the first write.
        job.stdout.readline()
        time.sleep(random.Random(round_).random() * 0.02)
        job.send_signal(signal.SIGKILL)
        job.wait()
        # Every file is whole.
        yaml.safe_load((config / "config.yaml").read_text())
        json.loads((config / "mcp" / "config.json").read_text())
        if round_ % 2:
            break
        attach(cluster, config)
        assert "attached already" in attach(cluster, config).stdout
    attach(cluster, config, "--detach")
    assert tree(config) == before


YAMLS = {
    "block": ("a: 1\ndatabase:\n  url: x  # why\nb: 2\n", 'url: "N"  # why\nb: 2'),
    "no url": ("database:\n    pool: 1\n", 'database:\n    url: "N"\n    pool: 1\n'),
    "empty": ("database:\nb: 2\n", 'database:\n  url: "N"\nb: 2\n'),
    "empty with comment": ("database:  # none yet\nb: 2\n", "b: 2\n"),
    "flow": ("database: {pool: 1}\n", 'database: {url: "N", pool: 1}\n'),
    "null": ("database: {url: }\n", 'url: "N"'),
    "no end of line": ("a: 1", 'a: 1\ndatabase: { url: "N" }\n'),
    "windows": ("a: 1\r\n", 'a: 1\r\ndatabase: { url: "N" }\r\n'),
    "nothing": ("", 'database: { url: "N" }\n'),
    "comment alone": ("# c\n", '# c\ndatabase: { url: "N" }\n'),
    "mark": ("\ufeffdatabase: {url: x}\n", '\ufeffdatabase: {url: "N"}\n'),
    "folded": ("database:\n  url: >-\n    a\n    b\nb: 2\n", "b: 2\n"),
}


@pytest.mark.parametrize("name", YAMLS)
def test_yaml_is_edited_in_place(name: str) -> None:
    source, expected = YAMLS[name]
    edited = yaml_text.set_value(source, ("database", "url"), "N")
    assert expected in edited
    loaded = yaml.safe_load(edited)
    assert loaded["database"]["url"] == "N"
    assert {**(yaml.safe_load(source) or {}), "database": loaded["database"]} == loaded
    assert yaml_text.set_value(edited, ("database", "url"), "N") == edited


@pytest.mark.parametrize(
    "source",
    [
        "database: [1]\n",
        "database: {url: 1, url: 2}\n",
        "x: &a {url: 1}\ndatabase: *a\n",
        "- 1\n",
        "database: {\n",
        "a: 1\n--- \nb: 2\n",
        "database: text\n",
    ],
)
def test_yaml_that_cannot_be_edited_safely_is_refused(source: str) -> None:
    with pytest.raises(UsageError):
        yaml_text.set_value(source, ("database", "url"), "N")


@pytest.mark.parametrize(
    "source",
    [
        "{}",
        '{"a":1}',
        '{"m": {}}',
        '{\n\t"m": {\n\t\t"x": [1, {"p": "}"}]\n\t}\n}\n',
        '{"m": {"p": null, "q": "\\"}"}}',
        '{\r\n  "m": {\r\n    "q": 1.50\r\n  }\r\n}\r\n',
    ],
)
def test_json_is_edited_in_place(source: str) -> None:
    edited = json_text.set_value(source, ("m", "p"), {"k": ["ї"]})
    before, after = json.loads(source), json.loads(edited)
    assert after == {**before, "m": {**before.get("m", {}), "p": {"k": ["ї"]}}}
    assert json_text.set_value(edited, ("m", "p"), {"k": ["ї"]}) == edited
    assert ("\r\n" in source) == ("\r\n" in edited)
    assert "1.50" in edited or "1.50" not in source


@pytest.mark.parametrize("source", ["", "[]", '{"m": []}', '{"m": {}, "m": {}}', '{"a": 1,}'])
def test_json_that_cannot_be_edited_safely_is_refused(source: str) -> None:
    with pytest.raises(UsageError):
        json_text.set_value(source, ("m", "p"), 1)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", "D=v\n"),
        ("A=1", "A=1\nD=v\n"),
        ("A=1\r\n", "A=1\r\nD=v\r\n"),
        ("D=1\nD = 2\nE=3", "D=1\nD=v\nE=3"),
        ("# D=1\nXD=2\n", "# D=1\nXD=2\nD=v\n"),
        ("  export D='a'\n", "  export D=v\n"),
    ],
)
def test_dotenv_is_edited_in_place(source: str, expected: str) -> None:
    assert env_text.set_value(source, "D", "v") == expected
    assert env_text.set_value(expected, "D", "v") == expected
