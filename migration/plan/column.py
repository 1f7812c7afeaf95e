"""A column that the target does not have yet."""

from migration.plan.model import ColumnPlan
from migration.profile import ColumnProfile
from migration.schema import Column
from migration.types import choose_type


def new_column(
    column: Column, facts: ColumnProfile, target: str, *, added: bool, required: bool = False
) -> ColumnPlan:
    """Type and nullability by the values that are there."""
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
