"""postgres_diagnose: what an error means, and what would heal it."""

from time import perf_counter
from typing import Self

from pydantic import Field, model_validator
from typing_extensions import TypedDict

from mcp_server.healing.errors import Seen, read_error
from mcp_server.healing.heal import diagnosed
from mcp_server.tool import Access, Answer, Arguments, Tool, elapsed_ms


class ErrorArguments(Arguments):
    """An error, in one of its forms."""

    error: str | None = Field(
        default=None,
        min_length=1,
        max_length=100_000,
        description="The error as it was logged or answered.",
    )
    sqlstate: str | None = Field(
        default=None, pattern="^[0-9A-Z]{5}$", description="Its SQLSTATE, where it is known."
    )
    statement: str | None = Field(default=None, description="The statement that failed or is slow.")

    def seen(self) -> Seen | None:
        """The error as it was read; None where none was given."""
        if self.error is None and self.sqlstate is None:
            return None
        seen = read_error(self.error or self.sqlstate or "")
        return Seen(seen.text, self.sqlstate or seen.sqlstate, seen.names, seen.statement)


class DiagnoseArguments(ErrorArguments):
    """What postgres_diagnose takes."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.error is None and self.sqlstate is None:
            raise ValueError("give error or sqlstate")
        return self


# "class" is a keyword of Python's, and the word of the interface.
Diagnosed = TypedDict(
    "Diagnosed",
    {
        "sqlstate": str | None,
        "class": str,
        "cause": str,
        "names": dict[str, str],
        "fix": str,
        "sql": list[str],
        "risk": str,
        "alone": bool,
        "alert": bool,
    },
)


class DiagnoseResult(TypedDict):
    """What postgres_diagnose answers."""

    success: bool
    diagnosis: Diagnosed
    duration_ms: float


async def run(access: Access, arguments: DiagnoseArguments) -> Answer:
    """Understand an error; changes nothing.

    Raises:
        Failure: PostgreSQL cannot be asked.
    """
    start = perf_counter()
    diagnosis = await diagnosed(access, arguments.seen(), arguments.statement)
    return Answer(
        {"success": True, "diagnosis": diagnosis.fields(), "duration_ms": elapsed_ms(start)}
    )


TOOL = Tool(
    name="postgres_diagnose",
    title="Diagnose an error",
    description="What a database error means: cause, class (schema, query, data, performance, "
    "transient, capacity, permission, corruption, unknown), the fix with exact SQL, its risk, and "
    "whether postgres_heal may do it alone. Changes nothing.",
    arguments=DiagnoseArguments,
    result=DiagnoseResult,
    run=run,
)
