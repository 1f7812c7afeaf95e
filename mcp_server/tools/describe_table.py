"""postgres_describe_table: what a table looks like."""

from time import perf_counter

from pydantic import Field
from typing_extensions import TypedDict

from mcp_server.failure import Failure
from mcp_server.tool import Access, Answer, Arguments, Tool, elapsed_ms


class DescribeTableArguments(Arguments):
    """What postgres_describe_table takes."""

    table_name: str = Field(description="Table or view, without its schema.")
    schema_name: str = Field(default="public", alias="schema", description="Its schema.")


class ColumnDescription(TypedDict):
    """A column. `is_nullable` is YES or NO, as in information_schema."""

    column_name: str
    data_type: str
    is_nullable: str
    column_default: str | None
    character_maximum_length: int | None
    identity: str | None


class UniqueKey(TypedDict):
    """A unique constraint."""

    name: str
    columns: list[str]


class ForeignKey(TypedDict):
    """A reference to another table, or of another table to this one."""

    name: str
    columns: list[str]
    table: str
    table_columns: list[str]


class Check(TypedDict):
    """A check constraint."""

    name: str
    definition: str


class Index(TypedDict):
    """An index; `valid` is false where building it failed."""

    name: str
    definition: str
    valid: bool


class DescribeTableResult(TypedDict):
    """What postgres_describe_table answers."""

    success: bool
    table: str
    schema: str
    columns: list[ColumnDescription]
    primary_key: list[str]
    unique_keys: list[UniqueKey]
    foreign_keys: list[ForeignKey]
    referenced_by: list[ForeignKey]
    checks: list[Check]
    indexes: list[Index]
    duration_ms: float


async def run(access: Access, arguments: DescribeTableArguments) -> Answer:
    """Describe a table or view.

    Raises:
        Failure: 42P01 where there is no such table.
    """
    start = perf_counter()
    records = await access.sessions.catalogue(
        access.caller, "describe_table", arguments.schema_name, arguments.table_name
    )
    if not records:
        raise Failure(
            f"There is no table {arguments.table_name} in schema {arguments.schema_name}.",
            sqlstate="42P01",
            hint="See postgres_list_tables for the tables.",
            refused_by="database",
        )
    return Answer(
        {
            "success": True,
            "table": arguments.table_name,
            "schema": arguments.schema_name,
            **dict(records[0]),
            "duration_ms": elapsed_ms(start),
        }
    )


TOOL = Tool(
    name="postgres_describe_table",
    title="Describe a table",
    description=(
        "Describe a table: columns with type, nullability and default, keys, what it refers to "
        "and what refers to it, checks and indexes."
    ),
    arguments=DescribeTableArguments,
    result=DescribeTableResult,
    run=run,
)
