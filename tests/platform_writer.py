"""Another process that writes as the platform does, and says what was acknowledged.

    python -m tests.platform_writer DATABASE NAME SECONDS_BETWEEN ACKNOWLEDGED

Every transaction adds a row "NAME-n" to logs, and does something else beside it. Its number is
written to the file ACKNOWLEDGED once COMMIT returned. It ends when its standard input is closed, or
when the file says that it moved.
"""

import os
import select
import sqlite3
import sys
import time
import uuid
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from tests.programs import CHECKOUT

SCHEMA = (CHECKOUT / "migration/export/platform.sql").read_text()
FURTHER = """
create table dataset_ranks (row_id integer primary key, place integer unique, label text);
create table dataset_parents (id text primary key);
create table dataset_children (row_id integer primary key,
    parent text references dataset_parents on delete cascade on update cascade);
create table dataset_lines (line text, value real);
"""
BUSY_SECONDS = 60
#: What a block says.
MOVED = "moved to PostgreSQL"


def make_platform(path: Path) -> Path:
    """An empty database of the platform's shape."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.executescript(SCHEMA + FURTHER)
    return path


class Writer:
    """One connection, and what it does at random."""

    def __init__(self, path: Path, name: str) -> None:
        self.connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        self.connection.execute("pragma foreign_keys = on")
        self.name = name
        self.random = Random(name)
        self.longest = 0.0

    def transaction(self, number: int) -> None:
        """One transaction; what is raised has changed nothing."""
        started = time.monotonic()
        self.connection.execute("begin immediate")
        try:
            self._log(number)
            self.random.choice(self.ACTIONS)(self)
            self.connection.execute("commit")
        finally:
            if self.connection.in_transaction:
                self.connection.execute("rollback")
            # A refusal is an answer too.
            self.longest = max(self.longest, time.monotonic() - started)

    def _log(self, number: int) -> None:
        self._run(
            "insert into logs (session_id, timestamp, level, source, message) "
            "values ('current_session', ?, 'INFO', 'writer', ?)",
            now(),
            f"{self.name}-{number}",
        )

    def _task(self) -> None:
        session, task, step = (str(uuid.UUID(int=self.random.getrandbits(128))) for _ in range(3))
        self._run("insert into sessions values (?, ?, null, '{}')", session, now())
        self._run(
            "insert into tasks (id, session_id, goal, status, golden_path, created_at, "
            "metadata_blob) values (?, ?, 'ціль', 'RUNNING', 0, ?, '{\"a\": [1, 2.5]}')",
            *(task, session, now()),
        )
        self._run(
            "insert into task_steps (id, task_id, sequence_number, action, tool, status, "
            "duration_ms, created_at) values (?, ?, '1.2', 'act', 'shell', 'RUNNING', 0, ?)",
            *(step, task, now()),
        )
        self._run("update task_steps set status = 'SUCCESS', duration_ms = 12 where id = ?", step)
        self._run("update tasks set golden_path = 1, completed_at = ? where id = ?", now(), task)

    def _file(self) -> None:
        path = f"/src/{self.random.randrange(40)}.py"
        self._run(
            "replace into files (path, name, size, mtime, is_dir, last_scanned) "
            "values (?, 'f', ?, ?, 0, ?)",
            *(path, self.random.randrange(10**6), self.random.random() * 1e9, now()),
        )

    def _node(self) -> None:
        one, other = (f"urn:{self.random.randrange(60)}" for _ in range(2))
        for node in (one, other):
            self._run(
                "insert into kg_nodes (id, type, namespace, attributes, last_updated) "
                "values (?, 'CONCEPT', 'global', '{}', ?) "
                "on conflict (id) do update set last_updated = excluded.last_updated",
                *(node, now()),
            )
        self._run(
            "insert into kg_edges (source_id, target_id, relation, namespace, created_at) "
            "values (?, ?, 'USES', 'global', ?)",
            *(one, other, now()),
        )

    def _swap(self) -> None:
        for place in range(1, 6):
            self._run("insert or ignore into dataset_ranks (place) values (?)", place)
        one, other = self.random.sample(range(1, 6), 2)
        self._run("update dataset_ranks set place = -1 where place = ?", one)
        self._run("update dataset_ranks set place = ? where place = ?", one, other)
        self._run("update dataset_ranks set place = ?, label = 'x' where place = -1", other)

    def _cascade(self) -> None:
        parent = f"p{self.random.randrange(5)}"
        self._run("insert or ignore into dataset_parents values (?)", parent)
        self._run("insert into dataset_children (parent) values (?)", parent)
        if self.random.random() < 0.3:
            self._run("delete from dataset_parents where id = ?", parent)
        elif self.random.random() < 0.3:
            self._run("update or replace dataset_parents set id = id || 'x' where id = ?", parent)

    def _large(self) -> None:
        self._run(
            "insert into chat_history (session_id, role, content, created_at, metadata_blob) "
            "values ('current_session', 'user', ?, ?, '{}')",
            *("текст " * self.random.randrange(40_000), now()),
        )

    def _delete(self) -> None:
        self._run("delete from kg_edges where id in (select min(id) from kg_edges)")
        self._run("delete from chat_history where id in (select min(id) from chat_history)")

    def _line(self) -> None:
        self._run("insert into dataset_lines values ('x', ?)", self.random.randrange(3))
        if self.random.random() < 0.1:
            self._run("delete from dataset_lines where rowid in (select min(rowid) from logs)")

    def _run(self, text: str, *values: object) -> None:
        self.connection.execute(text, values)

    ACTIONS = (_task, _file, _node, _swap, _cascade, _large, _delete, _line)


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def main() -> None:
    path, name, between, acknowledged = sys.argv[1:5]
    writer = Writer(Path(path), name)
    file = os.open(acknowledged, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    number = 0
    while not select.select([sys.stdin], [], [], float(between))[0]:
        number += 1
        try:
            writer.transaction(number)
        except sqlite3.Error as error:
            if MOVED in str(error):
                print("moved", flush=True)
                break
            print(f"{number}: {error}", flush=True)
            continue
        os.write(file, f"{name}-{number}\n".encode())
    print(f"longest {writer.longest:.3f}", flush=True)


if __name__ == "__main__":
    main()
