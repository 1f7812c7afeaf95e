"""The PostgreSQL side: connecting as the owner, what is there, and making what is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from database.connect import connect
from database.drift import Drift, table_drift
from database.errors import TargetError, UsageError
from database.settings import Server
from migration.known import TargetColumn, TargetTables
from migration.plan import PUBLIC, Plan, TablePlan
from migration.statements import Connection, fetch, trusted

LOGIN = "migrator"
OWNER = "atlas_owner"
_MINIMUM_VERSION = 160000
_LOCK_TIMEOUT = "10s"
_LEAVING = "3s"
#: PostgreSQL cuts identifiers after 63 bytes.
_NAME_BYTES = 63
#: Where tables stand for a moment; empty between two runs (sql/15_schemas.sql).
STAGING = "migration_staging"
_RESERVED_SCHEMAS = ("information_schema", "app", "migration", STAGING)
#: The key of the advisory lock that one migration at a time holds.
_LOCK_KEY = 0x61746C61  # "atla"


@contextmanager
def open_target(server: Server) -> Iterator[Connection]:
    """A connection as the owner of the schema, outside any transaction.

    Raises:
        TargetError: unreachable, too old, without sql/ applied, or another migration runs;
            also whatever PostgreSQL refuses while the connection is used.
    """
    with connect(server, LOGIN, autocommit=True, application_name="migration") as connection:
        if connection.info.server_version < _MINIMUM_VERSION:
            raise TargetError(
                f"{server} is PostgreSQL {connection.info.server_version // 10000}.",
                "PostgreSQL 16 or later is needed.",
            )
        try:
            _become_owner(connection, server)
            yield connection
        except psycopg.Error as error:
            raise _explained(server, error) from error


def use_workers(connection: Connection, jobs: int) -> None:
    """Let PostgreSQL build indexes and digest tables by so many processes, the session's included.

    Of tables that are not small it does so whatever its planner expects to gain. What the
    server itself allows at most (max_parallel_workers) stays the limit.
    """
    settings = {
        "max_parallel_workers_per_gather": jobs - 1,
        "max_parallel_maintenance_workers": jobs - 1,
        # A row's digest takes far longer than the planner believes.
        "parallel_setup_cost": 0,
        "parallel_tuple_cost": 0,
        "min_parallel_table_scan_size": "1MB",
    }
    for setting, value in settings.items():
        # SET: the owner may not call set_config.
        connection.execute(
            sql.SQL("set {} = {}").format(sql.Identifier(setting), sql.Literal(value))
        )


def read_target(connection: Connection, schema: str = PUBLIC) -> TargetTables:
    """The tables of a schema of the target by name, with their columns in order."""
    tables: dict[str, list[TargetColumn]] = {}
    for row in fetch(connection, "target_columns", schema=schema):
        table = row.pop("table_name")
        tables.setdefault(table, []).append(TargetColumn(name=row.pop("column_name"), **row))
    return {name: tuple(columns) for name, columns in tables.items()}


def target_drift(connection: Connection, plan: Plan) -> list[Drift]:
    """What is not as sql/ declares it, of its tables that the plan would load."""
    if plan.schema_name != PUBLIC:
        return []
    with as_login(connection):
        return table_drift(connection, [table.target.lower() for table in plan.tables])


def check_schema_name(name: str) -> str:
    """The name, where a migration may go into a schema of that name.

    Raises:
        UsageError: it is empty, too long, PostgreSQL's own, or one that this bundle works in.
    """
    if not name or len(name.encode()) > _NAME_BYTES or "\0" in name:
        raise UsageError(
            f"A schema cannot be named '{name}'.", "A name has 1 to 63 bytes: --schema NAME."
        )
    if name.startswith(("pg_", "declared")) or name in _RESERVED_SCHEMAS:
        raise UsageError(
            f"The schema {name} is not for migrated tables.", "Name another one with --schema."
        )
    return name


def check_schema(connection: Connection, schema: str) -> None:
    """Raise a TargetError where the schema is there and the owner may not work in it."""
    refused = connection.execute(
        "select from pg_catalog.pg_namespace where nspname = %s"
        " and not (has_schema_privilege(oid, 'usage') and has_schema_privilege(oid, 'create'))",
        [schema],
    ).fetchone()
    if refused is not None:
        name = sql.Identifier(schema).as_string(connection)
        raise TargetError(
            f"The schema {schema} is somebody else's: {OWNER} may not create tables in it.",
            f"Let its owner run 'grant usage, create on schema {name} to {OWNER}', "
            "or name another schema.",
        )


def make_schema(connection: Connection, name: str) -> None:
    """Create the schema where it is missing; its tables are granted like those of public."""
    if name == PUBLIC:
        return
    found = connection.execute(
        "select from pg_catalog.pg_namespace where nspname = %s", [name]
    ).fetchone()
    if found is None:
        with as_login(connection):
            connection.execute(
                sql.SQL("create schema {} authorization {}").format(
                    sql.Identifier(name), sql.Identifier(OWNER)
                )
            )
    for row in fetch(connection, "schema_grants", schema=name, owner=OWNER, model=PUBLIC):
        connection.execute(trusted(row["statement"]))


def relations_in_target(connection: Connection, schema: str = PUBLIC) -> set[str]:
    """The names of all tables, indexes, sequences and views of a schema."""
    return {row["relname"] for row in fetch(connection, "target_relations", schema=schema)}


def server_version(connection: Connection) -> str:
    """The server's version as it calls itself."""
    row = connection.execute("select current_setting('server_version')").fetchone()
    return str(row[0]) if row else ""


def analyze(connection: Connection, plan: Plan) -> None:
    """Give the planner its statistics, so that the first queries after the commit have plans."""
    for table in plan.tables:
        if not table.impossible:
            connection.execute(sql.SQL("analyze {}").format(identifier(table)))


def identifier(table: TablePlan) -> sql.Identifier:
    """The target table, qualified."""
    return sql.Identifier(table.schema_name, table.target)


@contextmanager
def as_login(connection: Connection) -> Iterator[None]:
    """For a moment the login again: it may create schemas, the owner may not."""
    connection.execute("reset role")
    yield
    connection.execute(sql.SQL("set role {}").format(sql.Identifier(OWNER)))


def _become_owner(connection: Connection, server: Server) -> None:
    # As the login: the owner, whose rights mcp_heal inherits, may not call what takes such locks.
    # The session of a run that has just ended may take a moment to leave.
    connection.execute(sql.SQL("set lock_timeout = {}").format(sql.Literal(_LEAVING)))
    try:
        connection.execute("select pg_advisory_lock(%s)", [_LOCK_KEY])
    except psycopg.errors.LockNotAvailable as error:
        raise TargetError(
            f"Another migration into {server} is running.",
            "Wait for it to end, or stop it; then run this command again.",
        ) from error
    connection.execute(sql.SQL("set lock_timeout = {}").format(sql.Literal(_LOCK_TIMEOUT)))
    connection.execute(sql.SQL("set role {}").format(sql.Identifier(OWNER)))
    connection.execute("set search_path = pg_catalog")
    connection.execute("set timezone = 'UTC'")
    connection.execute("set datestyle = 'ISO, YMD'")
    connection.execute("set statement_timeout = 0")
    connection.execute("set idle_in_transaction_session_timeout = 0")
    connection.execute("set client_min_messages = notice")
    # Compiling costs more than it saves: each of the long queries runs once.
    connection.execute("set jit = off")


_ADVICE = {
    "42501": "Apply sql/ as the administrator with 'python -m database apply'.",
    "42P01": "Apply sql/ first with 'python -m database apply'.",
    "3F000": "Apply sql/ first with 'python -m database apply'.",
    "22023": "Apply sql/ first with 'python -m database apply'.",
    "55P03": "The tables are in use: stop the clients that use them, then run it again.",
    "53100": "The target's disk is full: free some space, then run it again.",
}


def _explained(server: Server, error: psycopg.Error) -> TargetError:
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    state = f" (SQLSTATE {error.sqlstate})" if error.sqlstate else ""
    advice = _ADVICE.get(
        error.sqlstate or "", "Nothing was changed. Remove the cause, then run it again."
    )
    return TargetError(f"PostgreSQL at {server} stopped the migration: {text}{state}", advice)
