"""SQLite's schema texts in PostgreSQL's SQL, with the same meaning or a reason why not.

Free-standing: it knows texts, names and types, and neither the source file nor the plan.
"""

from migration.translate.default import default
from migration.translate.definition import Check, TableDefinition, read_definition
from migration.translate.errors import UntranslatableError
from migration.translate.expression import expression
from migration.translate.index import IndexDefinition, IndexPart, index_part, read_index
from migration.translate.scope import RelationScope, Scope, ScopeColumn
from migration.translate.view import ViewDefinition, view

__all__ = [
    "Check",
    "IndexDefinition",
    "IndexPart",
    "RelationScope",
    "Scope",
    "ScopeColumn",
    "TableDefinition",
    "UntranslatableError",
    "ViewDefinition",
    "default",
    "expression",
    "index_part",
    "read_definition",
    "read_index",
    "view",
]
