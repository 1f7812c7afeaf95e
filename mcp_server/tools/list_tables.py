"""postgres_list_tables: what there is."""

from time import perf_counter

from pydantic import Field
from typing_extensions import TypedDict

from mcp_server.failure import Failure
from mcp_server.tool import Access, Answer, Arguments, Tool, elapsed_ms


class ListTablesArguments(Arguments):
    """What postgres_list_tables takes."""

    # Named schema_name here, since a pydantic model has a method called schema.
    schema_name: str = Field(default="public", alias="schema", description="Schema to list.")


class Table(TypedDict):
    """A table or view. `estimated_rows` is PostgreSQL's estimate, null where it has none yet."""

    table_name: str
    table_type: str
    estimated_rows: int | None


class ListTablesResult(TypedDict):
    """What postgres_list_tables answers."""

    success: bool
    tables: list[Table]
    schema: str
    count: int
    duration_ms: float


async def run(access: Access, arguments: ListTablesArguments) -> Answer:
    """List the tables and views of a schema.

    Raises:
        Failure: 3F000 where there is no such schema.
    """
    start = perf_counter()
    records = await access.sessions.catalogue(access.caller, "list_tables", arguments.schema_name)
    if not records:
        raise Failure(
            f"There is no schema {arguments.schema_name}.",
            sqlstate="3F000",
            hint="The platform's tables are in schema public.",
            refused_by="database",
        )
    tables = [dict(record) for record in records if record["table_name"] is not None]
    return Answer(
        {
            "success": True,
            "tables": tables,
            "schema": arguments.schema_name,
            "count": len(tables),
            "duration_ms": elapsed_ms(start),
        }
    )


TOOL = Tool(
    name="postgres_list_tables",
    title="List tables",
    description="List the tables and views of a schema with their estimated number of rows.",
    arguments=ListTablesArguments,
    result=ListTablesResult,
    run=run,
)
