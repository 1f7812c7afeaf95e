"""What the user puts in the place of refused values, before a row is replayed."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from database.errors import UsageError
from migration.convert import Converted
from migration.plan import ColumnPlan, TablePlan
from migration.policies import NO_POLICIES, Policies
from migration.quarantine.values import decode_given
from migration.source import Value

_BLOB = re.compile(r"[xX]'((?:[0-9a-fA-F]{2})*)'", re.ASCII)
_NUMBERS = ("double precision", "real", "numeric")


@dataclass(frozen=True)
class Repair:
    """New values: by COLUMN or TABLE.COLUMN for all chosen rows, by id and column from a file."""

    texts: Mapping[str, str] = field(default_factory=dict)
    nulls: frozenset[str] = frozenset()
    rows: Mapping[int, Mapping[str, Value]] = field(default_factory=dict)
    #: They come after the values above, and before those of the run's plan.
    policies: Policies = NO_POLICIES
    #: The tables of the chosen rows.
    tables: frozenset[str] = frozenset()

    def for_tables(self, tables: Collection[str]) -> "Repair":
        """This repair, for rows of these tables.

        Raises:
            UsageError: there are several, and an option does not say which of them it is for:
                it would change rows that it was not meant for.
        """
        for name in (*self.texts, *self.nulls) if len(tables) > 1 else ():
            if not any(name.startswith(f"{table}.") for table in tables):
                raise UsageError(
                    f"The rows are of several tables ({', '.join(sorted(tables))}): "
                    f"which of them has the column {name} to be set?",
                    f"Write it as TABLE.COLUMN, for instance {min(tables)}.{name}.",
                )
        return replace(self, tables=frozenset(tables))

    def plan(self, table: TablePlan) -> TablePlan:
        """The table's plan with these policies where they say something, else with its own."""
        columns = []
        for column in table.columns:
            chosen = self.policies.column(table.table.name, column.source)
            policy = chosen.model_dump(exclude_defaults=True, exclude={"type"})
            merged = column.policy.model_copy(update=policy)
            columns.append(column.model_copy(update={"policy": merged}))
        return table.model_copy(update={"columns": tuple(columns)})

    def apply(self, entry_id: int, table: TablePlan, values: Mapping[str, Value]) -> list[Value]:
        """The row's values in the order of the plan's columns.

        Raises:
            UsageError: a column was named that the table has not.
        """
        repaired = dict(values)
        for name, value in self.rows.get(entry_id, {}).items():
            repaired[_column(table, name).source] = value
        for name in self.nulls:
            if column := self._meant(name, table):
                repaired[column.source] = None
        for name, text in self.texts.items():
            if column := self._meant(name, table):
                repaired[column.source] = _typed(text, column)
        return [repaired[column.source] for column in table.columns]

    def changes(
        self, entry_id: int, table: str, values: Mapping[str, Converted]
    ) -> dict[str, str | None]:
        """What is put in the place of values of a row that healing took out, as PostgreSQL's text.

        Raises:
            UsageError: a column was named that the row has not.
        """
        given: dict[str, Value] = dict(self.rows.get(entry_id, {}))
        for name, value in (*((name, None) for name in self.nulls), *self.texts.items()):
            if name.startswith(f"{table}.") or len(self.tables) <= 1:
                given[name.removeprefix(f"{table}.")] = value
        if unknown := sorted(set(given) - set(values)):
            raise UsageError(
                f"{table} has no column {unknown[0]}.", f"Its columns are: {', '.join(values)}."
            )
        return {name: _text(value) for name, value in given.items() if value != values[name]}

    def _meant(self, name: str, table: TablePlan) -> ColumnPlan | None:
        """The column of this table; None where a column of another one is meant."""
        prefix = f"{table.target}."
        if name.startswith(prefix):
            return _column(table, name.removeprefix(prefix))
        return None if len(self.tables) > 1 else _column(table, name)


def from_options(
    assignments: Iterable[str],
    nulls: Iterable[str],
    path: Path | None,
    policies: Policies = NO_POLICIES,
) -> Repair:
    """The repair that a command line asks for.

    Raises:
        UsageError: an assignment without '=', or a file that cannot be read as one of ours.
    """
    texts = {}
    for assignment in assignments:
        column, separator, text = assignment.partition("=")
        if not separator or not column:
            raise UsageError(
                f"--set {assignment} is no assignment.",
                "Write it as --set COLUMN=VALUE, or TABLE.COLUMN=VALUE.",
            )
        texts[column] = text
    rows = dict(_read(path)) if path else {}
    return Repair(texts, frozenset(nulls), rows, policies)


def _read(path: Path) -> Iterator[tuple[int, dict[str, Value]]]:
    """The rows of a file: what `show --json` prints, or JSON documents line by line."""
    try:
        text = path.read_text(encoding="utf-8")
        documents = _documents(text)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"Cannot read {path}: {error}.",
            "It should be the edited output of 'quarantine show --json'.",
        ) from error
    for document in documents:
        match document:
            case {"id": int(entry_id), "values": dict(values)}:
                yield entry_id, {name: decode_given(name, cell) for name, cell in values.items()}
            case _:
                raise UsageError(
                    f"{path} holds something that is no quarantined row.",
                    "Each row is an object with 'id' and 'values', as 'show --json' prints it.",
                )


def _documents(text: str) -> list[Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    return found if isinstance(found, list) else [found]


def _column(table: TablePlan, name: str) -> ColumnPlan:
    for column in table.columns:
        if name in (column.source, column.target):
            return column
    raise UsageError(
        f"{table.target} has no column {name}.",
        f"Its columns are: {', '.join(column.source for column in table.columns)}.",
    )


def _text(value: Value) -> str | None:
    return (
        f"\\x{value.hex()}" if isinstance(value, bytes) else None if value is None else str(value)
    )


def _typed(text: str, column: ColumnPlan) -> Value:
    """Text of a command line as the column would have it: a number, a blob x'00ff', or text."""
    if column.pg_type in _NUMBERS:
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
    blob = _BLOB.fullmatch(text) if column.pg_type == "bytea" else None
    return bytes.fromhex(blob[1]) if blob else text
