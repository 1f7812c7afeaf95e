"""postgres_schema_alter: add to the schema what is missing."""

from time import perf_counter
from typing import Self

from pydantic import Field, model_validator
from typing_extensions import TypedDict

from mcp_server.tools.tool import Access, Answer, Arguments, Tool, elapsed_ms


class SchemaAlterArguments(Arguments):
    """What postgres_schema_alter takes; the platform's catalogue says `query` for `ddl`."""

    ddl: str | None = Field(
        default=None,
        description="One ALTER TABLE … ADD COLUMN (or another harmless change), CREATE INDEX "
        "[CONCURRENTLY], DROP INDEX, CREATE TABLE or CREATE VIEW in schema public.",
    )
    query: str | None = Field(default=None, description="The same, under its other name.")
    confirm: bool = Field(
        default=False, description="Allow DROP of a table or view that was made through this tool."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.ddl is None) == (self.query is None):
            raise ValueError("give either ddl or query")
        return self

    @property
    def text(self) -> str:
        """The statement, under whichever name it came."""
        return self.ddl if self.ddl is not None else self.query or ""


class SchemaAlterResult(TypedDict):
    """What postgres_schema_alter answers."""

    success: bool
    ddl: str
    message: str
    operation: str
    duration_ms: float


async def run(access: Access, arguments: SchemaAlterArguments) -> Answer:
    """Judge, run and commit a schema change.

    Raises:
        Failure: the gate or PostgreSQL refused it.
    """
    start = perf_counter()
    statement = access.gate.schema(arguments.text, arguments.confirm)
    # The login could drop the platform's tables as well: it inherits from their owner.
    owned = statement.operation in ("DROP TABLE", "DROP VIEW")
    await access.sessions.change_schema(access.caller, statement, owned=owned)
    return Answer(
        {
            "success": True,
            "ddl": arguments.text.strip(),
            "message": "Schema updated successfully",
            "operation": statement.operation,
            "duration_ms": elapsed_ms(start),
        }
    )


TOOL = Tool(
    name="postgres_schema_alter",
    title="Change the schema",
    description=(
        "Run one schema change that loses nothing: ALTER TABLE … ADD COLUMN, ADD constraint, "
        "SET/DROP DEFAULT or NOT NULL, a wider TYPE; CREATE INDEX [CONCURRENTLY]; DROP INDEX; "
        "CREATE TABLE; CREATE VIEW … WITH (security_invoker=true). Schema public only."
    ),
    arguments=SchemaAlterArguments,
    result=SchemaAlterResult,
    run=run,
    read_only=False,
    destructive=True,
    idempotent=False,
    heals=True,
)
