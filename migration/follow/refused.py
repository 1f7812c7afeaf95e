"""What of a followed source is in quarantine instead of its table, by key."""

from collections.abc import Iterable

from database.errors import TargetError
from migration import quarantine
from migration.capture.changes import Key
from migration.capture.keys import CapturedTable
from migration.plan import TablePlan
from migration.quarantine.read import value_of
from migration.rows import RefusedRow
from migration.source import Row, Value
from migration.statements import Connection, fetch, statement


class RefusedRows:
    """The quarantine of a followed run. It is what the source has now, not what it had once."""

    def __init__(self, connection: Connection, run_id: int, tables: Iterable[str]) -> None:
        self._connection = connection
        self._scope = {"run_id": run_id, "tables": list(tables)}
        self._entries = fetch(connection, "follow_refused", **self._scope)
        replayed = [entry["id"] for entry in self._entries if entry["replayed_at"]]
        if replayed:
            raise TargetError(
                f"Rows of quarantine were replayed while their source is followed: "
                f"{', '.join(map(str, replayed[:20]))}.",
                "Correct rows in SQLite instead: the correction arrives by itself. "
                "'python -m migration follow --replace' starts over.",
            )

    def __len__(self) -> int:
        return len(self._entries)

    def keys(
        self, captured: CapturedTable, table: TablePlan, *, retried: bool = False
    ) -> dict[Key, list[int]]:
        """The ids of a table's entries by key; of those that may be taken by now, or of all."""
        found: dict[Key, list[int]] = {}
        for entry in self._entries:
            if entry["table_name"] == table.target and (entry["is_retried"] or not retried):
                found.setdefault(self._key(captured, entry), []).append(entry["id"])
        return found

    def rows(self, table: TablePlan) -> list[RefusedRow]:
        """A table's entries as the rows that they are of."""
        return [
            RefusedRow(table, Row(-1, (), self._values(entry, table)), None, "in quarantine", "")
            for entry in self._entries
            if entry["table_name"] == table.target
        ]

    def forget(self, ids: Iterable[int]) -> None:
        """Take entries out: their rows are gone, or are judged anew."""
        gone = set(ids)
        if gone:
            self._connection.execute(
                statement("follow_refused_gone"),
                {"run_id": self._scope["run_id"], "ids": list(gone)},
            )
            self._entries = [entry for entry in self._entries if entry["id"] not in gone]

    def keep(self, refused: list[RefusedRow]) -> None:
        """Put rows in."""
        if refused:
            quarantine.keep(self._connection, int(str(self._scope["run_id"])), refused)

    def _key(self, captured: CapturedTable, entry: dict[str, object]) -> Key:
        if captured.key:
            return tuple(self._value(entry, name) for name in captured.key)
        # The rowid, which is in the key alone: no value of a row.
        key = entry["source_key"]
        assert isinstance(key, dict)
        return tuple(key.values()) or (None,)

    def _values(self, entry: dict[str, object], table: TablePlan) -> Key:
        return tuple(self._value(entry, column.source) for column in table.columns)

    def _value(self, entry: dict[str, object], column: str) -> Value:
        cells = entry["row_values"]
        assert isinstance(cells, dict)
        value = value_of(self._connection, int(str(entry["id"])), cells[column])
        # What came from SQLite is of one of its five classes.
        assert value is None or isinstance(value, int | float | str | bytes)
        return value
