"""For whom a call is made, and how much of the database it may have.

Invariant: who calls is said by the transport (a token over HTTP, the launch argument over stdio),
never by an argument of a tool, and never by SQL.
"""

from dataclasses import dataclass

from mcp_server.pools import Capability
from mcp_server.settings import Settings


@dataclass(frozen=True)
class Budget:
    """The most that one call of an agent may take.

    Attributes:
        rows: rows of a result.
        bytes: JSON bytes of the rows of a result.
        statement_ms: milliseconds of a query or a write.
        schema_ms: milliseconds of a schema change.
        affected_rows: rows that are written, those of cascades included.
    """

    rows: int
    bytes: int
    statement_ms: int
    schema_ms: int
    affected_rows: int

    def milliseconds(self, capability: Capability) -> int:
        """The longest that a statement of a capability may take."""
        return self.schema_ms if capability is Capability.HEAL else self.statement_ms


@dataclass(frozen=True)
class Caller:
    """An agent at work.

    Attributes:
        agent: its name; app.agent in the database says what it sees.
        session: the session of the platform that it is bound to; empty where it is bound to none.
        capabilities: what it may do.
        budget: the most that one of its calls may take.
    """

    agent: str
    session: str
    capabilities: frozenset[Capability]
    budget: Budget


def caller_of(settings: Settings) -> Caller:
    """The one agent that a server speaks for whose transport tells no agents apart."""
    return Caller(
        agent=settings.agent,
        session=settings.session_id,
        capabilities=frozenset(Capability),
        budget=Budget(
            rows=settings.max_rows,
            bytes=settings.max_bytes,
            statement_ms=settings.statement_timeout_ms,
            schema_ms=settings.schema_timeout_ms,
            affected_rows=settings.max_affected,
        ),
    )
