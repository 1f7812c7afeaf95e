"""What the gate lets through."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement that a tool takes.

    Attributes:
        text: what the agent sent, to the byte.
        operation: SELECT, UPDATE, ALTER TABLE, …
        name: the relation or index that a schema change makes or drops, without schema.
        in_transaction: False for CREATE and DROP INDEX CONCURRENTLY.
    """

    text: str
    operation: str
    name: str | None = None
    in_transaction: bool = True
