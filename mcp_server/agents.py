"""The agents file: what each agent may do, whose rows it sees, and how much it may take.

It is the one place where this is said. What it says of sessions and temporary space is sealed into
the context of each transaction, so PostgreSQL enforces it, and no SQL changes it; the table
app.agent can narrow it further, and never widen it.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from database.errors import UsageError
from mcp_server.caller import Budget, Caller
from mcp_server.pools import Capability
from mcp_server.settings import Settings

DEFAULT_FILE = Path(__file__).with_name("agents.toml")

#: Lower case, so that no two agents look alike.
AgentName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
SessionName = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,200}$")]

_WORDS = {capability.word: capability for capability in Capability}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Budget(_Strict):
    """What differs from the settings; the least values are those of the settings."""

    rows: int | None = Field(default=None, ge=1)
    bytes: int | None = Field(default=None, ge=1_000)
    statement_ms: int | None = Field(default=None, ge=10)
    schema_ms: int | None = Field(default=None, ge=10)
    concurrency: int | None = Field(default=None, ge=1)
    temp_mb: int | None = Field(default=None, ge=1)
    schema_temp_mb: int | None = Field(default=None, ge=1)
    affected_rows: int | None = Field(default=None, ge=1)


class _Agent(_Strict):
    capabilities: list[Literal["read", "write", "heal"]]
    sessions: SessionName
    budget: _Budget = _Budget()


class _File(_Strict):
    agents: dict[AgentName, _Agent]


@dataclass(frozen=True)
class Agents:
    """The agents of a file, with the server's settings where the file says nothing."""

    source: Path
    settings: Settings
    entries: dict[str, _Agent]

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def caller(
        self, name: str, *, scopes: frozenset[Capability] | None = None, session: str = ""
    ) -> Caller:
        """An agent at work.

        Args:
            scopes: what its token allows; None allows all that the agent may do.
            session: what its token is bound to; empty for none.

        Raises:
            UsageError: there is no such agent.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise UsageError(
                f"There is no agent {name!r} in {self.source}.",
                f"It names {', '.join(self.entries)}. Choose one of them (--agent, MCP_AGENT), or "
                "add it to a file of your own (MCP_AGENTS_FILE).",
            )
        capabilities = frozenset(_WORDS[word] for word in entry.capabilities)
        fixed = entry.sessions if entry.sessions not in ("every", "bound") else ""
        return Caller(
            agent=name,
            session=fixed or session or self.settings.session_id,
            capabilities=capabilities if scopes is None else capabilities & scopes,
            budget=self._budget(entry.budget),
            sessions="every" if entry.sessions == "every" else "bound",
        )

    def _budget(self, own: _Budget) -> Budget:
        settings = self.settings
        limits = {
            "rows": settings.max_rows,
            "bytes": settings.max_bytes,
            "statement_ms": settings.statement_timeout_ms,
            "schema_ms": settings.schema_timeout_ms,
            "concurrency": settings.max_concurrency,
            "temp_mb": settings.max_temp_mb,
            "schema_temp_mb": settings.max_schema_temp_mb,
            "affected_rows": settings.max_affected,
        }
        return Budget(**limits | own.model_dump(exclude_none=True))


def load_agents(settings: Settings) -> Agents:
    """The agents of MCP_AGENTS_FILE, or of the file that comes with the server.

    Raises:
        UsageError: the file cannot be read, or says something that is not understood.
    """
    path = settings.agents_file or DEFAULT_FILE
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"Cannot read the agents file {path}: {error.strerror}.",
            "Name another with MCP_AGENTS_FILE, or none to use the one that comes with the server.",
        ) from error
    except ValueError as error:  # no TOML (an agent that is there twice included), or no UTF-8
        raise _wrong(path, str(error)) from error
    try:
        return Agents(path, settings, _File.model_validate(content).agents)
    except ValidationError as error:
        raise _wrong(path, "; ".join(map(_problem, error.errors()))) from error


def _problem(item: Any) -> str:  # noqa: ANN401 - pydantic's
    where = ".".join(str(part) for part in item["loc"] if part != "[key]")
    if item["type"] == "extra_forbidden":
        return f"{where}: there is no such key"
    return f"{where}: {item['msg']}"


def _wrong(path: Path, problem: str) -> UsageError:
    return UsageError(
        f"The agents file {path} is wrong: {problem}.",
        "docs/reference/settings.md says what it may hold.",
    )
