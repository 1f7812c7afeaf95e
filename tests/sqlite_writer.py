"""Another process that writes to a SQLite database, as the platform does.

    python -m tests.sqlite_writer DATABASE HOLD_MS PAUSE_MS TIMEOUT_S [STATEMENT]

Prints "ready" once it holds the write lock for the first time; ends when its stdin is closed, and
prints how often it wrote and how often SQLite answered "locked".
"""

import select
import sqlite3
import sys
import time


def main() -> None:
    path, hold, pause, timeout = sys.argv[1], *map(float, sys.argv[2:5])
    begin = sys.argv[5] if len(sys.argv) > 5 else "begin immediate"
    connection = sqlite3.connect(path, timeout=timeout, isolation_level=None)
    connection.execute("create table if not exists written (id integer primary key, text text)")
    wrote = refused = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        try:
            connection.execute(begin)
            connection.execute("insert into written (text) values ('їжак')")
            if not wrote:
                print("ready", flush=True)
            time.sleep(hold / 1000)
            connection.execute("commit")
            wrote += 1
        except sqlite3.OperationalError:
            refused += 1
            if connection.in_transaction:
                connection.execute("rollback")
        time.sleep(pause / 1000)
    print(wrote, refused, flush=True)


if __name__ == "__main__":
    main()
