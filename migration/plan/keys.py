"""Foreign keys and indexes of tables that are created."""

from migration.plan.draft import Draft
from migration.plan.model import MOST_COLUMNS, ForeignKeyPlan, IndexPlan
from migration.plan.names import column_names
from migration.profile import TableProfile
from migration.quoting import fold, quote_name
from migration.schema import ForeignKey, Index, Table
from migration.translate import (
    IndexDefinition,
    Scope,
    TableDefinition,
    UntranslatableError,
    expression,
    index_part,
    read_index,
)


def foreign_keys(
    table: Table, columns: dict[str, str], definition: TableDefinition, draft: Draft
) -> tuple[ForeignKeyPlan, ...]:
    """Foreign keys whose parent exists and has a unique key; the others are noted."""
    own = {fold(name): target for name, target in columns.items()}
    deferred = {tuple(fold(name) for name in names) for names in definition.deferred}
    plans = []
    for key in table.foreign_keys:
        parent = draft.profile.table(key.parent)
        references = key.references or (parent.table.primary_key if parent else ())
        why = _impossible(key, parent, references, draft)
        if parent is None or why:
            draft.leave_out("foreign key", f"{table.name}({', '.join(key.columns)})", why)
            continue
        theirs = {fold(name): target for name, target in _target_columns(parent).items()}
        plans.append(
            ForeignKeyPlan(
                columns=tuple(own[fold(name)] for name in key.columns),
                parent=draft.names.tables[parent.table.name],
                references=tuple(theirs[fold(name)] for name in references),
                on_update=key.on_update,
                on_delete=key.on_delete,
                deferred=tuple(fold(name) for name in key.columns) in deferred,
            )
        )
    return tuple(plans)


def _impossible(
    key: ForeignKey, parent: TableProfile | None, references: tuple[str, ...], draft: Draft
) -> str:
    if parent is None:
        return f"its parent table {key.parent} does not exist"
    if len(parent.table.columns) > MOST_COLUMNS:
        return f"its parent table {key.parent} has too many columns for PostgreSQL"
    if parent.table.name not in draft.names.tables:
        return f"its parent table {key.parent} is skipped"
    if len(references) != len(key.columns) or not _is_unique(parent.table, references):
        return f"{key.parent} has no unique key on {', '.join(references) or 'anything'}"
    return ""


def _target_columns(entry: TableProfile) -> dict[str, str]:
    if entry.known:
        return {column.name: fold(column.name) for column in entry.table.columns}
    return column_names(entry.table)


def _is_unique(table: Table, columns: tuple[str, ...]) -> bool:
    wanted = {fold(name) for name in columns}
    if wanted == {fold(name) for name in table.primary_key}:
        return bool(wanted)
    return any(
        index.unique and not index.partial and {fold(str(name)) for name in index.columns} == wanted
        for index in table.indexes
    )


def indexes(table: Table, scope: Scope, draft: Draft, *, keyed: bool) -> tuple[IndexPlan, ...]:
    """Indexes that PostgreSQL can have; the others are noted.

    `keyed`: the table has its primary key, whose index is not wanted a second time.
    """
    plans = []
    for index in table.indexes:
        if keyed and index.origin == "pk" and set(index.collations) == {"BINARY"}:
            continue
        try:
            definition = read_index(index.definition) if index.definition else None
            keys = tuple(
                index_part(
                    _key_text(index, definition, number),
                    scope,
                    index.collations[number],
                )
                for number, name in enumerate(index.columns)
            )
            where = definition.where if definition else None
            condition = expression(where, scope, "boolean") if where else None
        except UntranslatableError as error:
            draft.leave_out("index", index.name, f"on {table.name}: {error}")
            continue
        plans.append(
            IndexPlan(
                name=_index_name(table, index, draft),
                keys=keys,
                descending=index.descending,
                unique=index.unique,
                where=condition,
            )
        )
    return tuple(plans)


def _key_text(index: Index, definition: IndexDefinition | None, number: int) -> str:
    name = index.columns[number]
    if name is not None:
        return quote_name(name)
    if definition is None:
        raise UntranslatableError("an expression without a text")
    return definition.parts[number].text


def _index_name(table: Table, index: Index, draft: Draft) -> str:
    # SQLite's own names for the indexes of constraints mean nothing to anybody.
    if not index.name.startswith("sqlite_autoindex_"):
        return draft.names.relation(index.name)
    columns = "_".join(name for name in index.columns if name)
    return draft.names.relation(f"{draft.names.tables[table.name]}_{columns}_key")
