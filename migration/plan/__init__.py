"""The plan: what becomes of every table and column, decided before anything runs."""

from migration.known import TargetColumn
from migration.plan.make import make_plan
from migration.plan.model import (
    PUBLIC,
    CheckPlan,
    ColumnPlan,
    Estimate,
    Expectation,
    ForeignKeyPlan,
    IndexPlan,
    Plan,
    TablePlan,
    ViewPlan,
)

__all__ = [
    "PUBLIC",
    "CheckPlan",
    "ColumnPlan",
    "Estimate",
    "Expectation",
    "ForeignKeyPlan",
    "IndexPlan",
    "Plan",
    "TablePlan",
    "TargetColumn",
    "ViewPlan",
    "make_plan",
]
