"""What becomes of every table and column, decided before anything runs."""

from collections.abc import Collection, Iterable

from pydantic import BaseModel, ConfigDict

from migration.profile import ColumnProfile, Profile, TableProfile
from migration.schema import Column, LeftOut, Table
from migration.types import choose_type

#: PostgreSQL cuts identifiers after 63 bytes.
_NAME_BYTES = 63


class TargetColumn(BaseModel):
    """A column that the target already has."""

    model_config = ConfigDict(frozen=True)

    name: str
    pg_type: str
    not_null: bool
    has_default: bool
    generated: bool


class ColumnPlan(BaseModel):
    """Where a column's values go."""

    model_config = ConfigDict(frozen=True)

    source: str
    target: str
    declared: str
    pg_type: str
    not_null: bool
    why: str
    #: The target lacks this column: it is added.
    added: bool


class ForeignKeyPlan(BaseModel):
    """A foreign key of a table that is created, in the target's names."""

    model_config = ConfigDict(frozen=True)

    columns: tuple[str, ...]
    parent: str
    references: tuple[str, ...]
    on_update: str
    on_delete: str


class IndexPlan(BaseModel):
    """An index or unique constraint of a table that is created, in the target's names."""

    model_config = ConfigDict(frozen=True)

    name: str
    columns: tuple[str, ...]
    unique: bool


class TablePlan(BaseModel):
    """Where a table's rows go. Keys and indexes are given for tables that are created alone."""

    model_config = ConfigDict(frozen=True)

    table: Table
    target: str
    known: bool
    rows: int
    columns: tuple[ColumnPlan, ...]
    primary_key: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKeyPlan, ...] = ()
    indexes: tuple[IndexPlan, ...] = ()
    #: Columns that the source lacks and sql/ has a value for.
    backfilled: tuple[str, ...] = ()


class Plan(BaseModel):
    """The whole migration: every table in name order, and what does not arrive."""

    model_config = ConfigDict(frozen=True)

    tables: tuple[TablePlan, ...]
    not_carried: tuple[LeftOut, ...]
    #: Why the plan cannot run; empty when it can.
    problems: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Rows of the source."""
        return sum(table.rows for table in self.tables)


def make_plan(
    profile: Profile,
    target: dict[str, tuple[TargetColumn, ...]],
    backfills: Collection[tuple[str, str]] = (),
) -> Plan:
    """Decide for every table and column.

    Args:
        profile: the source's facts.
        target: the tables that the target has, by name, with their columns.
        backfills: (table, column) that sql/ has a value for where an older source lacks it.
    """
    not_carried = list(profile.left_out)
    problems: list[str] = []
    names = _target_names((entry.table.name for entry in profile.tables), target)
    tables = []
    for entry in profile.tables:
        name = names[entry.table.name]
        if name in target:
            tables.append(_known_table(entry, name, target[name], backfills, problems))
        else:
            tables.append(_created_table(entry, names, profile, not_carried))
    return Plan(tables=tuple(tables), not_carried=tuple(not_carried), problems=tuple(problems))


def _target_names(
    names: Iterable[str], known: dict[str, tuple[TargetColumn, ...]]
) -> dict[str, str]:
    """Source name → target name: a known table whatever its case, else the same name, shortened."""
    mapping: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        target = name.lower() if name.lower() in known else _unique_name(name, taken)
        taken.add(target)
        mapping[name] = target
    return mapping


def _unique_name(name: str, taken: set[str]) -> str:
    candidate = _shortened(name, "")
    number = 2
    while candidate in taken:
        candidate = _shortened(name, f"_{number}")
        number += 1
    return candidate


def _shortened(name: str, suffix: str) -> str:
    room = _NAME_BYTES - len(suffix)
    return name.encode()[:room].decode(errors="ignore") + suffix


def _known_table(
    entry: TableProfile,
    name: str,
    columns: tuple[TargetColumn, ...],
    backfills: Collection[tuple[str, str]],
    problems: list[str],
) -> TablePlan:
    there = {column.name: column for column in columns}
    plans = []
    for column, facts in zip(entry.table.columns, entry.columns, strict=True):
        match = there.get(column.name) or there.get(column.name.lower())
        if match is None:
            plans.append(_new_column(column, facts, column.name, added=True))
        elif match.generated:
            problems.append(f"{name}.{match.name} is generated in the target and cannot be loaded")
        else:
            plans.append(
                ColumnPlan(
                    source=column.name,
                    target=match.name,
                    declared=column.declared,
                    pg_type=match.pg_type,
                    not_null=match.not_null,
                    why="as sql/ defines it",
                    added=False,
                )
            )
    missing = {key for key, column in there.items() if column.not_null and not column.has_default}
    missing -= {plan.target for plan in plans}
    backfilled = {column for column in missing if (name, column) in backfills}
    missing -= backfilled
    if missing and entry.rows:
        problems.append(
            f"{name}: the source has no column {', '.join(sorted(missing))}, "
            "and the target accepts no NULL in it"
        )
    return TablePlan(
        table=entry.table,
        target=name,
        known=True,
        rows=entry.rows,
        columns=tuple(plans),
        backfilled=tuple(sorted(backfilled)),
    )


def _new_column(
    column: Column, facts: ColumnProfile, target: str, *, added: bool, required: bool = False
) -> ColumnPlan:
    pg_type, why = choose_type(column, facts)
    if added:
        why += "; sql/ does not know this column, it is added"
    # NOT NULL is kept where every value keeps it; an added column stays nullable, since the
    # platform's new rows will not fill it.
    not_null = (required or column.not_null) and not facts.nulls and not added
    return ColumnPlan(
        source=column.name,
        target=target,
        declared=column.declared,
        pg_type=pg_type,
        not_null=not_null,
        why=why,
        added=added,
    )


def _created_table(
    entry: TableProfile, names: dict[str, str], profile: Profile, not_carried: list[LeftOut]
) -> TablePlan:
    table = entry.table
    columns = _column_names(table)
    plans = tuple(
        _new_column(
            column, facts, columns[column.name], added=False, required=_in_key(column, table)
        )
        for column, facts in zip(table.columns, entry.columns, strict=True)
    )
    nulls = {plan.source for plan, facts in zip(plans, entry.columns, strict=True) if facts.nulls}
    key = table.primary_key
    if nulls & set(key):
        why = "SQLite allowed NULL in this key; PostgreSQL does not"
        not_carried.append(LeftOut(kind="primary key", name=table.name, why=why))
        key = ()
    if table.has_checks:
        why = "CHECK constraints are not translated yet"
        not_carried.append(LeftOut(kind="check", name=table.name, why=why))
    for column in table.columns:
        if column.generated:
            why = "a generated column arrives as plain values"
            left = LeftOut(kind="generated column", name=f"{table.name}.{column.name}", why=why)
            not_carried.append(left)
        if column.default is not None:
            why = f"the default {column.default} is not translated yet"
            left = LeftOut(kind="default", name=f"{table.name}.{column.name}", why=why)
            not_carried.append(left)
    return TablePlan(
        table=table,
        target=names[table.name],
        known=False,
        rows=entry.rows,
        columns=plans,
        primary_key=tuple(columns[name] for name in key),
        foreign_keys=_foreign_keys(table, columns, names, profile, not_carried),
        indexes=_indexes(table, columns, not_carried),
    )


def _in_key(column: Column, table: Table) -> bool:
    return column.name in table.primary_key


def _column_names(table: Table) -> dict[str, str]:
    mapping: dict[str, str] = {}
    taken: set[str] = set()
    for column in table.columns:
        mapping[column.name] = _unique_name(column.name, taken)
        taken.add(mapping[column.name])
    return mapping


def _foreign_keys(
    table: Table,
    columns: dict[str, str],
    names: dict[str, str],
    profile: Profile,
    not_carried: list[LeftOut],
) -> tuple[ForeignKeyPlan, ...]:
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
        parent_columns = {name.lower(): target for name, target in _column_names(parent).items()}
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


def _indexes(
    table: Table, columns: dict[str, str], not_carried: list[LeftOut]
) -> tuple[IndexPlan, ...]:
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
        plans.append(IndexPlan(name=_shortened(name, ""), columns=chosen, unique=index.unique))
    return tuple(plans)
