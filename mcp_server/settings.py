"""The server's settings: environment variables MCP_…, or `.env`. All of them are optional."""

from ipaddress import ip_address
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from database.errors import UsageError
from database.secrets import read_secret
from database.settings import Environment

TOKEN_SECRET = "mcp_token"  # noqa: S105 - the name of the secret's file


class Settings(BaseSettings):
    """The settings as the environment gives them."""

    model_config = SettingsConfigDict(
        env_file=".env", env_prefix="MCP_", env_ignore_empty=True, extra="ignore"
    )

    host: str = Field(default="127.0.0.1", description="Address that --http listens on.")
    port: int = Field(default=8765, ge=0, le=65535, description="Port that --http listens on.")
    allowed_hosts: str = Field(
        default="", description="Further Host headers, by comma; 'name:*' is a name with any port."
    )
    allowed_origins: str = Field(
        default="", description="Further values of the Origin header, by comma."
    )
    # Rows go out twice (text and structured copy), and clients refuse a message over 1 MiB.
    max_bytes: int = Field(default=400_000, ge=1_000, description="JSON bytes of rows per result.")
    max_rows: int = Field(default=1_000, ge=1, description="Rows per result.")
    # Images of so many rows cost a write a third of a second, and an undo a few seconds.
    max_affected: int = Field(
        default=10_000,
        ge=1,
        description="Rows that one call may write, with those of cascades.",
    )
    # The roles' own limits in sql/10_roles.sql hold as well; these can only be lower.
    max_temp_mb: int = Field(
        default=1_024, ge=1, description="Temporary files of a query or a write, megabytes."
    )
    max_schema_temp_mb: int = Field(
        default=4_096, ge=1, description="Temporary files of a schema change, megabytes."
    )
    max_concurrency: int = Field(
        default=8, ge=1, description="Calls of one agent at the same time; further ones wait."
    )
    statement_timeout_ms: int = Field(
        default=30_000, ge=10, description="Longest query or write, milliseconds."
    )
    schema_timeout_ms: int = Field(
        default=600_000, ge=10, description="Longest schema change, milliseconds."
    )
    lock_timeout_ms: int = Field(
        default=5_000, ge=1, description="Longest wait for a lock, milliseconds."
    )
    acquire_timeout_ms: int = Field(
        default=10_000, ge=10, description="Longest wait for a free connection, milliseconds."
    )
    # Three agents with a stdio server each stay below the roles' limits of 20, 10 and 4.
    read_connections: int = Field(default=6, ge=1, description="Connections for reading.")
    write_connections: int = Field(default=3, ge=1, description="Connections for writing.")
    heal_connections: int = Field(default=1, ge=1, description="Connections for schema changes.")
    agents_file: Path | None = Field(
        default=None, description="What each agent may do, see and take; unset: agents.toml here."
    )
    agent: str = Field(default="shared", min_length=1, description="Whom this server speaks for.")
    session_id: str = Field(
        default="", description="Session of the platform that this server is bound to; empty: all."
    )
    list_aliases: bool = Field(
        default=False, description="List the unprefixed tool names too; they always work."
    )
    log_level: str = Field(
        default="info",
        pattern="^(debug|info|warning|error)$",
        description="Lowest level that is logged: debug, info, warning or error.",
    )

    def connections(self) -> dict[str, int]:
        """How many connections each capability has."""
        return {
            "read": self.read_connections,
            "write": self.write_connections,
            "heal": self.heal_connections,
        }

    def hosts(self) -> list[str]:
        """Host headers that are answered: this machine's names, and those of MCP_ALLOWED_HOSTS."""
        local = ["127.0.0.1", "localhost", "[::1]"]
        return [*local, *(f"{name}:*" for name in local), *_split(self.allowed_hosts)]

    def origins(self) -> list[str]:
        """Origin headers that are answered; a client that is no browser sends none."""
        local = ["http://127.0.0.1:*", "http://localhost:*", "http://[::1]:*"]
        return [*local, *_split(self.allowed_origins)]


def bearer_token(settings: Settings) -> str | None:
    """The token that HTTP clients must show, from its secret file.

    Returns:
        None where there is none and only this machine can connect.

    Raises:
        UsageError: there is none, and other machines could connect.
    """
    secrets_dir = Environment().secrets_dir
    token = read_secret(secrets_dir, TOKEN_SECRET)
    if token is None and not _is_loopback(settings.host):
        raise UsageError(
            f"There is no token, and {settings.host} can be reached from other machines.",
            f"Write one to {secrets_dir / TOKEN_SECRET} or name its file in MCP_TOKEN_FILE "
            "('python -m database secrets' makes one), or listen on 127.0.0.1.",
        )
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
