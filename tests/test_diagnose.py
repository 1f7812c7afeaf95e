"""What an error is read as, in each of its forms; what is not known is said to be unknown."""

import asyncpg
import psycopg
import pytest

from database.catalogue.facts import Key, declared_facts
from mcp_server.healing.diagnosis import diagnose
from mcp_server.healing.errors import read_error
from mcp_server.healing.states import knowledge

#: The platform's table: SQLSTATE → class.
TABLE = {
    "schema": "42703 42P01 42704 22001 22003",
    "query": "42883 42804 42601 42803 42P18",
    "data": "22P02 22P05 22021 22007 22008 22000 23502 23503 23505 23514",
    "transient": "40001 40P01 55P03 25P02 08000 08001 08003 08006 57P01 57P02 57P03",
    "performance": "57014",
    "capacity": "53300 53100 53200 58030",
    "permission": "42501 28P01 3D000 28000",
    "corruption": "XX001 XX002",
}


@pytest.mark.parametrize(
    ("kind", "sqlstate"), [(kind, one) for kind, states in TABLE.items() for one in states.split()]
)
def test_the_whole_table_is_known(kind: str, sqlstate: str) -> None:
    known = knowledge(sqlstate)
    assert known.kind == kind
    assert known.cause.endswith(".")
    assert known.advice
    found = diagnose(read_error(sqlstate), None, [], declared_facts(), declared_facts())
    assert found.seen.sqlstate == sqlstate
    # Without anything that drifted, nothing is done about it alone, except to look at a slow query.
    assert not found.fix.alone


@pytest.mark.parametrize("text", ["99999", "SQLSTATE: ZZ123", "sqlstate=0LP01"])
def test_an_unknown_state_is_said_to_be_unknown(text: str) -> None:
    seen = read_error(text)
    found = diagnose(seen, None, [], declared_facts(), declared_facts())
    assert found.known.kind == "unknown"
    assert not found.fix.alone


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0",
        "KeyError: 'sqlstate'",
        "Task 12345 failed after 30000 ms [12345]",
        "{not json",
        "null",
        '{"error": null}',
        "ValueError: column count",
        "e" * 50_000,
        "[SQL: " * 1_000,
        "((((" * 1_000,
    ],
)
def test_what_is_no_error_of_postgresql_has_no_state(text: str) -> None:
    assert read_error(text).sqlstate is None


_SQL = "SELECT a\nFROM t WHERE b = $1"
FORMS = [
    "{name}: {message}",
    "asyncpg.exceptions.{name}: {message}",
    "(sqlalchemy.dialects.postgresql.asyncpg.ProgrammingError) <class 'asyncpg.exceptions.{name}'>:"
    " {message}\n[SQL: " + _SQL + "]\n[parameters: ('x',)]\n(Background on this error at:"
    " https://sqlalche.me/e/20/f405)",
    "2026-02-01 10:00:00 [ERROR] [DB] write failed: {message}",
    "ERROR:  {state}: {message}\nLINE 1: select 1",
    "2026-02-01 10:00:00.000 UTC [77] atlas@db ERROR:  {message}\n2026-02-01 10:00:00.000 UTC [77]"
    " atlas@db STATEMENT:  " + _SQL,
    '{{"success": false, "error": "{quoted}", "sqlstate": "{state}", "hint": ""}}',
    "failed with sqlstate={state}: {message}",
]
ERRORS = [
    ("42703", "UndefinedColumnError", 'column "goal" of relation "tasks" does not exist'),
    ("42P01", "UndefinedTableError", 'relation "nope" does not exist'),
    ("42883", "UndefinedFunctionError", "function datetime(unknown) does not exist"),
    ("23505", "UniqueViolationError", 'duplicate key value violates unique constraint "logs_pkey"'),
    ("40P01", "DeadlockDetectedError", "deadlock detected"),
    ("40001", "SerializationError", "could not serialize access due to concurrent update"),
    ("42501", "InsufficientPrivilegeError", "permission denied for table logs"),
    ("53300", "TooManyConnectionsError", "sorry, too many clients already"),
    ("57014", "QueryCanceledError", "canceling statement due to statement timeout"),
    ("25P02", "InFailedSQLTransactionError", "current transaction is aborted, commands ignored"),
    ("22021", "CharacterNotInRepertoireError", 'invalid byte sequence for encoding "UTF8": 0x00'),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("state", "name", "message"), ERRORS)
def test_each_form_is_read(form: str, state: str, name: str, message: str) -> None:
    quoted = message.replace('"', '\\"')
    seen = read_error(form.format(state=state, name=name, message=message, quoted=quoted))
    assert seen.sqlstate == state
    if state == "42703":
        assert seen.names == {"column": "goal", "table": "tasks"}
    if _SQL in form:
        assert seen.statement == _SQL


def test_live_exceptions_are_read_through_what_wraps_them() -> None:
    inner = asyncpg.UndefinedColumnError('column "goal" does not exist')
    outer = RuntimeError("the platform's own")
    outer.__cause__ = inner
    # A ring of causes is gone round once.
    inner.__cause__ = outer
    assert read_error(outer).sqlstate == "42703"
    assert read_error(outer).names == {"column": "goal"}
    assert read_error(psycopg.errors.DeadlockDetected("deadlock detected")).sqlstate == "40P01"
    assert read_error(ValueError("nothing of PostgreSQL's")).sqlstate is None
    assert read_error(TimeoutError()).sqlstate is None


LOST = "00000000-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("text", "statement", "said", "statements"),
    [
        (
            'insert or update on table "agent_messages" violates foreign key constraint'
            f' "agent_messages_session_id_fkey"\nDETAIL:  Key (session_id)=({LOST}) is not present'
            ' in table "sessions".',
            None,
            f"no row of sessions with (id) = ({LOST}), which agent_messages.session_id refers to",
            [
                f"""select * from public.sessions where "id" = '{LOST}'""",
                'insert into public.sessions ("id", "metadata_blob", "started_at") values'
                f" ('{LOST}', '{{}}', (now() at time zone 'UTC')) on conflict do nothing",
            ],
        ),
        (
            'insert or update on table "task_steps" violates foreign key constraint'
            ' "task_steps_task_id_fkey"\nDETAIL:  Key (task_id)=(it\'s) is not present in table'
            ' "tasks".',
            None,
            "It needs its goal, session_id as well, which only its author knows",
            ["""select * from public.tasks where "id" = 'it''s'"""],
        ),
        (
            'insert or update on table "tasks" violates foreign key constraint'
            ' "tasks_parent_task_id_fkey"',
            None,
            "Or write no parent: parent_task_id may be NULL.",
            [],
        ),
        (
            'update or delete on table "tasks" violates foreign key constraint'
            f' "task_steps_task_id_fkey" on table "task_steps"\nDETAIL:  Key (id)=({LOST}) is still'
            ' referenced from table "task_steps".',
            None,
            f"Rows of task_steps still refer, by task_id, to (id) = ({LOST}) of tasks",
            [f"""select * from public.task_steps where "task_id" = '{LOST}'"""],
        ),
        (
            'invalid input syntax for type uuid: "current_session"',
            "select * from tasks where id = 'current_session'",
            "It may be meant for tasks.id, tasks.parent_task_id, tasks.session_id.",
            [],
        ),
        (
            'invalid input syntax for type timestamp: "yesterday evening"',
            "insert into sessions (started_at) values ('yesterday evening')",
            "It may be meant for sessions.ended_at, sessions.started_at.",
            [],
        ),
        (
            'invalid byte sequence for encoding "UTF8": 0x00',
            "update files set name = $1",
            "It may be meant for files.content_hash, files.name, files.path.",
            [],
        ),
        (
            "unsupported Unicode escape sequence\nDETAIL:  \\u0000 cannot be converted to text.",
            "insert into kg_nodes (attributes) values ($1)",
            "It may be meant for kg_nodes.attributes.",
            [],
        ),
    ],
)
def test_values_and_parents_are_told_by_name(
    text: str, statement: str | None, said: str, statements: list[str]
) -> None:
    live = declared_facts()
    for form in (text, f"(psycopg.errors.Some) {text}\n(Background on this error)"):
        found = diagnose(read_error(form), statement, [], live, live)
        assert said in found.fix.words
        assert list(found.fix.statements) == statements
        assert not found.fix.alone


def test_the_longest_text_of_a_column_is_told() -> None:
    live = dict(declared_facts())
    key = next(
        key for key in live if (key.kind, key.relation, key.name) == ("column", "logs", "source")
    )
    live[key] = {**live[key], "type": "character varying(5)"}
    found = diagnose(
        read_error("value too long for type character varying(5)"),
        "update logs set source = $1", [], live, live,
    )  # fmt: skip
    assert "The most characters: logs.source 5." in found.fix.words


def test_a_parent_that_sql_does_not_know_is_not_made_up() -> None:
    live = dict(declared_facts())
    column = {"type": "text", "not_null": True}
    live |= {
        Key("column", "public", "dataset_a", "row_id"): {**column, "type": "integer"},
        Key("column", "public", "dataset_a", "name"): column,
        Key("constraint", "public", "dataset_b", "dataset_b_a_fkey"): {
            "type": "f", "definition": "FOREIGN KEY (a) REFERENCES public.dataset_a(row_id)",
        },
    }  # fmt: skip
    text = (
        'insert or update on table "dataset_b" violates foreign key constraint "dataset_b_a_fkey"'
        '\nDETAIL:  Key (a)=(7) is not present in table "dataset_a".'
    )
    fix = diagnose(read_error(text), None, [], live, live).fix
    assert "It needs its name as well" in fix.words
    assert fix.statements == ("""select * from public.dataset_a where "row_id" = '7'""",)
