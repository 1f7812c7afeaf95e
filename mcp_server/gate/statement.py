"""What the gate lets through."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a statement names what it calls.

    ATTRIBUTE is `value.name`: PostgreSQL takes it for a column, or else calls the function of that
    name with the value. `(0.1::float8).pg_sleep` sleeps.
    """

    FUNCTION = "function"
    ATTRIBUTE = "attribute"
    OPERATOR = "operator"
    TYPE = "type"


@dataclass(frozen=True, slots=True)
class Call:
    """A name that may make PostgreSQL run a function; catalogue.py says which.

    Attributes:
        schema: None where the search_path decides.
        arguments: how many; None where the text does not show it (VARIADIC).
    """

    kind: Kind
    schema: str | None
    name: str
    arguments: int | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement that a tool takes.

    Attributes:
        text: what the agent sent, to the byte.
        operation: SELECT, UPDATE, ALTER TABLE, …
        name: the relation or index that a schema change makes or drops, without schema.
        in_transaction: False for CREATE and DROP INDEX CONCURRENTLY.
        calls: what it calls, for catalogue.py to judge before it runs.
    """

    text: str
    operation: str
    name: str | None = None
    in_transaction: bool = True
    calls: frozenset[Call] = frozenset()
