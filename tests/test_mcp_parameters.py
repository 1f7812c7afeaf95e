"""Parameters: bound by the protocol, whatever is in them; what fits no type is said plainly."""

import json
from pathlib import Path
from typing import Any

import pytest

from database.settings import Server
from tests.mcp_clients import agent
from tests.programs import query

pytestmark = pytest.mark.anyio

ID = "aaaaaaaa-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("type_", "value", "answer"),
    [
        ("int", 1, 1),
        ("int", "1", 1),
        ("bigint", 2**63 - 1, 2**63 - 1),
        ("smallint", 2.0, 2),
        ("boolean", True, True),
        ("boolean", "off", False),
        ("float8", 1.5, 1.5),
        ("float8", "NaN", "NaN"),
        ("float4", 1, 1.0),
        ("numeric", "1.10", "1.10"),
        ("numeric", 10**30, str(10**30)),
        ("text", "'; drop table tasks; --", "'; drop table tasks; --"),
        ("text", 5, "5"),
        ("text", {"a": [1, {"b": None}]}, '{"a":[1,{"b":null}]}'),
        ("jsonb", {"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
        ("jsonb", [1, "x"], [1, "x"]),
        ("jsonb", '{"a": 1}', {"a": 1}),
        ("jsonb", '"x"', "x"),
        ("jsonb", True, True),
        ("uuid", ID, ID),
        ("timestamp", "2026-01-31 12:00", "2026-01-31T12:00:00"),
        ("date", "2026-01-31", "2026-01-31"),
        ("interval", "1 day", "1 day"),
        ("bytea", "\\x00ff", "\\x00ff"),
        ("int4range", "[1,3)", "[1,3)"),
        ("regclass", "tasks", "tasks"),
        ("int[]", [1, None, 3], [1, None, 3]),
        ("int[]", [[1, 2], [3, 4]], [[1, 2], [3, 4]]),
        ("text[]", ["a", None, "b,c"], ["a", None, "b,c"]),
        ("uuid[]", [ID], [ID]),
        ("jsonb[]", [{"a": 1}, 2], [{"a": 1}, 2]),
        ("timestamptz[]", ["2026-01-01"], ["2026-01-01T00:00:00+00"]),
        ("int[]", [], []),
        *((name, None, None) for name in ("int", "text", "jsonb", "uuid", "int[]", "boolean")),
    ],
)
async def test_a_value_arrives_as_it_was_sent(
    database: Server, type_: str, value: Any, answer: Any
) -> None:
    async with agent(database) as a:
        result = await a.query(f"select $1::{type_} as v", params=[value])
        assert result.get("rows") == [{"v": answer}], result


@pytest.mark.parametrize(
    ("type_", "value", "sqlstate"),
    [
        ("int", "1; DROP TABLE tasks", "22P02"),
        ("int", 1.5, "22P02"),
        ("int", True, "42804"),
        ("int", [1], "42804"),
        ("int", 2**31, "22003"),
        ("bigint", 2**63, "22003"),
        ("bigint", -(2**63) - 1, "22003"),
        ("smallint", 40_000, "22003"),
        ("float8", "x", "22P02"),
        ("float8", {"a": 1}, "42804"),
        ("boolean", "maybe", "22P02"),
        ("boolean", 1, "42804"),
        ("numeric", "x", "22P02"),
        ("uuid", "x", "22P02"),
        ("timestamp", "yesterday evening", "22007"),
        ("jsonb", "{bad", "22P02"),
        ("text", "a\0b", "22021"),
        ("int[]", "{1,2}", "42804"),
        ("int[]", 5, "42804"),
        ("int[]", ["x"], "22P02"),
        ("int[]", [[1], [2, 3]], "22000"),
    ],
)
async def test_what_is_no_value_of_its_type_is_refused(
    database: Server, type_: str, value: Any, sqlstate: str
) -> None:
    async with agent(database) as a:
        answer = await a.query(f"select $1::{type_}", params=[value])
        assert answer["sqlstate"] == sqlstate, answer
        assert answer["error"]
        assert await a.rows("select 1 as v") == [{"v": 1}]


@pytest.mark.parametrize(
    ("sql", "params", "sqlstate"),
    [("select $1, $2", [1], "42P02"), ("select 1", [1], "08P01"), ("select $1", None, "42P02")],
)
async def test_the_number_of_values_has_to_fit(
    database: Server, sql: str, params: list[Any] | None, sqlstate: str
) -> None:
    async with agent(database) as a:
        assert (await a.query(sql, params=params))["sqlstate"] == sqlstate


async def test_a_write_takes_parameters_and_they_stay_values(database: Server) -> None:
    evil = "x'); delete from logs; --"
    async with agent(database) as a:
        answer = await a.execute(
            "insert into logs (timestamp, level, source, message, metadata_blob) "
            "values ($1, $2, 'test', $3, $4) returning message",
            params=["2026-01-31 12:00:00", "INFO", evil, {"k": [1, None]}],
        )
        assert answer["rows"] == [{"message": evil}]
        answer = await a.execute(
            "update logs set level = $2 where message = $1", params=[evil, "X"]
        )
        assert answer["affected"] == 1
    assert query(database, "select level, metadata_blob from logs") == [("X", {"k": [1, None]})]


async def test_the_listed_arguments_are_answered(database: Server, shared: Path) -> None:
    lines = (shared / "attacks" / "arguments.jsonl").read_text().splitlines()
    cases = [case for case in map(json.loads, lines) if case["tool"] == "query"]
    async with agent(database) as a:
        for case in cases:
            arguments = case["args"]
            if "sql" not in arguments or "concurrency" in arguments:
                continue
            rest = {name: value for name, value in arguments.items() if name != "sql"}
            answer = await a.query(arguments["sql"], **rest)
            assert answer["success"] is (case["expectation"] == "contained"), case
            assert answer["success"] or answer["error"]
