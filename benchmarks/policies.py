"""What the policies cost: the same query as the platform's login and as mcp_read, in turn.

`atlas` reads past the policies; `mcp_read` with a context that sees every session, and once more
bound to one session that owns a share of the rows. Binding itself is in no figure; it is printed
apart. Only ratios within one run mean anything: machines drift.
"""

import statistics
import time
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from rich.console import Console
from rich.table import Table

from database import cli
from database.apply import run_psql
from database.connect import connect
from database.embedded.temporary import temporary_server
from database.settings import Server
from mcp_server.context import sealed_context
from mcp_server.sql import sql_text

Connection = psycopg.Connection[tuple[object, ...]]

#: What the platform reads (atlastrinity: its reads that matter), name → query.
QUERIES = {
    "one task by id": "select * from tasks where id = {task}",
    "logs of a session": (
        "select * from logs where session_id = {session} order by timestamp desc limit 50"
    ),
    "steps of a task": "select * from task_steps where task_id = {task}",
    "tools of a step": (
        "select t.* from tool_executions t join task_steps s on s.id = t.step_id"
        " where s.task_id = {task} and s.sequence_number = '1' order by t.created_at desc limit 5"
    ),
    "neighbours of a node": (
        "select * from kg_edges where source_id = 'node:7' or target_id = 'node:7'"
    ),
    "failures per tool": (
        "select tool_name, count(*), avg((status = 'FAILED')::int) from tool_executions"
        " group by tool_name"
    ),
    "all logs": "select count(*) from logs",
}
SESSION = "00000000-0000-4000-8000-000000000001"
TASK = "10000000-0000-4000-8000-000000000001"
app = cli.application("Time queries with and without the policies.")
out = Console(highlight=False)


@app.command()
def main(
    runs: Annotated[int, typer.Option(help="Runs of each query and login.")] = 30,
) -> None:
    """Fill a database, run each query `runs` times with each login in turn, print medians."""
    with temporary_server() as server:
        run_psql(server, Path(__file__).with_suffix(".sql"))
        with connect(server, "postgres", autocommit=True) as admin:
            admin.execute("analyze")
        grid = Table("query", "atlas ms", "every session ms", "ratio", "one session ms", "ratio")
        for name, template in QUERIES.items():
            text = template.format(session=f"'{SESSION}'", task=f"'{TASK}'")
            plain, every, bound = _time(server, text, runs)
            grid.add_row(
                name,
                *(f"{plain:.2f}", f"{every:.2f}", f"{every / plain:.2f}"),
                *(f"{bound:.2f}", f"{bound / plain:.2f}"),
            )
        out.print(grid)
        out.print(f"Binding a transaction: {_time_binding(server, runs):.2f} ms (psycopg).")


def _time(server: Server, text: str, runs: int) -> tuple[float, float, float]:
    taken: tuple[list[float], list[float], list[float]] = ([], [], [])
    with connect(server, "atlas") as atlas, connect(server, "mcp_read") as agent:
        for _ in range(runs):
            taken[0].append(_milliseconds(atlas, text))
            for times, session in ((taken[1], ""), (taken[2], SESSION)):
                _bind(server, agent, session)
                times.append(_milliseconds(agent, text))
                agent.rollback()
            atlas.rollback()
    plain, every, bound = (statistics.median(times) for times in taken)
    return plain, every, bound


def _milliseconds(connection: Connection, text: str) -> float:
    start = time.perf_counter()
    connection.execute(text.encode(), prepare=False).fetchall()
    return (time.perf_counter() - start) * 1000


def _bind(server: Server, connection: Connection, session: str) -> None:
    row = connection.execute(sql_text("transaction_mark").encode()).fetchone()
    key = server.context_key()
    if row is None or key is None:
        raise AssertionError("a server of ours has a key")
    sealed = sealed_context(key, "benchmark", session, str(row[0]))
    connection.execute("select app.set_context(%s)", [sealed])


def _time_binding(server: Server, runs: int) -> float:
    taken = []
    with connect(server, "mcp_read") as connection:
        for _ in range(runs):
            connection.execute("select 1")
            start = time.perf_counter()
            _bind(server, connection, SESSION)
            taken.append((time.perf_counter() - start) * 1000)
            connection.rollback()
    return statistics.median(taken)


if __name__ == "__main__":
    cli.run(app)
