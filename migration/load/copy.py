"""The copy engine: rows go from SQLite straight into PostgreSQL's COPY.

`ON_ERROR ignore` with verbose logging names every row that PostgreSQL cannot read, by line,
in one pass; the line leads back to the source row.
"""

import re
import time
from pathlib import Path

from psycopg import errors, sql

from database.errors import TargetError
from migration.load.engine import EngineName, LoadedTable, Progress
from migration.plan import Plan, TablePlan
from migration.rows import RefusedRow, RowConverter, rows_at
from migration.source import read_rows
from migration.statements import Connection
from migration.target import identifier

_ROWS_PER_PROGRESS = 500
_SKIPPED = re.compile(r"\bline (\d+)\b.*?\bcolumn \"?(.+?)\"?:", re.DOTALL)


class CopyEngine:
    """Streams COPY text; nothing is kept outside the transaction."""

    name = EngineName.COPY
    stages = False

    def prepare(self, snapshot: Path, plan: Plan, progress: Progress) -> None:
        """Nothing to do."""

    def clean(self) -> None:
        """Nothing to do."""

    def load(
        self, connection: Connection, snapshot: Path, table: TablePlan, progress: Progress
    ) -> LoadedTable:
        """Send every row that converts, then account for each one that PostgreSQL skipped."""
        started = time.monotonic()
        loaded = LoadedTable(table)
        skipped: list[tuple[int, str]] = []

        def note(diagnostic: errors.Diagnostic) -> None:
            found = _SKIPPED.search(diagnostic.message_primary or "")
            if found:
                skipped.append((int(found[1]), found[2]))

        connection.add_notice_handler(note)
        try:
            sent = self._send(connection, snapshot, table, progress, loaded)
        finally:
            connection.remove_notice_handler(note)
        if sent != loaded.rows + len(skipped):
            raise TargetError(
                f"{table.target}: {sent} rows were sent, {loaded.rows} arrived and "
                f"{len(skipped)} were refused.",
                "Nothing was changed. Set lc_messages to C or English on the server.",
            )
        loaded.refused += _explain_skipped(connection, snapshot, table, loaded, skipped)
        loaded.seconds = time.monotonic() - started
        return loaded

    def _send(
        self,
        connection: Connection,
        snapshot: Path,
        table: TablePlan,
        progress: Progress,
        loaded: LoadedTable,
    ) -> int:
        convert = RowConverter(table).convert
        command = sql.SQL(
            "copy {} ({}) from stdin (on_error ignore, log_verbosity verbose)"
        ).format(
            identifier(table),
            sql.SQL(", ").join(sql.Identifier(column.target) for column in table.columns),
        )
        sent = read = 0
        with connection.cursor() as cursor:
            with cursor.copy(command) as copy:
                for row in read_rows(snapshot, table.table):
                    read += 1
                    if read % _ROWS_PER_PROGRESS == 0:
                        progress.advance(table, _ROWS_PER_PROGRESS)
                    converted = convert(row)
                    if isinstance(converted, RefusedRow):
                        loaded.refused.append(converted)
                    else:
                        copy.write_row(converted)
                        sent += 1
            loaded.rows = cursor.rowcount
        progress.advance(table, read % _ROWS_PER_PROGRESS)
        return sent


def _explain_skipped(
    connection: Connection,
    snapshot: Path,
    table: TablePlan,
    loaded: LoadedTable,
    skipped: list[tuple[int, str]],
) -> list[RefusedRow]:
    """The source rows behind COPY's line numbers, each with PostgreSQL's own reason."""
    if not skipped:
        return []
    skipped.sort()
    columns = {
        position: column
        for (_, column), position in zip(
            skipped,
            _positions([line for line, _ in skipped], [r.row.position for r in loaded.refused]),
            strict=True,
        )
    }
    refused = []
    plans = {column.target: column for column in table.columns}
    numbers = {column.target: number for number, column in enumerate(table.columns)}
    convert = RowConverter(table).convert
    for row in rows_at(snapshot, table, set(columns)):
        name = columns[row.position]
        converted = convert(row)
        assert not isinstance(converted, RefusedRow)
        found = connection.execute(
            "select message, sql_error_code from pg_input_error_info(%s, %s)",
            [str(converted[numbers[name]]), plans[name].pg_type],
        ).fetchone()
        reason, sqlstate = (str(found[0]), str(found[1])) if found else ("refused by COPY", "22000")
        refused.append(RefusedRow(table, row, plans[name].source, reason, sqlstate))
    return refused


def _positions(lines: list[int], not_sent: list[int]) -> list[int]:
    """Source positions of COPY's 1-based line numbers: rows that were not sent have no line."""
    gaps = sorted(not_sent)
    positions = []
    passed = 0
    for line in sorted(lines):
        position = line - 1 + passed
        while passed < len(gaps) and gaps[passed] <= position:
            passed += 1
            position += 1
        positions.append(position)
    return positions
