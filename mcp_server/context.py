"""Tells PostgreSQL for whom a transaction acts, in a way that SQL cannot forge.

Invariant: a sealed context is good for one transaction of one backend, and nobody without the key
makes another. The policies of sql/60_policies.sql show rows to nobody else. So it may be seen: what
an agent reads of it, or finds in a log, is worth nothing in any other transaction.
"""

import hmac
import json
from typing import Any

from mcp_server.audit.call import Call
from mcp_server.caller import Caller
from mcp_server.connection import AgentConnection
from mcp_server.failure import Failure
from mcp_server.sql import sql_text


async def bind(connection: AgentConnection, caller: Caller) -> None:
    """Bind the connection's transaction to an agent.

    Raises:
        Failure: there is no key, or the database has another one.
    """
    sealed = await _sealed(connection, caller)
    if not await connection.fetchval(sql_text("set_context"), sealed):
        raise _refused("PostgreSQL does not accept the agent's context: it has another key.")


async def bind_write(connection: AgentConnection, call: Call) -> dict[str, Any]:
    """Bind the connection's transaction to an agent, and to the call that it may write as.

    Returns:
        `replayed`; where it is true, the idempotency key was used before, and there are `call_id`,
        `request_sha256` and `result` of then. The transaction writes nothing in that case.

    Raises:
        Failure: there is no key, or the database has another one.
    """
    caller = call.caller
    said: dict[str, str | int] = {
        "call": str(call.id),
        "affected_rows": caller.budget.affected_rows,
    }
    if call.idempotency_key is not None:
        said |= {
            "idempotency_key": call.idempotency_key,
            "request_sha256": call.request_sha256(),
        }
    sealed = await _sealed(connection, caller, **said)
    begun = await connection.fetchval(sql_text("audit_begin_write"), sealed)
    if begun is None:
        raise _refused("PostgreSQL does not accept the agent's context: it has another key.")
    return dict(begun)


async def _sealed(connection: AgentConnection, caller: Caller, **said: str | int) -> str:
    if connection.context_key is None:
        raise _refused("There is no key to seal the agent's context with.")
    mark = await connection.fetchval(sql_text("transaction_mark"))
    said |= {
        "sessions": caller.sessions,
        "temporary_kb": caller.budget.temporary_kb(connection.capability),
    }
    return sealed_context(connection.context_key, caller.agent, caller.session, mark, **said)


def sealed_context(key: str, agent: str, session: str, transaction: str, **said: str | int) -> str:
    """What app.context() of sql/50_functions.sql verifies: a seal of 64 digits, then the context.

    Args:
        transaction: what sql/transaction_mark.sql answers in it.
        said: what else the database is to know: of the caller, and of a write.
    """
    context = json.dumps({"agent": agent, "session": session, "transaction": transaction, **said})
    return hmac.digest(key.encode(), context.encode(), "sha256").hex() + context


def _refused(message: str) -> Failure:
    return Failure(
        message,
        sqlstate="28000",
        hint="A person runs 'python -m database secrets' and 'python -m database apply', and gives "
        "this server the same mcp_context_key.",
    )
