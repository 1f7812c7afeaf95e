"""What a handler is given: the table of handlers, not mypy, knows which node it is."""

from typing import Any, TypeAlias

#: A node of sqlglot's tree, of the type under which the handler stands in the table.
Node: TypeAlias = Any
