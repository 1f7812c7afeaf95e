"""A column that the target does not have yet."""

from database.errors import UsageError
from migration.plan.joined import Evidence
from migration.plan.model import ColumnPlan
from migration.policies import ColumnPolicy
from migration.schema import Column
from migration.types import TYPES, choose_type


def new_column(
    column: Column,
    evidence: Evidence,
    target: str,
    policy: ColumnPolicy,
    *,
    not_null: bool,
    added: bool,
) -> ColumnPlan:
    """Its type by the values that are there, or as the policies say.

    Raises:
        UsageError: a policy names a type that there is not.
    """
    declared, facts = evidence
    pg_type, why = choose_type(declared, facts)
    if policy.epoch:
        pg_type, why = "timestamp without time zone", f"by policy, its numbers count {policy.epoch}"
    if policy.type:
        if policy.type not in TYPES:
            raise UsageError(
                f"The policies give {column.name} the type {policy.type!r}.",
                f"Choose one of: {', '.join(TYPES)}.",
            )
        pg_type, why = TYPES[policy.type], "by policy"
    if added:
        why += "; the target lacks this column, it is added"
    return ColumnPlan(
        source=column.name,
        target=target,
        declared=column.declared,
        pg_type=pg_type,
        not_null=not_null,
        why=why,
        added=added,
        policy=policy,
    )
