"""A constraint or an index: the statement that makes it, and what it takes to find offenders."""

from dataclasses import dataclass

from psycopg import sql


@dataclass(frozen=True)
class Rule:
    """One constraint or index of the target."""

    schema: str
    table: str
    name: str
    #: 'p' primary key, 'u' unique, 'f' foreign key, 'c' check, 'x' exclusion, 'i' index.
    kind: str
    create: sql.Composed
    columns: tuple[str, ...]
    parent: str | None = None
    parent_columns: tuple[str, ...] = ()
    #: The condition of a check.
    expression: str | None = None
    #: A translated check as SQLite has it.
    source: str | None = None
    #: What a unique index compares, where it is more than columns, and its condition.
    keys: tuple[str, ...] = ()
    where: str | None = None
    #: Of a table that the migration creates: it is the source's idea, not sql/'s.
    created: bool = False
    #: A foreign key that gives way to its orphans.
    keeps_orphans: bool = False
