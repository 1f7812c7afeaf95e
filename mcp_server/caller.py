"""For whom a call is made, and how much of the database it may have.

Invariant: who calls is said by the transport (a token over HTTP, the launch argument over stdio),
never by an argument of a tool, and never by SQL.
"""

from dataclasses import dataclass
from typing import Literal

from mcp_server.failure import Failure, refuse
from mcp_server.pools import Capability


@dataclass(frozen=True)
class Budget:
    """The most that an agent may take; all but `concurrency` count for one call.

    Attributes:
        rows: rows of a result.
        bytes: JSON bytes of the rows of a result.
        statement_ms: milliseconds of a query or a write.
        schema_ms: milliseconds of a schema change.
        concurrency: calls at the same time, in one server process.
        temp_mb: megabytes of temporary files of a query or a write, per process of PostgreSQL.
        schema_temp_mb: the same of a schema change.
        affected_rows: rows that are written, those of cascades included.
    """

    rows: int
    bytes: int
    statement_ms: int
    schema_ms: int
    concurrency: int
    temp_mb: int
    schema_temp_mb: int
    affected_rows: int

    def milliseconds(self, capability: Capability) -> int:
        """The longest that a statement of a capability may take."""
        return self.schema_ms if capability is Capability.HEAL else self.statement_ms

    def temporary_kb(self, capability: Capability) -> int:
        """The kilobytes of temporary files that a statement of a capability may write."""
        return 1024 * (self.schema_temp_mb if capability is Capability.HEAL else self.temp_mb)


@dataclass(frozen=True)
class Caller:
    """An agent at work.

    Attributes:
        agent: its name.
        session: the session of the platform that it is bound to; empty where it is bound to none.
        capabilities: what it may do.
        budget: the most that it may take.
        sessions: which sessions it sees while it is bound to none: "every" one, or ("bound") none.
        heals_per_hour: attempts at healing that it may begin an hour; None for any number.
    """

    agent: str
    session: str
    capabilities: frozenset[Capability]
    budget: Budget
    sessions: Literal["every", "bound"] = "every"
    heals_per_hour: int | None = None

    def check(self, capability: Capability) -> None:
        """Refuse what the agent may not do.

        Raises:
            Failure: 42501.
        """
        if capability not in self.capabilities:
            raise self._may_not(capability)

    def _may_not(self, capability: Capability) -> Failure:
        has = ", ".join(sorted(one.word for one in self.capabilities)) or "none"
        return refuse(
            f"{self.agent} may not {capability.word} here; its capabilities: {has}.",
            "Leave it to an agent that may. A person decides in the agents file (MCP_AGENTS_FILE) "
            "and by the scopes of tokens.",
            "42501",
        )
