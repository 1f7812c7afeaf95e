"""The server's settings: environment variables MCP_…, or `.env`. All of them are optional."""

from ipaddress import ip_address
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

#: Classes of which healing heals anything without a person; the others are always a person's.
HEALED_KINDS = frozenset({"schema", "data", "performance"})


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
    tls_cert: Path | None = Field(
        default=None, description="Certificate chain of --http, PEM; unset: no TLS."
    )
    tls_key: Path | None = Field(default=None, description="Its private key, PEM.")
    trusted_proxies: str = Field(
        default="",
        description="Addresses of proxies whose X-Forwarded-For is believed, by comma.",
    )
    max_connections: int = Field(
        default=200, ge=2, description="HTTP connections at the same time; further ones get 503."
    )
    client_timeout_ms: int = Field(
        default=15_000,
        ge=100,
        description="Longest that an HTTP client may take for a request's head, its body, or to "
        "take the answer, milliseconds.",
    )
    requests_per_second: float = Field(
        default=50, gt=0, description="HTTP requests of one agent, in the long run."
    )
    request_burst: int = Field(
        default=200, ge=1, description="HTTP requests of one agent at once, after a pause."
    )
    failed_logins_per_minute: int = Field(
        default=30, ge=1, description="Wrong tokens of one address, before it is told to wait."
    )
    oauth_issuer: str = Field(
        default="", description="OAuth: who issues access tokens, as in their claim iss."
    )
    oauth_jwks_url: str = Field(default="", description="OAuth: where the issuer's keys are.")
    oauth_resource: str = Field(
        default="", description="OAuth: the URL of this server's /mcp, as clients know it."
    )
    oauth_audience: str = Field(
        default="", description="OAuth: what tokens have in aud; empty: MCP_OAUTH_RESOURCE."
    )
    oauth_agent_claim: str = Field(
        default="agent", min_length=1, description="OAuth: the claim that names the agent."
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
    audit_arguments: Literal["hash", "store"] = Field(
        default="hash", description="Whether arguments of calls are recorded as text, or hashed."
    )
    list_aliases: bool = Field(
        default=False, description="List the unprefixed tool names too; they always work."
    )
    heal_agent: str = Field(
        default="healer", min_length=1, description="Whom 'heal watch' acts as."
    )
    heal_classes: str = Field(
        default="schema,performance",
        description="Classes of diagnoses that 'heal watch' heals, by comma.",
    )
    # Enough for a bad hour; a fault that comes back every ten minutes is a person's.
    heal_per_hour: int = Field(
        default=6, ge=1, description="Attempts that 'heal watch' may begin an hour."
    )
    heal_interval_s: float = Field(
        default=60, ge=1, description="Seconds between two looks of 'heal watch', more or less."
    )
    log_level: str = Field(
        default="info",
        pattern="^(debug|info|warning|error)$",
        description="Lowest level that is logged: debug, info, warning or error.",
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("MCP_TLS_CERT and MCP_TLS_KEY go together")
        urls = {
            "MCP_OAUTH_ISSUER": self.oauth_issuer,
            "MCP_OAUTH_JWKS_URL": self.oauth_jwks_url,
            "MCP_OAUTH_RESOURCE": self.oauth_resource,
        }
        if any(urls.values()):
            for name, url in urls.items():
                if not _is_safe_url(url):
                    raise ValueError(f"{name} must be an https URL, as the others of OAuth")
        if unknown := self.allowed_classes() - HEALED_KINDS:
            raise ValueError(
                f"MCP_HEAL_CLASSES names {', '.join(sorted(unknown))}; it may name "
                f"{', '.join(sorted(HEALED_KINDS))}"
            )
        return self

    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return _is_loopback(self.host)

    def allowed_classes(self) -> frozenset[str]:
        """The classes of diagnoses that a watcher heals."""
        return frozenset(_split(self.heal_classes))

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


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_safe_url(text: str) -> bool:
    """Whether nobody on the way can change what is read from it."""
    url = urlsplit(text)
    return url.scheme == "https" or (url.scheme == "http" and _is_loopback(url.hostname or ""))


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
