"""Drift is found, told, and repaired: by its own SQL, to what pg_dump prints of sql/ alone."""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from database.apply import psql_environment
from database.binaries import client_program
from database.catalogue import compare, facts
from database.catalogue.scratch import scratch_facts
from database.connect import connect, passfile
from database.settings import Server
from tests import schema_tools as tools
from tests.programs import run_module


def differences(server: Server, declared: facts.Facts | None = None) -> list[compare.Difference]:
    declared = declared or scratch_facts(server)
    with connect(server, "postgres") as connection:
        return compare.drift(declared, facts.live_facts(connection))


def words(server: Server) -> list[str]:
    return [difference.words for difference in differences(server)]


def run_sql(server: Server, text: str) -> None:
    """Run repairing SQL as a person does: by psql, in one transaction."""
    with passfile(server, "postgres") as password_file:
        result = subprocess.run(
            [
                client_program("psql"),
                *("-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-w"),
            ],
            env=psql_environment(server, password_file),
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
    assert result.returncode == 0, result.stderr + text


def printed(server: Server) -> str:
    """What pg_dump prints, with what has no order sorted: columns, grants, roles of a policy."""

    def sorted_roles(match: re.Match[str]) -> str:
        return match[1] + ", ".join(sorted(match[2].split(", "))) + match[3]

    text = tools.in_any_order(tools.dump(server))
    return re.sub(r"(^CREATE POLICY .*? TO )(.*?)( USING )", sorted_roles, text, flags=re.MULTILINE)


def repair(server: Server, *, by_hand: bool = True) -> None:
    found = compare.repairs(differences(server), by_hand=by_hand)
    run_sql(server, ";\n".join([*found, ""]))


@pytest.fixture
def loaded(database: Server) -> Server:
    """A copy of the database as sql/ leaves it."""
    return database


def test_a_database_that_sql_made_has_no_drift(loaded: Server) -> None:
    assert differences(loaded) == []


def test_looking_changes_nothing_and_leaves_nothing(loaded: Server) -> None:
    tools.execute(loaded, "drop index ix_logs_timestamp", "alter role mcp_read connection limit 3")
    try:
        before, roles = tools.catalogue(loaded), tools.role_facts(loaded)
        assert len(differences(loaded)) == 2
        assert tools.catalogue(loaded) == before
        assert tools.role_facts(loaded) == roles
        names = tools.query(loaded, "select datname from pg_database where datname ~ 'atlas_drift'")
        assert names == []
    finally:
        tools.load(loaded)


def test_what_a_killed_run_left_is_removed_and_a_twin_s_stays(cluster: Server) -> None:
    admin = cluster.with_database("postgres")
    twin = f"atlas_drift_{int(time.time())}_aaaaaaaa"
    tools.execute(
        admin, "create database atlas_drift_1700000000_deadbeef", f"create database {twin}"
    )
    scratch_facts(cluster)
    names = tools.query(admin, "select datname from pg_database where datname ~ 'atlas_drift'")
    assert names == [(twin,)]
    tools.execute(admin, f"drop database {twin}")


def test_the_written_declaration_is_that_of_sql(loaded: Server) -> None:
    """After a change of sql/: python -m database drift --write-declared."""
    declared = scratch_facts(loaded)
    kept = {key: fact for key, fact in declared.items() if key.schema != "pg_catalog"}
    assert facts.declared_facts() == kept


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("alter table tasks drop column goal", "column goal of public.tasks is missing"),
        (
            "alter table task_steps alter duration_ms type bigint",
            "column duration_ms of public.task_steps : type is bigint, declared as integer",
        ),
        ("drop index ix_logs_timestamp", "index ix_logs_timestamp of public.logs is missing"),
        (
            "alter table tasks no force row level security",
            "table public.tasks : row-level security for the owner is no, declared as yes",
        ),
        ("drop policy all_rows on logs", "policy all_rows of public.logs is missing"),
        ("create policy mine on logs using (true)", "policy mine of public.logs is not declared"),
        (
            "grant truncate on logs to mcp_read",
            "rights to table public.logs : rights is (atlas DELETE, INSERT, SELECT, UPDATE;"
            " mcp_read SELECT, TRUNCATE; mcp_write DELETE, INSERT, SELECT, UPDATE), declared as"
            " (atlas DELETE, INSERT, SELECT, UPDATE; mcp_read SELECT;"
            " mcp_write DELETE, INSERT, SELECT, UPDATE)",
        ),
        (
            "alter table tasks add extra text",
            "column extra of public.tasks is not declared; it stays",
        ),
        (
            "create index mine on logs (level)",
            "index mine of public.logs is not declared; it stays",
        ),
        ("grant pg_read_all_data to mcp_read", "membership of mcp_read in pg_read_all_data is not"),
        (
            "alter role mcp_read set work_mem = '1GB'",
            "setting work_mem of mcp_read is not declared",
        ),
        (
            "grant execute on function pg_sleep(float8) to public",
            "rights to routine pg_sleep(double precision) : ",
        ),
        (
            "alter event trigger healing_ends disable",
            "event trigger healing_ends : enabled is D, declared as O",
        ),
        (
            "alter table logs disable trigger row_image",
            "trigger row_image of public.logs : enabled is D, declared as O",
        ),
    ],
)
def test_drift_is_told_in_words_and_repaired(loaded: Server, damage: str, told: str) -> None:
    before = printed(loaded)
    tools.execute(loaded, damage)
    try:
        (difference,) = differences(loaded)
        assert difference.words.startswith(told)
        repair(loaded)
        left = differences(loaded)
        assert [one.words for one in left] == ([difference.words] if "stays" in told else [])
        if "stays" not in told:
            assert printed(loaded) == before
    finally:
        tools.load(loaded)


def test_additions_are_no_drift_and_stay(loaded: Server) -> None:
    tools.execute(
        loaded,
        "create table mine (id integer primary key, body text)",
        "create index on mine (body)",
        "alter table tasks add column mine text default 'x'",
        "create function public.mine() returns integer language sql return 1",
    )
    tools.load(loaded)
    found = differences(loaded)
    assert not [difference for difference in found if difference.is_drift]
    assert compare.repairs(found, by_hand=True) == []
    assert {difference.key.kind for difference in found} >= {"table", "column", "index", "function"}


def test_the_command_says_it_in_three_ways(loaded: Server, tmp_path: Path) -> None:
    assert run_module("database", "drift", server=loaded).returncode == 0
    before = printed(loaded)
    tools.execute(
        loaded,
        "drop table discoveries",
        "alter table logs alter message type varchar",
        "revoke select on logs from atlas",
        "revoke connect on database " + loaded.database + " from mcp_read",
    )
    said = run_module("database", "drift", server=loaded)
    assert said.returncode == 6, said
    assert "table public.discoveries is missing (database apply repairs it)" in said.stdout
    assert "column message of public.logs : type is character varying" in said.stdout
    listed = json.loads(run_module("database", "drift", "--json", server=loaded).stdout)
    assert {entry["state"] for entry in listed} == {"missing", "changed"}
    alone = run_module("database", "drift", "--sql", server=loaded).stdout
    assert "message" not in alone
    run_sql(loaded, run_module("database", "drift", "--sql", "--by-hand", server=loaded).stdout)
    assert run_module("database", "drift", server=loaded).returncode == 0
    assert printed(loaded) == before


# ---- random damage -----------------------------------------------------------------------------

ROUNDS = int(os.environ.get("DEEP_ROUNDS", "50"))

#: Damages that lose no rows of their own accord; {t} is a table, {c} and {i} a column and an index.
_DAMAGES = (
    "drop index {index}",
    "alter table {table} disable row level security",
    "alter table {table} no force row level security",
    "drop policy bound_session on {table}",
    "drop policy all_rows on {table}",
    "alter policy all_rows on {table} using (false)",
    "create policy open on {table} for select to public using (true)",
    "revoke all on {table} from {role}",
    "grant all on {table} to {role} with grant option",
    "grant select on {table} to public",
    "alter table {table} owner to postgres",
    "alter table {table} drop constraint {constraint} cascade",
    "alter table {table} disable trigger row_image",
    "drop trigger no_truncate on {table}",
    "alter table {table} alter column {nullable} set default null",
    "alter table {table} alter column {not_null} drop not null",
    "alter table {table} add column surplus integer",
    "alter table {table} alter column {text} type varchar(300)",
    "comment on table {table} is 'something else'",
    "alter table {table} set unlogged",
    "drop function app.no_truncate() cascade",
    "create or replace function app.set_context(sealed text) returns boolean"
    " language sql return true",
    "alter default privileges for role atlas_owner in schema public grant all on tables to public",
    "alter role {role} createdb connection limit 1",
    "alter role {role} set statement_timeout = '1s'",
    "grant atlas_owner to {role} with inherit true, set true",
    "drop event trigger healing_begins",
    "create index surplus on {table} ({not_null})",
    "alter sequence {sequence} increment 7",
    "alter table logs alter column id drop identity",
    "alter table task_steps alter column duration_ms type bigint",
    "grant usage, create on schema migration to public",
    "drop table audit.row_image",
    "grant update ({not_null}) on {table} to mcp_read",
)


@pytest.fixture(scope="module")
def filled(cluster: Server) -> Iterator[Server]:
    """A database of its own with the demo's rows, and its dump before any damage."""
    server = tools.empty_database(cluster, "test_drift_round_trip")
    tools.load(server)
    tools.execute(server, *_ROWS)
    yield server
    tools.drop_database(server)


_ROWS = (
    """insert into sessions select md5(n::text)::uuid,
       timestamp '2026-01-01' + n * interval '1 hour', null, jsonb_build_object('n', n)
       from generate_series(1, 50) as n""",
    """insert into tasks select md5('t' || n)::uuid, md5((n % 50 + 1)::text)::uuid, 'goal ' || n,
       'PENDING', n % 2 = 0, now() at time zone 'UTC', null, '{}', null
       from generate_series(1, 200) as n""",
    """insert into task_steps select md5('s' || n)::uuid, md5('t' || (n % 200 + 1))::uuid, n::text,
       'act', 'tool', 'SUCCESS', null, n, now() at time zone 'UTC'
       from generate_series(1, 500) as n""",
    """insert into logs (timestamp, level, source, message, session_id)
       select now() at time zone 'UTC', 'INFO', 'test', 'message ' || n, 'current_session'
       from generate_series(1, 1000) as n""",
)


def digests(server: Server) -> list[tuple[object, ...]]:
    """Number and hash of the rows of every table, column by column in the order of names."""
    found = []
    for table in tools.TABLES:
        columns = tools.query(
            server,
            "select string_agg(quote_ident(attname) || '::text', ', ' order by attname)"
            f" from pg_attribute where attrelid = 'public.{table}'::regclass and attnum > 0"
            " and not attisdropped and attname <> 'surplus'",
        )[0][0]
        found += tools.query(
            server,
            f"select '{table}', count(*), md5(coalesce(string_agg(row_text, e'\\n' order by"
            f" row_text), '')) from (select concat_ws('|', {columns}) as row_text from {table})"
            " as rows",
        )
    return found


@st.composite
def damages(draw: st.DrawFn) -> list[str]:
    """Some statements, each on an object that sql/ declares."""
    declared = facts.declared_facts()
    texts = draw(st.lists(st.sampled_from(_DAMAGES), min_size=1, max_size=6))
    return [_filled_in(draw, text, declared) for text in texts]


def _filled_in(draw: st.DrawFn, text: str, declared: facts.Facts) -> str:
    table = draw(st.sampled_from([name for name in tools.SESSION_TABLES if name != "sessions"]))

    def of_table(kind: str) -> list[tuple[str, facts.Definition]]:
        return [
            (key.name, fact)
            for key, fact in declared.items()
            if (key.kind, key.schema, key.relation) == (kind, "public", table)
        ]

    columns = of_table("column")
    indexes = [key.name for key in declared if key.kind == "index" and key.schema == "public"]
    return text.format(
        table=f"public.{table}",
        role=draw(st.sampled_from(["atlas", "migrator", "mcp_read", "mcp_write", "mcp_heal"])),
        index=f"if exists public.{draw(st.sampled_from(sorted(indexes)))}",
        constraint=draw(st.sampled_from([name for name, _ in of_table("constraint")])),
        nullable=draw(
            st.sampled_from([n for n, fact in columns if not fact["not_null"]] or ["id"])
        ),
        not_null=draw(
            st.sampled_from([n for n, fact in columns if fact["not_null"] and n != "id"])
        ),
        text=draw(
            st.sampled_from(
                [n for n, fact in columns if fact["type"] == "character varying"] or ["id"]
            )
        ),
        sequence="public.logs_id_seq",
    )


def _do(server: Server, damage: list[str]) -> None:
    with connect(server, "postgres", autocommit=True) as connection:
        connection.execute("set client_min_messages = error")
        for statement in damage:
            try:
                connection.execute(statement.encode())
            except psycopg.Error as error:
                if error.sqlstate not in _IN_THE_WAY:
                    raise


#: What was damaged before: no such object, already so, depended on, no fitting type.
_IN_THE_WAY = (
    "42704", "42710", "42P07", "42701", "42P01", "42703", "2BP01", "55000", "42804", "42883",
    "0A000", "42P16", "22P02", "42601", "0LP01",
)  # fmt: skip


@dataclass
class Undamaged:
    """A database, and what it was before any damage: also where an example is run again."""

    server: Server
    declared: facts.Facts
    printed: str
    digests: list[tuple[object, ...]]
    roles: list[tuple[object, ...]]


@pytest.fixture(scope="module")
def undamaged(filled: Server) -> Undamaged:
    return Undamaged(
        filled, scratch_facts(filled), printed(filled), digests(filled), tools.role_facts(filled)
    )


_RANDOM = settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=(Phase.explicit, Phase.generate),
)


@settings(_RANDOM, derandomize=True)
@given(damage=damages())
def test_random_damage_is_healed_to_what_pg_dump_prints_of_sql(
    undamaged: Undamaged, damage: list[str]
) -> None:
    _is_healed(undamaged, damage)


@pytest.mark.deep
# Not that of one test: when it is over, an example ends half-way.
@pytest.mark.timeout(ROUNDS * 60)
@settings(_RANDOM, max_examples=ROUNDS)
@given(damage=damages())
def test_any_random_damage_is_healed(undamaged: Undamaged, damage: list[str]) -> None:
    _is_healed(undamaged, damage)


def _is_healed(undamaged: Undamaged, damage: list[str]) -> None:
    server = undamaged.server
    _do(server, damage)
    repair(server)
    left = differences(server, undamaged.declared)
    assert not [difference.words for difference in left if difference.is_drift], damage
    tools.execute(
        server,
        "drop index if exists public.surplus",
        *(f"alter table {table} drop column if exists surplus" for table in tools.TABLES),
    )
    assert printed(server) == undamaged.printed, damage
    assert tools.role_facts(server) == undamaged.roles, damage
    assert digests(server) == undamaged.digests, damage
    assert tools.check(server) == ""
