"""What agents did: a chained record of every call, kept by PostgreSQL (sql/87_audit.sql).

Invariant: a write is run only after its beginning is on record, and what a record says of its
rows was committed with them.
"""

from mcp_server.audit.call import Call
from mcp_server.audit.recorder import Recorder

__all__ = ["Call", "Recorder"]
