"""The triggers that log keys, as SQL.

Invariant: for every row that a statement adds, changes or removes, the log gets its key; and a key
whose row was there before the first logged change of it has `existed` = 1 in its first entry.
Entries about rows that did not change after all (INSERT OR IGNORE) are harmless.

With recursive_triggers off, which is the default of every connection, rows that REPLACE removes
fire no trigger of their own. So what a new row collides with, by any unique key, is logged before
it is written. An expression of an index is computed for the new row in a subquery of one row whose
columns have the table's names, so that its text is used as it stands.
"""

from collections.abc import Iterator

from migration.capture.keys import CapturedTable, unique_indexes
from migration.quoting import quote_name
from migration.schema import Index, Table
from migration.translate import read_index

#: Everything that capture puts into the file has a name that begins like this.
PREFIX = "_migration_"
CHANGELOG = f"{PREFIX}changes"
#: What stands in the file after the cutover; another prefix, as `follow --stop` leaves it alone.
BLOCK = "_moved_to_postgresql"
_OLD, _NEW = "old", "new"
#: Milliseconds since 1970. unixepoch('subsec') is younger than many a SQLite.
MOMENT = "cast((julianday('now') - 2440587.5) * 86400000 as integer)"


def changelog_definition(width: int) -> str:
    """CREATE TABLE of the changelog, for keys of up to `width` columns.

    The columns of keys have no type: a value stays of the storage class that it has.
    """
    keys = "".join(f", k{number}" for number in range(width))
    # Not AUTOINCREMENT: it would make sqlite_sequence, which can never be dropped again. The last
    # entry is never deleted, so no number is given twice.
    return (
        f"create table {CHANGELOG} (seq integer primary key, moment integer not null, "
        f"table_number integer not null, existed integer not null{keys})"
    )


def triggers(captured: CapturedTable) -> Iterator[str]:
    """CREATE TRIGGER for everything that can happen to a row of the table."""
    changed = " or ".join(
        # IS, since a key may hold NULL; binary, since a key may change in its case alone.
        f"{_of(_NEW, name)} collate binary is not {_of(_OLD, name)}"
        for name in captured.logged
    )
    yield _trigger(captured, "replaced", "before insert", _victims(captured, updating=False))
    yield _trigger(captured, "inserted", "after insert", [_entry(captured, _NEW, existed=0)])
    yield _trigger(captured, "displaced", "before update", _victims(captured, updating=True))
    yield _trigger(
        captured,
        "updated",
        "after update",
        [
            _entry(captured, _OLD, existed=1),
            _entry(captured, _NEW, existed=0) + f" where {changed}",
        ],
    )
    yield _trigger(captured, "deleted", "after delete", [_entry(captured, _OLD, existed=1)])


def _trigger(captured: CapturedTable, what: str, when: str, statements: list[str]) -> str:
    name = quote_name(f"{PREFIX}{captured.number}_{what}")
    body = "; ".join(statements)
    on = quote_name(captured.table.name)
    return f"create trigger {name} {when} on {on} for each row begin {body}; end" if body else ""


def _entry(captured: CapturedTable, row: str, *, existed: int) -> str:
    keys = (_of(row, name) for name in captured.logged)
    return _insertion(captured, existed, keys)


def _insertion(captured: CapturedTable, existed: int, keys: Iterator[str]) -> str:
    names = "".join(f", k{number}" for number in range(len(captured.logged)))
    values = "".join(f", {key}" for key in keys)
    return (
        f"insert into {CHANGELOG} (moment, table_number, existed{names}) "
        f"select {MOMENT}, {captured.number}, {existed}{values}"
    )


def _victims(captured: CapturedTable, *, updating: bool) -> list[str]:
    """Log the rows that the new one collides with, unless they are the one that is updated."""
    table = captured.table
    name = quote_name(table.name)
    conditions = [_collision(table, index, updating=updating) for index in unique_indexes(table)]
    if table.rowid_alias:
        # The primary key that is the rowid has no index of its own.
        alias = quote_name(table.rowid_alias)
        unchanged = f" and {_of(_NEW, alias)} is not {_of(_OLD, alias)}" if updating else ""
        conditions.append(f"{name}.{alias} = {_of(_NEW, alias)}{unchanged}")
    keys = [_of(name, key) for key in captured.logged]
    return [
        _insertion(captured, 1, iter(keys)) + f" from {name} as {name} where {condition}"
        for condition in conditions
    ]


def _collision(table: Table, index: Index, *, updating: bool) -> str:
    """The condition under which a row has the same entry in a unique index as the new row."""
    name = quote_name(table.name)
    definition = read_index(index.definition) if index.definition else None
    terms, differing = [], []
    for number, (column, collation) in enumerate(zip(index.columns, index.collations, strict=True)):
        by = f"collate {quote_name(collation)}"
        if column is not None:
            ours, new = f"{name}.{quote_name(column)}", _of(_NEW, quote_name(column))
            differing.append(f"{new} is not {_of(_OLD, quote_name(column))}")
        else:
            assert definition is not None
            ours = f"({definition.parts[number].text})"
            new = _computed(table, ours, _NEW)
            differing.append(f"{new} is not {_computed(table, ours, _OLD)}")
        terms.append(f"{ours} {by} = {new}")
    if definition and definition.where:
        # Of the row that is there. That the new one may lie outside the index is no harm.
        terms.append(f"({definition.where})")
        differing.append(f"not {_computed(table, f'({definition.where})', _OLD)}")
        differing.append(f"{_computed(table, f'({definition.where})', _OLD)} is null")
    if updating:
        # Constant for the statement, so it is computed once, and mostly spares the search.
        terms.insert(0, f"({' or '.join(differing)})")
    return " and ".join(terms)


def _computed(table: Table, expression: str, row: str) -> str:
    """The value of an expression over the table's columns for the new or the old row."""
    columns = ", ".join(
        f"{_of(row, quote_name(column.name))} as {quote_name(column.name)}"
        for column in table.columns
    )
    row = f"(select {columns}) as {quote_name(table.name)}"
    return f"(select {expression} from {row})"  # noqa: S608


def _of(row: str, expression: str) -> str:
    """A column, or the rowid, of a row. NULL stands for itself."""
    return expression if expression == "null" else f"{row}.{expression}"
