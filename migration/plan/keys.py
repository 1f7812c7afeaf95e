"""Foreign keys and indexes of tables that are created."""

from migration.plan.draft import Draft
from migration.plan.model import ForeignKeyPlan, IndexPlan
from migration.plan.names import column_names
from migration.profile import TableProfile
from migration.quoting import quote_name
from migration.schema import ForeignKey, Index, Table

#: Collations that order text by its bytes, as PostgreSQL's C does, or differ in trailing blanks.
_PLAIN_COLLATIONS = ("BINARY",)


def foreign_keys(table: Table, columns: dict[str, str], draft: Draft) -> tuple[ForeignKeyPlan, ...]:
    """Foreign keys whose parent exists and has a unique key; the others are noted."""
    own = {name.lower(): target for name, target in columns.items()}
    plans = []
    for key in table.foreign_keys:
        parent = draft.profile.table(key.parent)
        references = key.references or (parent.table.primary_key if parent else ())
        why = _impossible(key, parent, references, draft)
        if parent is None or why:
            draft.leave_out("foreign key", f"{table.name}({', '.join(key.columns)})", why)
            continue
        theirs = {name.lower(): target for name, target in _target_columns(parent).items()}
        plans.append(
            ForeignKeyPlan(
                columns=tuple(own[name.lower()] for name in key.columns),
                parent=draft.names.tables[parent.table.name],
                references=tuple(theirs[name.lower()] for name in references),
                on_update=key.on_update,
                on_delete=key.on_delete,
            )
        )
    return tuple(plans)


def _impossible(
    key: ForeignKey, parent: TableProfile | None, references: tuple[str, ...], draft: Draft
) -> str:
    if parent is None:
        return f"its parent table {key.parent} does not exist"
    if parent.table.name not in draft.names.tables:
        return f"its parent table {key.parent} is skipped"
    if len(references) != len(key.columns) or not _is_unique(parent.table, references):
        return f"{key.parent} has no unique key on {', '.join(references) or 'anything'}"
    return ""


def _target_columns(entry: TableProfile) -> dict[str, str]:
    if entry.known:
        return {column.name: column.name.lower() for column in entry.table.columns}
    return column_names(entry.table)


def _is_unique(table: Table, columns: tuple[str, ...]) -> bool:
    wanted = {name.lower() for name in columns}
    if wanted == {name.lower() for name in table.primary_key}:
        return bool(wanted)
    return any(
        index.unique
        and not index.partial
        and {str(name).lower() for name in index.columns} == wanted
        for index in table.indexes
    )


def indexes(table: Table, columns: dict[str, str], draft: Draft) -> tuple[IndexPlan, ...]:
    """Indexes that PostgreSQL can have; the others are noted."""
    plans = []
    for index in table.indexes:
        if index.origin == "pk":
            continue
        reason = ""
        if index.partial:
            reason = "partial indexes are not translated yet"
        elif None in index.columns:
            reason = "expression indexes are not translated yet"
        elif any(collation not in _PLAIN_COLLATIONS for collation in index.collations):
            reason = f"its collation {', '.join(set(index.collations))} is not translated yet"
        if reason:
            draft.leave_out("index", index.name, reason)
            continue
        chosen = tuple(columns[name] for name in index.columns if name is not None)
        plans.append(
            IndexPlan(
                name=_index_name(table, index, draft),
                keys=tuple(quote_name(name) for name in chosen),
                descending=index.descending,
                unique=index.unique,
            )
        )
    return tuple(plans)


def _index_name(table: Table, index: Index, draft: Draft) -> str:
    # SQLite's own names for the indexes of constraints mean nothing to anybody.
    if not index.name.startswith("sqlite_autoindex_"):
        return draft.names.relation(index.name)
    columns = "_".join(name for name in index.columns if name)
    return draft.names.relation(f"{draft.names.tables[table.name]}_{columns}_key")
