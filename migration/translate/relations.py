"""What a query reads from: its tables, views, subqueries, and the names that they bring."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from migration.quoting import fold
from migration.translate.errors import UntranslatableError
from migration.translate.scope import RelationScope, ScopeColumn, quote_identifier
from migration.translate.values import Value, column_value


@dataclass(frozen=True)
class Output:
    """A result column: its name in the target, and its value, whose SQL is of the inside."""

    name: str
    value: Value


@dataclass(frozen=True)
class Relation:
    """One entry of FROM: the name that it goes by, and its columns by folded source name."""

    alias: str
    columns: Mapping[str, Output]
    #: Folded names that a NATURAL join or USING has merged into an earlier relation's.
    merged: frozenset[str] = frozenset()


def stored(alias: str, scope: RelationScope) -> Relation:
    """A table or a view of the database."""
    qualifier = quote_identifier(alias) + "."
    columns = {}
    for name, planned in scope.columns.items():
        column = ScopeColumn(*planned)
        columns[fold(name)] = Output(column.name, column_value(column, qualifier))
    return Relation(alias, columns)


def derived(alias: str, outputs: list[Output]) -> Relation:
    """A subquery or a CTE."""
    columns: dict[str, Output] = {}
    for output in outputs:
        sql = f"{quote_identifier(alias)}.{quote_identifier(output.name)}"
        value = replace(output.value, sql=sql, atom=True, literal=None, moment=None, number=None)
        columns.setdefault(fold(output.name), Output(output.name, value))
    return Relation(alias, columns)


@dataclass
class QueryNames:
    """Finds a query's columns: in its relations, then by its aliases, then in the query around."""

    outer: "QueryNames | None" = None
    relations: list[Relation] = field(default_factory=list)
    aliases: dict[str, Value] = field(default_factory=dict)

    def column(self, table: str | None, name: str, *, quoted: bool) -> Value | None:
        """The value of a column, qualified by its relation's name."""
        found = [
            relation.columns[fold(name)].value
            for relation in self.relations
            if fold(name) in relation.columns
            and (table is None or fold(table) == fold(relation.alias))
            and (table is not None or fold(name) not in relation.merged)
        ]
        if len(found) > 1:
            raise UntranslatableError(f"column {quote_identifier(name)} is ambiguous")
        if found:
            return found[0]
        if table is None and fold(name) in self.aliases:
            return self.aliases[fold(name)]
        return None if self.outer is None else self.outer.column(table, name, quoted=quoted)

    def everything(self, table: str | None) -> list[Output]:
        """What * or table.* stands for."""
        outputs = []
        for relation in self.relations:
            if table is not None and fold(table) != fold(relation.alias):
                continue
            outputs += [
                output
                for name, output in relation.columns.items()
                if table is not None or name not in relation.merged
            ]
        if not outputs:
            raise UntranslatableError(f"{table or ''}.* stands for no column")
        return outputs
