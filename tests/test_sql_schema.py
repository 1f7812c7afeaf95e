"""The declared schema against what the platform has, and against its documentation."""

import re
import sqlite3
from pathlib import Path

import pytest

from database.apply import SQL_DIRECTORY
from database.settings import Server
from tests import schema_tools as tools

REFERENCE = Path(__file__).parents[1] / "docs" / "reference" / "schema.md"

#: SQLite's declared type, without its length → the types it may have here.
TYPES = {
    "CHAR": {"uuid"},
    "VARCHAR": {"character varying"},
    "TEXT": {"text"},
    "DATETIME": {"timestamp without time zone"},
    "JSON": {"jsonb"},
    "BOOLEAN": {"boolean"},
    "INTEGER": {"integer"},
    "FLOAT": {"double precision"},
}


def columns(server: Server) -> dict[str, dict[str, tuple[str, bool]]]:
    """Table → column → type, and whether it must not be NULL."""
    found: dict[str, dict[str, tuple[str, bool]]] = {}
    for table, column, kind, not_null in tools.query(
        server,
        """
        select c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
        from pg_class as c
        inner join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and not attisdropped
        """,
    ):
        found.setdefault(str(table), {})[str(column)] = (str(kind), bool(not_null))
    return found


def test_there_are_the_fifteen_tables(cluster: Server) -> None:
    assert sorted(columns(cluster)) == sorted(tools.TABLES)


@pytest.mark.parametrize("month", ["2026-01", "2026-02"])
def test_every_column_of_the_platform_s_database_fits(
    cluster: Server, shared: Path, month: str
) -> None:
    declared = columns(cluster)
    file = shared / "fixtures" / f"atlastrinity_{month}_empty.db"
    source = sqlite3.connect(f"file:{file}?immutable=1", uri=True)
    tables = [
        name for (name,) in source.execute("select name from sqlite_master where type='table'")
    ]
    for table in tables:
        found = {
            name: (re.sub(r"\(.*", "", kind), bool(not_null))
            for _, name, kind, not_null, *_ in source.execute(f"pragma table_info({table})")
        }
        for name, (kind, not_null) in found.items():
            actual_kind, actual_not_null = declared[table][name]
            assert actual_kind in TYPES[kind], f"{table}.{name}"
            assert actual_not_null == not_null, f"{table}.{name}"
        if month == "2026-02":
            assert set(found) == set(declared[table]), table
    assert len(tables) == {"2026-01": 12, "2026-02": 15}[month]


def test_the_platform_s_tables_have_no_server_defaults(cluster: Server) -> None:
    assert (
        tools.query(
            cluster,
            "select adrelid::regclass::text from pg_attrdef"
            " inner join pg_class on pg_class.oid = adrelid"
            " where relnamespace = 'public'::regnamespace",
        )
        == []
    )


def test_integer_keys_are_identities_that_accept_given_values(cluster: Server) -> None:
    assert tools.query(
        cluster,
        """
        select distinct a.attidentity::text, format_type(s.seqtypid, null)
        from pg_attribute as a
        inner join pg_sequence as s
            on s.seqrelid = pg_get_serial_sequence(a.attrelid::regclass::text, a.attname)::regclass
        inner join pg_class as c on c.oid = a.attrelid
        where a.attname = 'id' and c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
            and a.atttypid = 'integer'::regtype
        """,
    ) == [("d", "integer")]


def test_every_foreign_key_leads_an_index(cluster: Server) -> None:
    assert (
        tools.query(
            cluster,
            """
        select conname from pg_constraint as f
        where f.contype = 'f' and not exists (
            select from pg_index as i
            where i.indrelid = f.conrelid
                and (i.indkey::smallint[])[0:cardinality(f.conkey) - 1] = f.conkey
        )
        """,
        )
        == []
    )


def test_names_follow_the_rule(cluster: Server) -> None:
    names = [
        str(name)
        for (name,) in tools.query(
            cluster,
            "select relname from pg_class where relkind = 'i'"
            " and relnamespace = 'public'::regnamespace",
        )
    ]
    assert names
    for name in names:
        assert re.fullmatch(r"ix_[a-z_]+|[a-z_]+_(pkey|key)", name)


def test_every_file_says_why_and_is_included(cluster: Server) -> None:
    files = sorted(SQL_DIRECTORY.rglob("*.sql"))
    included = "".join(file.read_text() for file in files)
    for file in files:
        assert file.read_text().startswith("-- "), file
        if file.name not in {"load.sql", "run.sql"}:
            assert f"{file.name}\n" in included, f"{file} is in no manifest"


def test_no_password_is_in_any_sql() -> None:
    for file in SQL_DIRECTORY.rglob("*.sql"):
        code = re.sub(r"--.*", "", file.read_text())
        assert "password" not in code.lower(), file


def test_the_reference_describes_every_table_role_and_index(cluster: Server) -> None:
    text = REFERENCE.read_text()
    for table, found in columns(cluster).items():
        section = re.search(rf"^### {table}\n(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE)
        assert section, f"{table} is not in {REFERENCE.name}"
        described = dict(re.findall(r"^\| `(\w+)` \| ([\w ]+?\??) \|", section[1], re.MULTILINE))
        assert described == {
            name: kind.replace("character varying", "varchar").replace(" without time zone", "")
            + ("" if not_null else "?")
            for name, (kind, not_null) in found.items()
        }
    for (name,) in tools.query(cluster, "select rolname from pg_roles where rolname !~ '^pg_'"):
        assert f"`{name}`" in text or name == "postgres"
