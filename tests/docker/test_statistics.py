"""The PostgreSQL image counts statements, logs slow plans, and can suppose indexes."""

import subprocess
import time
import uuid
from collections.abc import Iterator

import pytest

from tests.docker.project import ROOT, run


@pytest.fixture(scope="module")
def container(base_images: None) -> Iterator[str]:
    """The image's server with sql/ applied, in a container of its own without a volume."""
    name = f"atlas-test-statistics-{uuid.uuid4().hex[:8]}"
    run(["docker", "build", "--quiet", "--tag", name, "--file", "docker/postgres/Dockerfile", "."])
    try:
        run(
            ["docker", "run", "--detach", "--name", name, "--env", "POSTGRES_PASSWORD=of-a-test",
             "--volume", f"{ROOT / 'sql'}:/sql:ro", name],
        )  # fmt: skip
        wait_until_ready(name)
        psql(name, "create database atlastrinity_prod", database="postgres")
        assert psql(name, "\\i /sql/load.sql") == ""
        yield name
    finally:
        run(["docker", "rm", "--force", "--volumes", name], check=False)
        run(["docker", "image", "rm", "--force", name], check=False)


def wait_until_ready(name: str) -> None:
    # The server that initdb's scripts use listens on the socket alone.
    ready = ["docker", "exec", name, "pg_isready", "--quiet", "--host", "127.0.0.1"]
    for _ in range(240):
        if run(ready, check=False).returncode == 0:
            return
        time.sleep(0.5)
    raise AssertionError(run(["docker", "logs", name], check=False).stderr)


def psql(name: str, text: str, *, database: str = "atlastrinity_prod") -> str:
    """What psql prints, as the container's own administrator."""
    result = subprocess.run(
        ["docker", "exec", "--interactive", name, "psql", "-XqAt", "-v", "ON_ERROR_STOP=1",
         "-U", "postgres", "-d", database],
        input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_the_extensions_are_there_and_sql_has_nothing_to_do(container: str) -> None:
    found = psql(container, "select extname from pg_extension order by 1").split()
    assert found == ["hypopg", "pg_stat_statements", "pg_trgm", "plpgsql"]
    assert psql(container, "\\i /sql/load.sql") == ""
    assert psql(container, "\\i /sql/checks/run.sql") == ""


def test_an_index_is_supposed_for_explain_alone_and_ends(container: str) -> None:
    psql(
        container,
        "create table t as select n, n % 1000 as m from generate_series(1, 20000) n;"
        "grant select on t to mcp_read; analyze t;",
    )
    printed = psql(
        container,
        "set session authorization mcp_read;"
        "select ops.suppose_index('create index i on public.t (m)');"
        "explain (costs off) select n from public.t where m = 7;"
        "select ops.suppose_nothing();"
        "explain (costs off) select n from public.t where m = 7;",
    )
    supposed, plain = printed.split("Seq Scan", 1)[0], printed.split("Seq Scan", 1)[-1]
    assert "btree_t_m" in supposed
    assert "Index" not in plain
    assert psql(container, "select count(*) from pg_index where indrelid = 't'::regclass") == "0"


def test_statements_are_counted_without_their_values(container: str) -> None:
    psql(
        container,
        "set session authorization atlas; select count(*) from tasks where goal = 'a secret';",
    )
    shown = psql(container, "select statement, calls from ops.slow_statements()")
    assert "select count(*) from tasks where goal = $1|1" in shown
    assert "secret" not in shown


def test_the_plan_of_what_is_slow_is_logged(container: str) -> None:
    psql(container, "select pg_sleep(2.1), count(*) from tasks;")
    logged = run(["docker", "logs", container]).stderr
    assert "plan:" in logged
    assert "Aggregate" in logged
