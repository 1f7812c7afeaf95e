"""Names in the target: as in the source, but 63 bytes long at most, and each one once."""

from collections.abc import Collection, Iterable, Sequence

from migration.known import TargetTables
from migration.profile import TableProfile
from migration.quoting import fold
from migration.schema import Table

#: PostgreSQL cuts identifiers after 63 bytes.
_NAME_BYTES = 63
#: Columns that every table of PostgreSQL has already.
_SYSTEM_COLUMNS = frozenset({"tableoid", "ctid", "xmin", "cmin", "xmax", "cmax"})


class Names:
    """The names of a plan. Tables, indexes and views share one space of names in PostgreSQL.

    `tables` maps source names to target names.
    """

    def __init__(
        self, entries: Sequence[TableProfile], target: TargetTables, taken: Collection[str]
    ) -> None:
        self._taken = set(taken) | set(target)
        self.tables: dict[str, str] = {}
        for entry in entries:
            if entry.known:
                self.tables[entry.table.name] = fold(entry.table.name)
        others = [entry.table.name for entry in entries if not entry.known]
        # Who keeps the name as it is goes first: a shortened name must not be in the way.
        for name in sorted(others, key=lambda name: name != shortened(name, "")):
            self.tables[name] = self.relation(name)
        self.tables = {entry.table.name: self.tables[entry.table.name] for entry in entries}

    def relation(self, name: str) -> str:
        """A name for a new relation: this one if it is free."""
        free = unique_name(name, self._taken)
        self._taken.add(free)
        return free


def unique_name(name: str, taken: Collection[str]) -> str:
    """The name, shortened where it must be, and numbered where it is taken."""
    candidate = shortened(name, "")
    number = 2
    while candidate in taken:
        candidate = shortened(name, f"_{number}")
        number += 1
    return candidate


def shortened(name: str, suffix: str) -> str:
    """At most 63 bytes, cut between characters, with the suffix."""
    room = _NAME_BYTES - len(suffix)
    # A name in broken UTF-8 reaches Python with surrogates.
    raw = name.encode("utf-8", "replace").replace(b"\0", b"")
    return (raw[:room].decode(errors="ignore") + suffix) or "_"


def column_names(table: Table) -> dict[str, str]:
    """Source name → target name of every column."""
    mapping: dict[str, str] = {}
    for name in _long_last(column.name for column in table.columns):
        mapping[name] = unique_name(name, {*mapping.values(), *_SYSTEM_COLUMNS})
    return {column.name: mapping[column.name] for column in table.columns}


def _long_last(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: name != shortened(name, ""))
