"""Legitimate statements: the gate refuses none, and each runs through the real tools."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from database.apply import run_psql
from database.settings import Server
from tests.conftest import fresh_database
from tests.corpus import statements
from tests.mcp_clients import agent
from tests.programs import query

pytestmark = pytest.mark.anyio

READS = statements("reads")
WRITES = statements("writes")
FIXTURE = Path(__file__).parent / "fixtures" / "two_sessions.sql"
#: Contrib modules that sites add; what they bring passes by the same rule as PostgreSQL's own.
EXTENSIONS = {
    "pg_trgm": [
        "select similarity('a', 'b'), word_similarity('a', 'b'), 'a' % 'b', show_trgm('x')"
    ],
    "citext": ["select 'A'::citext = 'a', max('x'::citext)"],
    "hstore": ["select 'a=>1'::hstore -> 'a', (each('a=>1')).key, hstore('k', 'v') || 'b=>2'"],
    "ltree": ["select 'a.b'::ltree <@ 'a', nlevel('a.b'), lca('a.b', 'a.c')"],
    "fuzzystrmatch": ["select levenshtein('a', 'b'), soundex('a'), metaphone('a', 4)"],
    "unaccent": ["select unaccent('é')"],
    "intarray": ["select sort(array[2, 1]), uniq(array[1, 1]), array[1, 2] @@ '1&2'::query_int"],
    "cube": ["select cube(array[1, 2]), cube_distance('(1)', '(2)')"],
    "earthdistance": ["select earth_distance(ll_to_earth(1, 1), ll_to_earth(2, 2))"],
    "pgcrypto": ["select encode(digest('x', 'sha256'), 'hex'), crypt('x', 'ab')"],
    "tablefunc": ["select count(*) from pg_extension"],
    "tsm_system_rows": ["select * from tasks tablesample system_rows (3)"],
    "btree_gist": ["select 1 <-> 3"],
}


@pytest.fixture(scope="module")
def platform(cluster: Server) -> Iterator[Server]:
    """The platform's tables with two sessions in them."""
    with fresh_database(cluster) as server:
        run_psql(server, FIXTURE)
        yield server


def test_the_corpus_is_large_enough_and_has_nothing_twice() -> None:
    assert len(set(READS)) == len(READS) >= 150
    assert len(set(WRITES)) == len(WRITES) >= 50


async def test_no_read_is_refused(platform: Server) -> None:
    failed = []
    async with agent(platform) as a:
        for sql in READS:
            parameters = [None] * ("$1" in sql)
            answer = await a.query(sql, params=parameters)
            if not answer["success"]:
                failed.append((sql, answer["refused_by"], answer["error"]))
    assert failed == []


async def test_no_write_is_refused(platform: Server) -> None:
    failed = []
    async with agent(platform) as a:
        for sql in WRITES:
            answer = await a.execute(sql)
            if not answer["success"]:
                failed.append((sql, answer["refused_by"], answer["error"]))
    assert failed == []


async def test_functions_and_operators_of_extensions_are_no_exception(database: Server) -> None:
    # sql/ has it elsewhere already, where the server has it.
    query(database, "drop extension if exists pg_trgm")
    query(database, "create extension cube schema public")
    for name in EXTENSIONS.keys() - {"cube"}:
        query(database, f"create extension {name} schema public")
    failed = []
    async with agent(database) as a:
        for sql in (sql for group in EXTENSIONS.values() for sql in group):
            answer = await a.query(sql)
            if not answer["success"]:
                failed.append((sql, answer["refused_by"], answer["error"]))
        for acting in ("select * from crosstab('x')", "select pgp_sym_encrypt('a', 'b')"):
            assert (await a.query(acting))["sqlstate"] == "42501"
    assert failed == []
