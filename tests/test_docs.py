"""A command, option, setting or exit code without documentation fails here."""

import re
from pathlib import Path

import pytest
import typer
import typer.main
from pydantic_settings import BaseSettings

import benchmarks.migration.__main__
import database.__main__
import mcp_server.audit.command
import mcp_server.heal_command
import mcp_server.token_command
import migration.__main__
import scripts.attach_agents
import scripts.backup
import scripts.check_database_size
import scripts.demo
import scripts.make_demo_database
import scripts.migrate_sqlite_to_postgres
import scripts.restore
from backup.settings import BackupSettings
from database.errors import EXIT_CODES
from database.settings import Environment
from mcp_server.settings import Settings
from migration.settings import MigrationSettings
from tests.programs import CHECKOUT

REFERENCE = "\n".join(path.read_text() for path in (CHECKOUT / "docs/reference").glob("*.md"))
EXAMPLE = (CHECKOUT / ".env.example").read_text()
COMPOSE = (CHECKOUT / "compose.yaml").read_text()
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
APPLICATIONS = {
    "benchmark": benchmarks.migration.__main__.app,
    "database": database.__main__.app,
    "audit": mcp_server.audit.command.app,
    "migration": migration.__main__.app,
    "heal": mcp_server.heal_command.app,
    "token": mcp_server.token_command.app,
    "backup": scripts.backup.app,
    "restore": scripts.restore.app,
    "attach_agents": scripts.attach_agents.app,
    "check_database_size": scripts.check_database_size.app,
    "demo": scripts.demo.app,
    "make_demo_database": scripts.make_demo_database.app,
    "migrate_sqlite_to_postgres": scripts.migrate_sqlite_to_postgres.app,
}


def words(application: typer.Typer) -> set[str]:
    """Every command and long option of an application, those of its sub-commands included."""
    root = typer.main.get_command(application)
    commands = dict(getattr(root, "commands", {"": root}))
    for name, command in list(commands.items()):
        inner = getattr(command, "commands", {})
        commands |= {f"{name} {verb}": entry for verb, entry in inner.items()}
    options = {
        text
        for command in commands.values()
        for parameter in command.params
        for text in parameter.opts
        if text.startswith("--") and text != "--help"
    }
    return {name.split()[-1] for name in commands if name} | options


def variables() -> set[str]:
    classes: list[type[BaseSettings]] = [BackupSettings, Environment, MigrationSettings, Settings]
    return {
        f"{kind.model_config.get('env_prefix', '')}{name}".upper()
        for kind in classes
        for name in kind.model_fields
    }


@pytest.mark.parametrize("name", APPLICATIONS)
def test_every_command_and_option_is_documented(name: str) -> None:
    missing = {word for word in words(APPLICATIONS[name]) if word not in REFERENCE}
    assert not missing


def test_every_setting_is_documented() -> None:
    compose = set(re.findall(r"\$\{([A-Z_]+)", COMPOSE))
    settings = (CHECKOUT / "docs/reference/settings.md").read_text()
    assert {name for name in variables() | compose if f"`{name}`" not in settings} == set()
    assert {name for name in variables() | compose if f"{name}=" not in EXAMPLE} == set()


def test_exit_codes_are_the_ones_in_the_code() -> None:
    page = (CHECKOUT / "docs/reference/exit-codes.md").read_text()
    rows = dict(re.findall(r"^\| (\d) \| (.+) \|$", page, re.MULTILINE))
    assert {int(code): cause for code, cause in rows.items()} == EXIT_CODES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_every_make_command_says_what_it_does() -> None:
    text = (CHECKOUT / "Makefile").read_text()
    named = re.search(r"^\.PHONY: (.+)$", text, re.MULTILINE)
    assert named is not None
    described = set(re.findall(r"^([a-z-]+):.*## .+$", text, re.MULTILINE))
    assert set(named[1].split()) == described
