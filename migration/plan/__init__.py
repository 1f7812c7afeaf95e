"""The plan: what becomes of every table and column, decided before anything runs."""

from migration.plan.make import make_plan
from migration.plan.model import (
    PUBLIC,
    ColumnPlan,
    ForeignKeyPlan,
    IndexPlan,
    Plan,
    TablePlan,
    TargetColumn,
)

__all__ = [
    "PUBLIC",
    "ColumnPlan",
    "ForeignKeyPlan",
    "IndexPlan",
    "Plan",
    "TablePlan",
    "TargetColumn",
    "make_plan",
]
