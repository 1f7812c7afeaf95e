"""Names in the target: as in the source, but 63 bytes long at most, and each one once."""

from collections.abc import Iterable

from migration.plan.model import TargetColumn
from migration.schema import Table

#: PostgreSQL cuts identifiers after 63 bytes.
_NAME_BYTES = 63
#: Columns that every table of PostgreSQL has already.
_SYSTEM_COLUMNS = frozenset({"tableoid", "ctid", "xmin", "cmin", "xmax", "cmax"})


def target_names(
    names: Iterable[str], known: dict[str, tuple[TargetColumn, ...]]
) -> dict[str, str]:
    """Source name → target name: a known table whatever its case, else the same name, shortened."""
    mapping: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        target = name.lower() if name.lower() in known else unique_name(name, taken)
        taken.add(target)
        mapping[name] = target
    return mapping


def unique_name(name: str, taken: set[str]) -> str:
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
    return (name.encode()[:room].decode(errors="ignore") + suffix) or "_"


def column_names(table: Table) -> dict[str, str]:
    """Source name → target name of every column."""
    mapping: dict[str, str] = {}
    taken = set(_SYSTEM_COLUMNS)
    for column in table.columns:
        mapping[column.name] = unique_name(column.name, taken)
        taken.add(mapping[column.name])
    return mapping
