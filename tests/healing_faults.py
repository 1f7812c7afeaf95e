"""The catalogue of faults: each is injected into a real database, and brings a real error."""
# ruff: noqa: E501 - SQL as it is sent, a fault a line

from dataclasses import dataclass, field

_TASK = "00000000-0000-4000-8000-000000000001"
_INSERT_LOG = (
    "insert into logs (timestamp, level, source, message) values (now(), 'INFO', 's', 'm')"
)


@dataclass(frozen=True)
class Fault:
    """A fault.

    Attributes:
        inject: statements of an administrator.
        failing: the platform's statement that it breaks; None where no statement shows it.
        role: who runs that.
        sqlstate: what it is answered; with `failing` None, what heal is told.
        kind: the class of the diagnosis.
        outcome: of the attempt at healing.
        error: how the platform logs it, where that cannot be brought about here.
        said: a word of the fix.
        told: what else postgres_heal is told.
        moves: rows come or go.
    """

    name: str
    kind: str
    outcome: str
    inject: tuple[str, ...] = ()
    failing: str | None = None
    role: str = "atlas"
    sqlstate: str | None = None
    error: str | None = None
    said: str = ""
    settings: tuple[str, ...] = field(default=())
    told: dict[str, str] = field(default_factory=dict)
    moves: bool = False


def _lost_column(table: str, column: str, outcome: str = "healed") -> Fault:
    return Fault(
        f"column {table}.{column} dropped",
        "schema",
        outcome,
        (f"alter table {table} drop column {column} cascade",),
        f"select {column} from {table}",
        sqlstate="42703",
    )


SCHEMA = (
    _lost_column("tasks", "completed_at"),
    _lost_column("tasks", "metadata_blob"),
    _lost_column("tasks", "status"),
    _lost_column("tasks", "session_id", "failed"),
    _lost_column("logs", "session_id"),
    _lost_column("logs", "message", "failed"),
    _lost_column("tool_executions", "task_id"),
    _lost_column("files", "content_hash"),
    _lost_column("discoveries", "step_action"),
    _lost_column("files", "path"),  # no rows: its key and NOT NULL come back with it
    Fault(
        "a length was put on a text", "schema", "healed",
        ("alter table logs alter source type varchar(5)",),
        "insert into logs (timestamp, level, source, message) values (now(), 'INFO', 'source', 'm')",
        sqlstate="22001",
    ),
    Fault(
        "an integer was made smaller", "schema", "healed",
        ("alter table files alter size type smallint",),
        "insert into files (path, name, size, mtime, is_dir, last_scanned)"
        " values ('/a', 'a', 100000, 0, false, now())",
        sqlstate="22003",
    ),
    Fault(
        "a number beyond the declared type", "schema", "left_to_a_person", (),
        "insert into files (path, name, size, mtime, is_dir, last_scanned)"
        " values ('/a', 'a', 3000000000, 0, false, now())",
        sqlstate="22003", said="sql/",
    ),
    Fault("an index dropped", "schema", "healed", ("drop index ix_logs_session_id_timestamp",)),
    Fault("a GIN index dropped", "schema", "healed", ("drop index ix_kg_nodes_attributes",)),
    Fault(
        "an index of another definition", "schema", "healed",
        ("drop index ix_logs_timestamp", "create index ix_logs_timestamp on logs (level)"),
    ),
    Fault(
        "an index left invalid", "schema", "healed",
        ("update pg_index set indisvalid = false where indexrelid = 'ix_logs_timestamp'::regclass",),
    ),
    Fault(
        "a foreign key dropped", "schema", "healed",
        ("alter table task_steps drop constraint task_steps_task_id_fkey",),
    ),
    Fault(
        "a foreign key dropped, and orphans written since", "schema", "left_to_a_person",
        (
            "alter table task_steps drop constraint task_steps_task_id_fkey",
            f"update task_steps set task_id = '{_TASK}'",
        ),
    ),
    Fault(
        "a unique key dropped", "schema", "healed", ("alter table files drop constraint files_path_key",)
    ),
    Fault(
        "a unique key dropped, and duplicates written since", "schema", "failed",
        (
            "alter table files drop constraint files_path_key",
            "insert into files (path, name, size, mtime, is_dir, last_scanned)"
            " select 'p', 'n', 1, 0, false, now() from generate_series(1, 2)",
        ),
    ),
    Fault(
        "a key never validated", "schema", "healed",
        (
            "alter table task_steps drop constraint task_steps_task_id_fkey",
            "alter table task_steps add constraint task_steps_task_id_fkey foreign key (task_id)"
            " references tasks not valid",
        ),
    ),
    Fault(
        "a foreign key of another definition", "schema", "left_to_a_person",
        (
            "alter table task_steps drop constraint task_steps_task_id_fkey",
            "alter table task_steps add constraint task_steps_task_id_fkey foreign key (task_id)"
            " references tasks on delete set null",
        ),
        said="constraint task_steps_task_id_fkey",
    ),
    Fault(
        "a time made a text", "schema", "left_to_a_person",
        ("alter table logs alter timestamp type text using timestamp::text",),
        said="type is text",
    ),
    Fault("a primary key dropped", "schema", "healed", ("alter table files drop constraint files_pkey",)),
    Fault("NOT NULL dropped", "schema", "healed", ("alter table kg_edges alter source_id drop not null",)),
    Fault(
        "NOT NULL put on", "data", "healed",
        ("update tasks set completed_at = now()", "alter table tasks alter completed_at set not null"),
        "insert into tasks (id, session_id, goal, status, golden_path, created_at, metadata_blob)"
        " select gen_random_uuid(), session_id, 'g', 'PENDING', false, now(), '{}' from tasks limit 1",
        sqlstate="23502",
    ),
    Fault(
        "the text of an index on a column that sql/ does not know", "schema", "left_to_a_person", (),
        "select nonsense from tasks", sqlstate="42703", said="rewrite",
    ),
    Fault(
        "a column misspelt", "schema", "left_to_a_person", (), "select gaol from tasks",
        sqlstate="42703", said="goal",
    ),
    Fault(
        "a table that never was", "schema", "left_to_a_person", (), "select * from task",
        sqlstate="42P01", said="tasks",
    ),
    Fault(
        "a table dropped", "schema", "left_to_a_person", ("drop table discoveries",),
        "select * from discoveries", sqlstate="42P01", said="backup",
    ),
    Fault(
        "rowid, as in SQLite", "schema", "left_to_a_person", (), "select rowid from tasks",
        sqlstate="42703", said="rowid",
    ),
)  # fmt: skip

QUERIES = (
    Fault("a boolean as a number", "query", "left_to_a_person", (),
          "select * from tasks where golden_path = 1", sqlstate="42883", said="boolean"),
    Fault("datetime('now')", "query", "left_to_a_person", (),
          "select datetime('now')", sqlstate="42883", said="now()"),
    Fault("LIKE on a document", "query", "left_to_a_person", (),
          "select * from tool_executions where arguments like '%x%'", sqlstate="42883", said="text"),
    Fault("INSERT OR REPLACE", "query", "left_to_a_person", (),
          "insert or replace into files (path) values ('x')", sqlstate="42601", said="ON CONFLICT"),
    Fault("a loose GROUP BY", "query", "left_to_a_person", (),
          "select status, goal from tasks group by status", sqlstate="42803", said="GROUP BY"),
    Fault("a text in double quotes", "schema", "left_to_a_person", (),
          'select * from tasks where status = "FAILED"', sqlstate="42703", said="single quotes"),
    Fault("a number for a boolean", "query", "left_to_a_person", (),
          "update tasks set golden_path = 1", sqlstate="42804", said="true"),
)  # fmt: skip

DATA = (
    Fault(
        "a sequence behind", "data", "healed",
        ("select setval('logs_id_seq', 1, false)",), _INSERT_LOG, sqlstate="23505",
    ),
    Fault(
        "a key really taken", "data", "left_to_a_person",
        ("insert into files (path, name, size, mtime, is_dir, last_scanned)"
         " values ('p', 'n', 1, 0, false, now())",),
        "insert into files (path, name, size, mtime, is_dir, last_scanned)"
        " values ('p', 'n', 1, 0, false, now())",
        sqlstate="23505", said="ON CONFLICT",
    ),
    Fault(
        "a number taken, with the sequence ahead", "data", "failed", (),
        "insert into logs (id, timestamp, level, source, message) values (1, now(), 'I', 's', 'm')",
        sqlstate="23505",
    ),
    Fault(
        "an orphan", "data", "left_to_a_person", (),
        f"insert into discoveries (task_id, step_id, key, value, category, created_at)"
        f" values ('{_TASK}', '1', 'k', 'v', 'c', now())",
        sqlstate="23503", said="parent",
    ),
    Fault("no uuid", "data", "left_to_a_person", (),
          "select * from tasks where id = 'current_session'", sqlstate="22P02"),
    Fault("no time", "data", "left_to_a_person", (), "select timestamp 'no time'",
          sqlstate="22007"),
    Fault("bytes that are no UTF-8", "data", "left_to_a_person", (),
          r"select convert_from('\xff', 'UTF8')", sqlstate="22021"),
    Fault("no value", "data", "left_to_a_person", (),
          "insert into logs (timestamp, level, source) values (now(), 'INFO', 's')",
          sqlstate="23502"),
)  # fmt: skip

#: Rows without a parent, and what heal is told about them.
_ORPHANS = (
    "alter table task_steps drop constraint task_steps_task_id_fkey",
    f"""insert into task_steps select md5('o' || n)::uuid, '{_TASK}', '1', 'a', 't', 's', null, 1,
        now() from generate_series(1, 3) as n""",
)
ORPHANS = (
    Fault("orphans written, and told to quarantine them", "data", "healed", _ORPHANS,
          said="quarantine", told={"orphans": "quarantine"}, moves=True),
    Fault(
        "a key never validated, over orphans", "data", "healed",
        (*_ORPHANS, "alter table task_steps add constraint task_steps_task_id_fkey foreign key"
         " (task_id) references tasks not valid"),
        said="quarantine", told={"orphans": "quarantine"}, moves=True,
    ),
    Fault(
        "an orphan that others refer to", "data", "left_to_a_person",
        (*_ORPHANS, "insert into recovery_attempts (step_id, depth, recovery_method, success,"
         " duration_ms, error_before, created_at)"
         " values (md5('o1')::uuid, 1, 'm', true, 1, 'e', now())"),
        told={"orphans": "quarantine"},
    ),
    Fault("orphans whose parent nobody can make up", "data", "left_to_a_person", _ORPHANS,
          told={"orphans": "parents"}),
    Fault(
        "orphans whose parent is a key and no more", "data", "healed",
        ("alter table agent_messages drop constraint agent_messages_session_id_fkey",
         f"insert into agent_messages (id, session_id, from_agent, to_agent, message_type, payload,"
         f" created_at) values (gen_random_uuid(), '{_TASK}', 'a', 'b', 't', '{{}}', now())"),
        said="parents", told={"orphans": "parents"}, moves=True,
    ),
)  # fmt: skip

PROTECTION = (
    Fault("a right revoked", "permission", "left_to_a_person",
          ("revoke select on logs from atlas",), "select * from logs", sqlstate="42501",
          said="database apply"),
    Fault("a policy dropped", "schema", "left_to_a_person",
          ("drop policy bound_session on logs",), said="policy bound_session"),
    Fault("row-level security switched off", "schema", "left_to_a_person",
          ("alter table tasks disable row level security",), said="row-level security"),
    Fault("a policy that shows all", "schema", "left_to_a_person",
          ("create policy open on logs using (true)",), said="policy open"),
    Fault("a right too many", "schema", "left_to_a_person",
          ("grant truncate on logs to mcp_write",), said="rights to table"),
    Fault("a trigger switched off", "schema", "left_to_a_person",
          ("alter table logs disable trigger row_image",), said="trigger row_image"),
    Fault("a function replaced", "schema", "left_to_a_person",
          ("create or replace function app.no_truncate() returns trigger language plpgsql"
           " as 'begin return null; end'",), said="function app.no_truncate()"),
    Fault("another owner", "schema", "left_to_a_person",
          ("alter table logs owner to postgres",), said="rights to table"),
    Fault("an identity lost", "schema", "left_to_a_person",
          ("alter table logs alter id drop identity",), said="identity"),
)  # fmt: skip

#: Those that test_healing_real_faults.py brings about are not here as texts once more.
REPORTED = (
    Fault("asyncpg's DataError", "data", "left_to_a_person", sqlstate="22000",
          error="(sqlalchemy.dialects.postgresql.asyncpg.Error) <class"
          " 'asyncpg.exceptions.DataError'>: invalid input for query argument $2:"
          " datetime.datetime(2026, 2, 1) (can't subtract offset-naive and offset-aware"
          " datetimes)\n[SQL: INSERT INTO logs VALUES ($1, $2)]", said="plugin"),
    Fault("nobody knows", "unknown", "left_to_a_person", sqlstate=None,
          error="KeyError: 'task'", said="Nothing is done"),
)  # fmt: skip

FAULTS = (*SCHEMA, *QUERIES, *DATA, *ORPHANS, *PROTECTION, *REPORTED)
