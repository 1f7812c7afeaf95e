"""postgres_schema_alter: add to the schema what is missing."""

from time import perf_counter
from typing import NotRequired, Self

from pydantic import Field, model_validator
from typing_extensions import TypedDict

from mcp_server.failure import refuse
from mcp_server.tool import Access, Answer, Arguments, Tool, elapsed_ms
from mcp_server.tools.written import Lock, ask, idempotency_key, told


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
    idempotency_key: str | None = idempotency_key()
    dry_run: bool = Field(default=False, description="Run it, report locks, and roll it back.")

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
    call_id: str
    ddl: str
    message: str
    operation: str
    duration_ms: float
    replayed: NotRequired[bool]
    dry_run: NotRequired[bool]
    written: NotRequired[int]
    locks: NotRequired[list[Lock]]


async def run(access: Access, arguments: SchemaAlterArguments) -> Answer:
    """Judge, run and commit a schema change.

    Raises:
        Failure: the gate or PostgreSQL refused it.
    """
    start = perf_counter()
    statement = access.gate.schema(arguments.text, arguments.confirm)
    # The login could drop the platform's tables as well: it inherits from their owner.
    owned = statement.operation in ("DROP TABLE", "DROP VIEW")
    call = ask(access.call, arguments.idempotency_key, dry_run=arguments.dry_run)
    if not statement.in_transaction:
        _check_concurrently(arguments)
    written = await access.sessions.change_schema(call, statement, owned=owned)
    return Answer(
        {
            "success": True,
            **told(call, written),
            "ddl": arguments.text.strip(),
            "message": "Tried and rolled back"
            if arguments.dry_run
            else "Schema updated successfully",
            "operation": statement.operation,
            "duration_ms": elapsed_ms(start),
        }
    )


def _check_concurrently(arguments: SchemaAlterArguments) -> None:
    if arguments.dry_run:
        raise refuse(
            "CONCURRENTLY runs in no transaction, and cannot be rolled back.",
            "Leave CONCURRENTLY out for the dry run; it then locks the table against writes.",
        )
    if arguments.idempotency_key is not None:
        raise refuse(
            "CONCURRENTLY runs in no transaction, and cannot be tied to a key.",
            "Leave idempotency_key out: an index of the same name is built only once.",
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
