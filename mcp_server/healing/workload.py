"""Heals a statement that the health check found slow: by an index, where one helps.

Invariant: what is planned is the text that PostgreSQL keeps of the statement, with $1, $2, … in the
place of values; nothing of it comes from the caller, and it is never run.
"""

from typing import Any

from mcp_server.failure import Failure
from mcp_server.healing.attempt import Outcome
from mcp_server.healing.built import statement_hash
from mcp_server.healing.performance import improve, plan_of
from mcp_server.health import Finding
from mcp_server.tool import Access

#: What did not help is not built again for as long as this: a build costs more than the statement.
_BELIEVED_DAYS = "7"


async def speed_up(
    access: Access, finding: Finding, done: dict[str, Any], *, dry_run: bool
) -> Outcome:
    """Make a slow statement cheaper, or say why a person has to.

    Args:
        done: gets what was seen and done.

    Raises:
        Failure: the catalogue cannot be read.
    """
    statement = str(finding["evidence"]["statement"])
    try:
        await plan_of(access, statement)
    except Failure as failure:
        done["error"] = {"sqlstate": failure.sqlstate, "error": failure.error}
        done["words"] = (
            "Without its values it cannot be planned with the rights of an agent: a person looks "
            "at it, by EXPLAIN with values as the application sends them."
        )
        return "left_to_a_person"
    records = await access.sessions.catalogue(
        access.caller, "tried_indexes", statement_hash(statement), _BELIEVED_DAYS
    )
    tried = {str(record["definition"]) for record in records}
    outcome, report = await improve(access, statement, dry_run=dry_run, tried=tried)
    done |= report
    return outcome
