"""The gate: what each tool takes, decided on PostgreSQL's own grammar.

The gate explains, the database enforces: whatever it refuses, the role behind the tool refuses
or contains as well. What it judges are exactly the bytes that are sent.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mcp_server.gate.catalogue import Catalogue
from mcp_server.gate.execute import judge_execute
from mcp_server.gate.query import judge_query
from mcp_server.gate.schema import judge_schema
from mcp_server.gate.statement import Statement


@dataclass(frozen=True)
class Gate:
    """The three judges. Tests replace one to show what the database does on its own."""

    query: Callable[[str], Statement] = judge_query
    execute: Callable[[str, bool], Statement] = judge_execute
    schema: Callable[[str, bool], Statement] = judge_schema


__all__ = ["Catalogue", "Gate", "Statement"]
