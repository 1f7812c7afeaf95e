"""Which of the functions that a statement names may run, by what the live catalogue says of them.

An allow-list: a call passes where every function that its name can mean may be executed by the
login that runs it, and does not act. What a name means are functions by their OIDs, so that a new
version, an extension, or a function of the site is covered before anybody has heard of it. The
answer is kept for a minute; a right taken away in the meantime is still PostgreSQL's to refuse.

A name of no function is refused here too, with PostgreSQL's code: passed on, the answer would be
the same, except where the function is made in between, or PostgreSQL reads the name otherwise.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Protocol, TypeAlias

from mcp_server.failure import Failure, refuse
from mcp_server.gate.policy import policy
from mcp_server.gate.statement import Call, Kind
from mcp_server.hints import hint_for
from mcp_server.sql import sql_text

if TYPE_CHECKING:
    from asyncpg import Record

_KEPT_SECONDS = 60.0
_MOST_NAMES = 10_000
_Name: TypeAlias = tuple[Kind, str]
#: Where a name without a schema is looked for: the search_path that every transaction begins with.
_PATH = ("pg_catalog", "public")


class Connection(Protocol):
    """The part of an asyncpg connection that is used here."""

    async def fetch(self, query: str, /, *arguments: list[str] | str) -> "list[Record]":
        """The rows of a query."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function that a name can mean.

    Attributes:
        least, most: how many arguments it takes; `most` is None where there is no end.
        oid: the function's.
        signature: it in words; an operator's or a type's is that of the function behind.
        refused: whether it may not run.
    """

    schema: str
    least: int
    most: int | None
    oid: int
    signature: str
    refused: bool

    def can_be(self, call: Call) -> bool:
        """Whether PostgreSQL could choose it for a call."""
        return self.is_found(call) and (
            call.arguments is None
            or (self.least <= call.arguments and (self.most is None or call.arguments <= self.most))
        )

    def is_found(self, call: Call) -> bool:
        """Whether it lies where PostgreSQL looks for the name of a call."""
        return self.schema in (_PATH if call.schema is None else (call.schema,))


@dataclass(frozen=True, slots=True)
class _Known:
    """What a name was found to mean, and until when that is believed."""

    functions: tuple[Function, ...]
    until: float


class Catalogue:
    """What is known of the catalogue, for every login that asks."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Kind, str], _Known] = {}

    def forget(self) -> None:
        """Ask again for everything: the schema has changed."""
        self._known.clear()

    async def check(self, connection: Connection, login: str, calls: Iterable[Call]) -> None:
        """Refuse a statement that calls what may not run.

        Args:
            connection: of `login`, whose rights are asked for.

        Raises:
            Failure: 42501, or 42883 where there is no such function.
        """
        ordered = sorted(calls, key=lambda call: (call.kind, call.name))
        meanings = await self._meanings(connection, login, ordered)
        for call in ordered:
            functions = meanings[_name(call)]
            refused = [f for f in functions if f.refused and f.can_be(call)]
            if refused:
                raise _refusal(call, refused[0])
            if call.kind is Kind.FUNCTION and not any(f.is_found(call) for f in functions):
                await _check_unknown(connection, call)

    async def _meanings(
        self, connection: Connection, login: str, calls: Iterable[Call]
    ) -> dict[_Name, tuple[Function, ...]]:
        now = monotonic()
        meanings: dict[_Name, tuple[Function, ...]] = {}
        asked: dict[Kind, set[str]] = {Kind.FUNCTION: set(), Kind.OPERATOR: set(), Kind.TYPE: set()}
        for call in calls:
            kind, name = _name(call)
            known = self._known.get((login, kind, name))
            # A function that was not there may have been made since. Most attributes are columns,
            # and no functions: those are not asked for each time.
            if (
                known is None
                or known.until < now
                or (call.kind is Kind.FUNCTION and not known.functions)
            ):
                asked[kind].add(name)
            else:
                meanings[kind, name] = known.functions
        if any(asked.values()):
            learnt = await _ask(connection, asked)
            if len(self._known) + len(learnt) > _MOST_NAMES:
                self.forget()
            for (kind, name), functions in learnt.items():
                self._known[login, kind, name] = _Known(functions, now + _KEPT_SECONDS)
            meanings |= learnt
        return meanings


async def _ask(
    connection: Connection, asked: dict[Kind, set[str]]
) -> dict[_Name, tuple[Function, ...]]:
    found: dict[_Name, list[Function]] = {
        (kind, name): [] for kind, names in asked.items() for name in names
    }
    for row in await connection.fetch(sql_text("functions"), *map(sorted, asked.values())):
        found[Kind(row["kind"]), row["name"]].append(_function(row))
    return {name: tuple(functions) for name, functions in found.items()}


def _name(call: Call) -> _Name:
    return (Kind.FUNCTION if call.kind is Kind.ATTRIBUTE else call.kind, call.name)


def _function(row: "Record") -> Function:
    return Function(
        schema=row["schema"],
        least=row["least"],
        most=row["most"],
        oid=row["oid"],
        signature=row["signature"],
        refused=not row["executable"]
        or row["owner_rights"]
        or policy().acts(row["function"], row["volatility"]),
    )


def _refusal(call: Call, function: Function) -> Failure:
    why = policy().why(function.signature.split("(")[0].rsplit(".", 1)[-1])
    if call.kind is Kind.FUNCTION:
        return refuse(f"Function {call.name} is not available here: {why}.", sqlstate="42501")
    if call.kind is Kind.ATTRIBUTE:
        return refuse(
            f".{call.name} may call the function {function.signature}: {why}.",
            "A column of that name is reached without its table: give it another name in a "
            "subquery.",
            "42501",
        )
    return refuse(
        f"The {call.kind} {call.name} is not available here: it calls {function.signature}, "
        f"and {why}.",
        sqlstate="42501",
    )


async def _check_unknown(connection: Connection, call: Call) -> None:
    # PostgreSQL can only take it for the column, or for a cast, where there is one.
    one = call.schema is None and call.arguments == 1
    if one and await connection.fetch(sql_text("column_or_type"), call.name):
        return
    name = call.name if call.schema is None else f"{call.schema}.{call.name}"
    message = f"function {name}() does not exist"
    raise refuse(message, hint_for("42883", message), "42883")
