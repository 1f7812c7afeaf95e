"""Foreign keys and indexes of tables that are created."""

from migration.plan.model import ForeignKeyPlan, IndexPlan
from migration.plan.names import column_names, shortened
from migration.profile import Profile
from migration.schema import LeftOut, Table


def foreign_keys(
    table: Table,
    columns: dict[str, str],
    names: dict[str, str],
    profile: Profile,
    not_carried: list[LeftOut],
) -> tuple[ForeignKeyPlan, ...]:
    """Foreign keys whose parent exists and has a unique key; the others go to `not_carried`."""
    parents = {entry.table.name.lower(): entry.table for entry in profile.tables}
    by_lower_name = {name.lower(): target for name, target in columns.items()}
    plans = []
    for key in table.foreign_keys:
        parent = parents.get(key.parent.lower())
        references = key.references or (parent.primary_key if parent else ())
        unique_in_parent = parent is not None and _is_unique(parent, references)
        if parent is None or not unique_in_parent:
            why = (
                f"its parent table {key.parent} does not exist"
                if parent is None
                else f"{key.parent} has no unique key on {', '.join(references)}"
            )
            name = f"{table.name}({', '.join(key.columns)})"
            not_carried.append(LeftOut(kind="foreign key", name=name, why=why))
            continue
        parent_columns = {name.lower(): target for name, target in column_names(parent).items()}
        plans.append(
            ForeignKeyPlan(
                columns=tuple(by_lower_name[name.lower()] for name in key.columns),
                parent=names[parent.name],
                references=tuple(parent_columns[name.lower()] for name in references),
                on_update=key.on_update,
                on_delete=key.on_delete,
            )
        )
    return tuple(plans)


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


def indexes(
    table: Table, columns: dict[str, str], not_carried: list[LeftOut]
) -> tuple[IndexPlan, ...]:
    """Indexes that PostgreSQL can have; the others go to `not_carried`."""
    plans = []
    for index in table.indexes:
        if index.origin == "pk":
            continue
        reason = ""
        if index.partial:
            reason = "partial indexes are not translated yet"
        elif None in index.columns:
            reason = "expression indexes are not translated yet"
        elif any(collation not in ("BINARY", "RTRIM") for collation in index.collations):
            reason = f"its collation {', '.join(set(index.collations))} is not translated yet"
        if reason:
            not_carried.append(LeftOut(kind="index", name=index.name, why=reason))
            continue
        chosen = tuple(columns[name] for name in index.columns if name is not None)
        # SQLite's own names for the indexes of constraints mean nothing to anybody.
        anonymous = index.name.startswith("sqlite_autoindex_")
        name = f"{table.name}_{'_'.join(chosen)}_key" if anonymous else index.name
        plans.append(IndexPlan(name=shortened(name, ""), columns=chosen, unique=index.unique))
    return tuple(plans)
