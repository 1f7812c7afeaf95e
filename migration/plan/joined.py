"""Columns that foreign keys join must have one type: the values of all of them decide it."""

from collections.abc import Iterable
from functools import reduce

from migration.facts import ColumnProfile
from migration.profile import TableProfile
from migration.quoting import fold

#: (table, column), both as `fold` gives them: SQLite compares names without their ASCII case.
_Place = tuple[str, str]
#: What decides a type: the declared type, and facts.
Evidence = tuple[str, ColumnProfile]


def joined_facts(entries: Iterable[TableProfile]) -> dict[_Place, Evidence]:
    """The evidence for every column that is created, by folded (table, column)."""
    created = {fold(entry.table.name): entry for entry in entries if not entry.known}
    evidence: dict[_Place, Evidence] = {
        (name, fold(column.name)): (column.declared, entry.columns[column.name])
        for name, entry in created.items()
        for column in entry.table.columns
        if column.name in entry.columns
    }
    for group in _groups(created):
        places = [place for place in group if place in evidence]
        if any(_is_rowid(created[table], column) for table, column in places):
            # A rowid is a whole number whatever its children hold; only empty children follow.
            places = [
                place
                for place in places
                if not evidence[place][1].values or _is_rowid(created[place[0]], place[1])
            ]
        if not places:
            continue
        joined = reduce(ColumnProfile.plus, (evidence[place][1] for place in places))
        declared = next((evidence[place][0] for place in places if evidence[place][0]), "")
        evidence |= dict.fromkeys(places, (declared, joined))
    return evidence


def _groups(tables: dict[str, TableProfile]) -> list[list[_Place]]:
    """Columns that are joined directly or by others; the parents before their children."""
    root: dict[_Place, _Place] = {}

    def find(place: _Place) -> _Place:
        while root.setdefault(place, place) != place:
            place = root[place]
        return place

    for name, entry in tables.items():
        for key in entry.table.foreign_keys:
            parent = tables.get(fold(key.parent))
            if parent is None:
                continue
            references = key.references or parent.table.primary_key
            for ours, theirs in zip(key.columns, references, strict=False):
                root[find((name, fold(ours)))] = find((fold(key.parent), fold(theirs)))
    groups: dict[_Place, list[_Place]] = {}
    for place in root:
        groups.setdefault(find(place), []).append(place)
    return [sorted(group, key=lambda place: place != top) for top, group in groups.items()]


def _is_rowid(entry: TableProfile, column: str) -> bool:
    return fold(entry.table.rowid_alias or "") == column
