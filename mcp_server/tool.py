"""What a tool is: its name, what it takes, what it answers, and what it does."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import orjson
from mcp_types import Tool as ListedTool
from mcp_types import ToolAnnotations
from pydantic import BaseModel, ConfigDict, TypeAdapter

from mcp_server.agents import Agents
from mcp_server.audit import Call, Recorder
from mcp_server.caller import Caller
from mcp_server.gate import Gate
from mcp_server.pools import Capability, Pools
from mcp_server.rows import Rows
from mcp_server.session import Sessions
from mcp_server.settings import Settings


class Arguments(BaseModel):
    """Arguments of a tool; an unknown one is an error, not something to guess about."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=False)


@dataclass(frozen=True)
class Access:
    """What tools work with."""

    settings: Settings
    agents: Agents
    #: Of this call; before there is one, whom the process speaks for.
    caller: Caller
    gate: Gate
    pools: Pools
    sessions: Sessions
    recorder: Recorder
    #: The call that is being answered.
    current: Call | None = None

    @property
    def call(self) -> Call:
        """The call that is being answered."""
        assert self.current is not None, "tools run within a call"
        return self.current

    def limit(self, asked: int | None) -> int:
        """The number of rows to return: what was asked for, at most what the budget allows."""
        return min(asked or self.caller.budget.rows, self.caller.budget.rows)


@dataclass
class Answer:
    """A tool's result.

    Attributes:
        fields: the structured result, JSON values throughout.
        rows: where `fields["rows"]` was encoded already, so that it is done once.
    """

    fields: dict[str, Any]
    rows: Rows | None = None

    def text(self) -> str:
        """The result as one JSON text."""
        if self.rows is None:
            return orjson.dumps(self.fields).decode()
        return orjson.dumps({**self.fields, "rows": orjson.Fragment(self.rows.text)}).decode()


@dataclass(frozen=True)
class Tool:
    """A tool and its schemas.

    Attributes:
        arguments: model of what it takes.
        result: TypedDict of what it answers on success; on failure see `Failure.fields`.
        heals: it changes the schema.
    """

    name: str
    title: str
    description: str
    arguments: type[Arguments]
    result: Any
    run: Callable[[Access, Any], Awaitable[Answer]]
    read_only: bool = True
    destructive: bool = False
    idempotent: bool = True
    failure_fields: Mapping[str, object] = field(default_factory=dict)
    heals: bool = False

    @property
    def capability(self) -> Capability:
        """What an agent must be able to do to have this tool."""
        if self.heals:
            return Capability.HEAL
        return Capability.READ if self.read_only else Capability.WRITE

    def listed(self) -> ListedTool:
        """The entry of tools/list."""
        return ListedTool(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=_concise(self.arguments.model_json_schema()),
            output_schema=_concise(TypeAdapter(self.result).json_schema()),
            annotations=ToolAnnotations(
                read_only_hint=self.read_only,
                destructive_hint=self.destructive,
                idempotent_hint=self.idempotent,
                open_world_hint=False,
            ),
        )


def elapsed_ms(start: float) -> float:
    """Milliseconds since `start`, a reading of `time.perf_counter`."""
    return round((perf_counter() - start) * 1000, 3)


def _concise(schema: Any, *, in_properties: bool = False) -> Any:  # noqa: ANN401 - a JSON schema
    """A schema without what pydantic adds for people: every word of it costs each agent tokens.

    Titles repeat the names, docstrings of models speak to programmers, and what is not required
    needs no default of null; descriptions of single fields stay.
    """
    if isinstance(schema, list):
        return [_concise(value) for value in schema]
    if not isinstance(schema, dict):
        return schema
    if in_properties:
        return {name: _concise(value) for name, value in schema.items()}
    return {
        key: _concise(value, in_properties=key in ("properties", "$defs"))
        for key, value in schema.items()
        if key != "title"
        and not (key == "description" and "properties" in schema)
        and (key, value) not in (("additionalProperties", True), ("default", None))
    }
