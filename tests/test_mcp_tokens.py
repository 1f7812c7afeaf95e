"""Tokens of agents: issued by the command, hashed at rest, taken by a server that runs."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from database.settings import Server
from mcp_server.agents import load_agents
from mcp_server.http.tokens import Token, TokensFile, parse_line
from mcp_server.pools import Capability
from mcp_server.settings import Settings
from tests.http_requests import INITIALIZE, bearer, call, post, token_of, tools_of
from tests.mcp_clients import http_server
from tests.programs import run_module

READS = {
    "postgres_query",
    "postgres_list_tables",
    "postgres_describe_table",
    "postgres_health_check",
    "postgres_call_status",
    "postgres_diagnose",
    "postgres_drift",
    "postgres_analyze_query_performance",
}
HEALS = {
    "postgres_schema_alter",
    "postgres_heal",
    "postgres_fix_missing_column",
    "postgres_create_performance_index",
}
ADD_FILE = (
    "insert into files (path, name, size, mtime, is_dir, last_scanned)"
    " values ('p', 'n', 1, 1, false, now())"
)
HASH = "0" * 64


@dataclass
class Site:
    """A server that runs, and the secrets that it and the command share."""

    server: Server
    url: str
    file: Path

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_module("mcp_server", "token", *arguments, server=self.server)

    def issue(self, *arguments: str) -> str:
        result = self.command("issue", *arguments)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def status(self, token: str) -> int:
        return post(self.url, INITIALIZE, **bearer(token))[0]


@pytest.fixture
def site(database: Server, tmp_path: Path) -> Iterator[Site]:
    secrets = tmp_path / "secrets"
    shutil.copytree(database.secrets_dir, secrets)
    server = database.model_copy(update={"secrets_dir": secrets})
    with http_server(server, tmp_path / "log") as url:
        yield Site(server, url, secrets / "mcp_tokens")


def test_a_token_speaks_for_its_agent_and_is_stored_as_a_hash(site: Site) -> None:
    token = site.issue("grisha")
    assert re.fullmatch(r"apg_[\w-]{43}", token)
    assert token not in site.file.read_text()
    assert sha256(token.encode()).hexdigest() in site.file.read_text()
    assert site.file.stat().st_mode & 0o777 == 0o600
    assert tools_of(site.url, token) == READS
    assert call(site.url, token, "query", query="show app.context")["success"]
    refused = call(site.url, token, "execute", query=ADD_FILE)
    assert (refused["sqlstate"], refused["refused_by"]) == ("42501", "gate")
    assert "grisha may not write" in refused["error"]
    # Another agent at the same server, at the same time; and the one token of before.
    atlas = site.issue("atlas")
    assert call(site.url, atlas, "execute", query=ADD_FILE)["affected"] == 1
    assert len(tools_of(site.url, atlas)) > len(READS)
    assert len(tools_of(site.url, token_of(site.server))) > len(READS)


def test_scopes_narrow_what_an_agent_may_do(site: Site) -> None:
    token = site.issue("atlas", "--scope", "read", "--scope", "heal")
    assert tools_of(site.url, token) == READS | HEALS
    assert call(site.url, token, "execute", query=ADD_FILE)["sqlstate"] == "42501"
    refused = site.command("issue", "grisha", "--scope", "write")
    assert refused.returncode == 2
    assert "grisha may not write" in refused.stderr
    # Written by hand it gives no more either.
    site.file.write_text(f"grisha read,write {sha256(b'x').hexdigest()}\n")
    assert tools_of(site.url, "x") == READS


def test_a_token_can_be_bound_to_a_session(site: Site) -> None:
    session = "aaaaaaaa-0000-4000-8000-000000000001"
    token = site.issue("atlas", "--session", session)
    row = call(site.url, token, "query", query="show app.context")["rows"][0]["app.context"]
    assert f'"session": "{session}"' in row


def test_rotation_needs_no_restart(site: Site) -> None:
    old = site.issue("grisha")
    assert site.status(old) == 200
    new = site.issue("grisha")
    assert {site.status(old), site.status(new)} == {200}, "both, while clients change over"
    listed = site.command("list").stdout
    ids = re.findall(r"^([0-9a-f]{12})  grisha  read  issued=\S+$", listed, re.MULTILINE)
    assert len(ids) == 2
    assert not [token for token in (old, new) if token in listed]
    assert site.command("revoke", ids[0]).returncode == 0
    assert (site.status(old), site.status(new)) == (401, 200)
    site.file.unlink()
    assert (site.status(new), site.status(token_of(site.server))) == (401, 200)


def test_a_token_ends_with_its_time(site: Site) -> None:
    token = site.issue("grisha", "--days", "1")
    assert site.status(token) == 200
    past = (datetime.now(UTC) - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    site.file.write_text(re.sub(r"expires=\S+", f"expires={past}", site.file.read_text()))
    assert site.status(token) == 401
    assert "expired" in site.command("list").stdout


def test_a_wrong_line_locks_out_nobody_else_and_nobody_in(site: Site, tmp_path: Path) -> None:
    token = site.issue("grisha")
    good = site.file.read_text()
    for line in (
        "grisha",
        f"nobody read {HASH}",
        f"grisha reed {HASH}",
        f"grisha read {HASH} expires=tomorrow",
        f"grisha read {HASH} expires=2099-01-01",
        f"grisha read {HASH} colour=red",
        f"grisha read {sha256(b'y').hexdigest().upper()}",
        "grisha read \N{GREEK SMALL LETTER ALPHA}" + "0" * 63,
    ):
        site.file.write_text(f"{line}\n{good}")
        assert (site.status(token), site.status("y")) == (200, 401), line
    assert (tmp_path / "log").read_text().count("token ignored") == 8
    site.file.write_bytes(b"\xff\xfe" + good.encode())
    assert site.status(token) == 401, "what cannot be read lets nobody in"


def test_what_is_no_token_of_ours_is_refused(site: Site) -> None:
    token = site.issue("grisha")
    digest = sha256(token.encode()).hexdigest()
    for other in (digest, token[:-1], token + "x", token.upper(), "", " ", "x" * 7_000, "ї"):
        assert post(site.url, INITIALIZE, Authorization=f"Bearer {other}".encode())[0] == 401
    assert site.status(token) == 200


def test_the_command_explains_what_is_wrong(site: Site, tmp_path: Path) -> None:
    for arguments, part in (
        (("issue", "nobody"), "There is no agent"),
        (("issue", "grisha", "--scope", "all"), "scopes are read, write and heal"),
        (("issue", "grisha", "--session", "two words"), "A session is"),
        (("revoke", "0" * 12), "There is no token"),
        (("revoke", ""), "There is no token"),
    ):
        result = site.command(*arguments)
        assert result.returncode == 2
        assert part in " ".join(result.stderr.split())
        assert "Traceback" not in result.stderr
    nowhere = run_module(
        "mcp_server", "token", "issue", "grisha", MCP_TOKENS_FILE="/proc/none/tokens"
    )
    assert nowhere.returncode == 2
    assert "Cannot change the tokens file" in nowhere.stderr


def test_two_that_issue_at_once_lose_no_token(tmp_path: Path) -> None:
    import os
    import sys

    environment = {**os.environ, "MCP_TOKENS_FILE": str(tmp_path / "tokens")}
    command = [sys.executable, "-m", "mcp_server", "token", "issue", "grisha"]
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    tokens = {process.communicate()[0].strip() for process in started}
    file = TokensFile(tmp_path / "tokens", load_agents(Settings()))
    assert len(tokens) == 4
    assert all(file.find(token) for token in tokens)


def test_a_line_is_read_as_it_was_written() -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    token = Token(
        "atlas", frozenset({Capability.HEAL, Capability.READ}), HASH, now, now, "current_session"
    )
    assert parse_line(token.line(), load_agents(Settings())) == token
    plain = Token("grisha", frozenset({Capability.READ}), HASH)
    assert plain.line() == f"grisha  read  {HASH}"
    assert parse_line(plain.line(), load_agents(Settings())) == plain
