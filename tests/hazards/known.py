"""Rows of tables that sql/ describes, as the platform's SQLite declares them."""

LOGS = """create table logs (id integer primary key, session_id varchar(100), timestamp datetime,
    level varchar(20), source varchar(100), message text, metadata_blob json);
"""
FILES = """create table files (id integer primary key, path varchar(500), name varchar(255),
    size integer, mtime float, is_dir boolean, content_hash varchar(64), last_scanned datetime);
"""
SESSIONS = """create table sessions (id char(36) primary key, started_at datetime,
    ended_at datetime, metadata_blob json);
"""
TASKS = """create table tasks (id char(36) primary key, session_id char(36), goal text,
    status varchar(20), golden_path boolean, created_at datetime, completed_at datetime,
    metadata_blob json, parent_task_id char(36));
"""
NODES = """create table kg_nodes (id varchar(255) primary key, type varchar(50),
    namespace varchar(100), task_id char(36), attributes json, last_updated datetime);
"""
WHEN = "'2026-02-01 10:00:00'"


def log(
    number: int,
    *,
    message: str = "'m'",
    when: str = WHEN,
    metadata: str = "null",
    session: str = "null",
) -> str:
    """An INSERT into logs; values are SQL."""
    values = f"{number}, {session}, {when}, 'INFO', 's', {message}, {metadata}"
    return f"insert into logs values ({values});\n"


def file(number: int, *, size: str = "1", mtime: str = "0.5", is_dir: str = "0") -> str:
    """An INSERT into files; values are SQL."""
    values = f"{number}, '/{number}', 'n', {size}, {mtime}, {is_dir}, null, {WHEN}"
    return f"insert into files values ({values});\n"


def session(identity: str, *, metadata: str = "'{}'") -> str:
    """An INSERT into sessions; `identity` is text, `metadata` SQL."""
    return f"insert into sessions values ('{identity}', {WHEN}, null, {metadata});\n"


def task(identity: str, session: str, parent: str | None = None) -> str:
    """An INSERT into tasks; the arguments are text."""
    above = f"'{parent}'" if parent else "null"
    values = f"'{identity}', '{session}', 'g', 'RUNNING', 0, {WHEN}, null, '{{}}', {above}"
    return f"insert into tasks values ({values});\n"


def node(identity: str) -> str:
    """An INSERT into kg_nodes; `identity` is SQL."""
    return f"insert into kg_nodes values ({identity}, 'CONCEPT', 'global', null, '{{}}', {WHEN});\n"


def uuid(number: int) -> str:
    """A UUID, by its number."""
    return f"00000000-0000-4000-8000-{number:012x}"
