"""The plan for people: what becomes of everything, what is lost, what it will take."""

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape

from migration.plan import Plan, TablePlan
from migration.show.grid import make_grid
from migration.show.not_carried import not_carried


def plan(console: Console, decided: Plan) -> None:
    """Columns first, then keys and views, then what does not arrive or will be refused."""
    _columns(console, decided)
    _rules(console, decided)
    not_carried(console, [entry.model_dump() for entry in decided.not_carried])
    for expected in decided.expected:
        place = f"{expected.table}.{expected.column}" if expected.column else expected.table
        values = "value" if expected.rows == 1 else "values"
        line = f"expected: {place}: {expected.rows} {values}: {expected.what}"
        console.print(f"[yellow]{escape(line)}[/]")
    if decided.estimate is not None:
        console.print(escape(f"estimate: {decided.estimate}"))
    for problem in decided.problems:
        console.print(f"[red]problem: {escape(problem)}[/]")


def _columns(console: Console, plan: Plan) -> None:
    grid = make_grid("source", "target", "type", "rows", "why", numbers=("rows",))
    for table in plan.tables:
        for column in table.columns:
            why = [column.why]
            why += ["not null"] if column.not_null and not table.known else []
            why += [f"default {column.default}"] if column.default else []
            why += [f"generated as ({column.generated})"] if column.generated else []
            why += [f"policy {name} = {value}" for name, value in column.policy.chosen.items()]
            grid.add_row(
                escape(f"{table.table.name}.{column.source}"),
                escape(f"{table.target}.{column.target}"),
                column.pg_type,
                str(table.rows),
                escape("; ".join(why)),
            )
    console.print(grid)


def _rules(console: Console, plan: Plan) -> None:
    grid = make_grid("table", "gets", "as")
    for table in plan.tables:
        for kind, text in _rules_of(table):
            grid.add_row(escape(table.target), kind, escape(text))
    for view in plan.views:
        grid.add_row(escape(view.target), "view", escape(view.select))
    if grid.row_count:
        console.print(grid)


def _rules_of(table: TablePlan) -> Iterator[tuple[str, str]]:
    if table.primary_key:
        yield "primary key", ", ".join(table.primary_key)
    for index in table.indexes:
        where = f" where {index.where}" if index.where else ""
        kind = "unique index" if index.unique else "index"
        yield kind, f"{index.name} ({', '.join(index.keys)}){where}"
    for check in table.checks:
        yield "check", f"{check.name} ({check.expression})"
    for key in table.foreign_keys:
        references = f"{key.parent} ({', '.join(key.references)})"
        yield "foreign key", f"({', '.join(key.columns)}) → {references}"
