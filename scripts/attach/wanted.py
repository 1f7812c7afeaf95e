"""What the platform's files shall say: which file, which key, which value."""

import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from database.errors import UsageError
from database.settings import Server
from scripts.attach import env_text, json_text, yaml_text

#: The name that the platform's template has, disabled. Tools are called by it.
SERVER_NAME = "postgres"
#: The platform kills what is left over of a server, by `pkill -9 -f`: whatever bears the server's
#: name, as PostgreSQL's own processes do; or, where the command contains `mcp-server-`, whatever
#: bears what follows the command's last slash. So this is the command, and nothing follows it.
LAUNCHER = "mcp-server-atlas-pg"


class Driver(StrEnum):
    """What the platform reaches PostgreSQL by."""

    ASYNCPG = "asyncpg"
    PSYCOPG = "psycopg"


class File(NamedTuple):
    """One file of the platform, and how its text becomes the wanted one."""

    path: Path
    edit: Callable[[str], str]
    #: Made where it is missing; others are the platform's to make, at its first start.
    is_made: bool = False


def files(
    config: Path, checkout: Path | None, *, url: str | None, entry: dict[str, Any] | None
) -> list[File]:
    """The files to edit: the configuration's, and a checkout's templates.

    `url` None leaves the database as it is, `entry` None the MCP servers.
    """
    places = [(config / "config.yaml", config / "mcp" / "config.json")]
    if checkout is not None:
        folder = checkout / "config"
        places.append((folder / "config.yaml.template", folder / "mcp_servers.json.template"))
    found: list[File] = []
    for settings, servers in places:
        found.append(File(settings, lambda text: _settings(text, url, entry)))
        if entry is not None:
            found.append(
                File(
                    servers,
                    lambda text: json_text.set_value(text, ("mcpServers", SERVER_NAME), entry),
                )
            )
    if url is not None:
        # It survives the platform's sync of templates, which rewrites the others.
        named = File(
            config / ".env",
            lambda text: env_text.set_value(text, "DATABASE_URL", url),
            is_made=True,
        )
        found.append(named)
    return found


def database_url(server: Server, driver: Driver) -> str:
    """The platform's URL. It names the file of the password; the password is nowhere.

    Raises:
        UsageError: there is no such file, or the platform would misread the URL.
    """
    secret = (server.secrets_dir / "atlas_password").absolute()
    if server.password("atlas") is None:
        raise UsageError(
            f"There is no password of atlas: {secret}.",
            "Set SECRETS_DIR to the folder that holds it.",
        )
    parameters = {"plugin": "atlas", "secret": str(secret)}
    if server.sslmode not in ("prefer", "disable"):
        parameters["ssl" if driver is Driver.ASYNCPG else "sslmode"] = server.sslmode
    if server.sslrootcert is not None:
        parameters["sslrootcert"] = str(server.sslrootcert.absolute())
    place = f"{server.host}:{server.port}/{quote(server.database)}"
    url = f"postgresql+{driver}://atlas@{place}?{urlencode(parameters, safe='/', quote_via=quote)}"
    if "sqlite" in url.lower():
        raise UsageError(
            f"The platform takes any URL with the word sqlite in it for SQLite's: {url}",
            "Move the secrets to a folder of another name.",
        )
    return url


def server_entry(server: Server, agents: tuple[str, ...]) -> dict[str, Any]:
    """The platform's entry of the MCP server.

    Raises:
        UsageError: the launcher is not beside this Python, or the platform would expand a path.
    """
    launcher = Path(sys.executable).with_name(LAUNCHER)
    if not launcher.exists():
        raise UsageError(
            f"There is no {launcher}.", "Install the bundle into this environment: pip install -e ."
        )
    environment = {
        # The platform hands down its own, which is SQLAlchemy's.
        "DATABASE_URL": "",
        "POSTGRES_HOST": server.host,
        "POSTGRES_PORT": str(server.port),
        "POSTGRES_DB": server.database,
        "POSTGRES_SSLMODE": server.sslmode,
        "SECRETS_DIR": str(server.secrets_dir.absolute()),
    }
    if server.sslrootcert is not None:
        environment["POSTGRES_SSLROOTCERT"] = str(server.sslrootcert.absolute())
    for text in (str(launcher), *environment.values()):
        if "${" in text:
            raise UsageError(f"The platform would expand {text}.", "Choose a path without ${.")
    return {
        "transport": "stdio",
        "command": str(launcher),
        "args": [],
        "env": environment,
        "connect_timeout": 30,
        "disabled": False,
        "tier": 2,
        "category": "database",
        "agents": list(agents),
        "description": "PostgreSQL with the platform's data: query, execute, schema, health",
        "capabilities": [
            "Execute read-only SQL queries",
            "Execute write queries (INSERT/UPDATE/DELETE)",
            "Schema modifications (ALTER TABLE, CREATE INDEX)",
            "Table introspection",
            "Health monitoring",
        ],
    }


def _settings(text: str, url: str | None, entry: dict[str, Any] | None) -> str:
    if entry is not None:
        text = yaml_text.set_value(text, ("mcp", SERVER_NAME, "enabled"), True)
    if url is not None:
        text = yaml_text.set_value(text, ("database", "url"), url)
    return text
