"""Statements made from others: for fuzzing the gate. Everything comes from one random source."""

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Any

from pglast import ast, parser
from pglast.stream import RawStream

from mcp_server.gate.parse import nodes

#: Expressions that act, in every form in which one can be called.
ACTING = (
    "pg_advisory_lock(1)", "(1::bigint).pg_advisory_lock", "set_config('a.b', 'c', false)",
    'U&"set\\005fconfig"(\'work_mem\', \'1MB\', false)', "pg_catalog.nextval('logs_id_seq')",
    "setval('logs_id_seq', 99)", "lo_create(0)", "txid_current()", "pg_current_xact_id()",
    "('logs_id_seq'::regclass).nextval", "(0::oid).lo_create", "pg_notify('a', 'b')",
    "query_to_xml('delete from logs', true, false, '')", "pg_try_advisory_xact_lock(1, 2)",
    "(select count(*) from cast('logs_id_seq' as regclass) as s, lateral (select s.nextval) q)",
    "(with d as (delete from logs returning 1) select count(*) from d)",
    "(select 1 from tasks limit 1 for update)", "pg_logical_emit_message(true, 'a', 'b')",
)  # fmt: skip
PIECES = (
    *("into t", "for update", "for share of t", "returning *", "with d as (delete from logs)"),
    *("insert into logs (id) values (1)", "update tasks set goal = ''", "; delete from logs"),
    *("explain analyze", "create table t as", "as materialized", "limit 1", "lateral", "only"),
    *("set transaction read write;", "copy logs to stdout", "declare c cursor for", "union all"),
    *("/* x */", "-- x\n", "/* /* */", "$$", "'", '"', "E'\\''", "\\", ";", "(", ")", ",", "::"),
    *("\u00a0", "\ufeff", "\r", "\0", "U&'\\0027'", "$1", "null", "true", "merge into logs"),
)
_WRAPPERS = (
    "explain {a}", "explain analyze {a}", "explain (analyze, wal) {a}", "({a})", "{a};", "{a}; {b}",
    "with w as ({a}) select * from w", "with w as materialized ({a}) {b}", "select * from ({a}) s",
    "select ({a})", "select exists ({a})", "select array({a})", "{a} union all {b}",
    "select * from tasks t left join lateral ({a}) s on true limit 5", "{a} into fuzz_table",
    "{a} for update", "values (({a}))", "create table fuzz_table as {a}", "/* {b} */ {a}",
    "select 1 where exists ({a}) or exists ({b})", "insert into logs {a}",
    "declare c cursor for {a}", "with w as ({b}) select (w).* from w, ({a}) s",
    "copy ({a}) to stdout", "prepare p as {a}",
)  # fmt: skip


_LOOKING_AHEAD = ("with", "without", "not", "nulls", "format", "uescape")


class Mutator:
    """Makes statements.

    Args:
        seed: the same makes the same ones again.
        seeds: statements to begin with.
    """

    def __init__(self, seed: int, seeds: Sequence[str]) -> None:
        self._random = Random(seed)
        self._seeds = seeds
        self._words = [word for text in seeds for word in words(text)]
        self._trees = [tree for tree in map(_parsed, seeds) if tree is not None]

    def statement(self) -> str:
        """The next one."""
        kinds: tuple[Callable[[str], str], ...] = (
            *(self._word, self._word, self._splice, self._splice),
            *(self._wrap, self._act, self._act, self._dress),
        )
        text = self._random.choice(self._seeds)
        for _ in range(self._random.choice((1, 1, 1, 2, 3))):
            text = self._random.choice(kinds)(text)
        return text

    def same(self, text: str) -> str:
        """The same statement, written in another way."""
        spaces = (" ", "\n\t", "  ")
        anything = (*spaces, " /* it's; a \" comment */ ", " -- delete from logs;\n")
        return "".join(
            self._recased(word)
            # libpg_query looks one word ahead from these, and finds the comment.
            + self._random.choice(spaces if _looks_ahead(word) else anything)
            for word in words(text)
        )

    def _word(self, text: str) -> str:
        parts = words(text) or [text]
        place = self._random.randrange(len(parts))
        new = self._random.choice((*self._random.choices(self._words, k=2), *PIECES[:1]))
        match self._random.randrange(5):
            case 0:
                del parts[place]
            case 1:
                parts.insert(place, self._random.choice(PIECES))
            case 2:
                other = self._random.randrange(len(parts))
                parts[place], parts[other] = parts[other], parts[place]
            case 3:
                parts[place : place + 1] = parts[place : place + self._random.randint(1, 6)] * 2
            case _:
                parts[place] = new
        return " ".join(parts)

    def _splice(self, text: str) -> str:
        """An expression or a query of it replaced by one of another statement's."""
        target = _parsed(text)
        if target is None:
            return text
        places = [(node, name) for node in nodes(target) for name in _expressions(node)]
        donor = self._random.choice(self._trees)
        parts = [getattr(node, name) for node in nodes(donor) for name in _expressions(node)]
        if not places or not parts:
            return text
        node, name = self._random.choice(places)
        # Not every place takes every kind, and copying is recursive.
        with suppress(ValueError, RecursionError):
            setattr(node, name, copy.deepcopy(self._random.choice(parts)))
        return _printed(target, text)

    def _wrap(self, text: str) -> str:
        other = self._random.choice(self._seeds)
        return self._random.choice(_WRAPPERS).format(a=text.rstrip("; \n"), b=other.rstrip("; \n"))

    def _act(self, text: str) -> str:
        """A word of it replaced by something that acts."""
        parts = words(text) or [text]
        plain = [i for i, part in enumerate(parts) if part[:1].isdigit() or part[:1] in ("'", "*")]
        place = self._random.choice(plain or range(len(parts)))
        parts[place] = self._random.choice(ACTING)
        return " ".join(parts)

    def _dress(self, text: str) -> str:
        return self.same(text) if self._random.random() < 0.95 else self._deep(text)

    def _deep(self, text: str) -> str:
        count = self._random.choice((50, 3_000, 30_000))
        return self._random.choice(
            (
                "select " + "(" * count + "1" + ")" * count,
                "select 1" + "+1" * count,
                text + "\0; delete from logs",
                "select " + "not " * count + "true",
                "select 1" + " union select 1" * count,
            )
        )

    def _recased(self, word: str) -> str:
        if not word.replace("_", "").isalnum() or not word.isascii() or word[0].isdigit():
            return word
        match self._random.randrange(3):
            case 0:
                return word.upper()
            case 1:
                return word.title()
            case _:
                return word


def _looks_ahead(word: str) -> bool:
    return word.lower() in _LOOKING_AHEAD or word[:2].lower() == "u&"


def words(text: str) -> list[str]:
    """The tokens of a statement, as they are written there; none where it has no tokens."""
    try:
        data = text.encode()
        tokens = [data[t.start : t.end + 1].decode() for t in parser.scan(text)]
        # A comment ends with its line, and lines are not kept.
        return [token for token in tokens if not token.startswith("--")]
    except (parser.ParseError, UnicodeError):
        return text.split()


def _expressions(node: ast.Node) -> list[str]:
    """Names of members whose value is an expression or a query."""
    kinds = (ast.SelectStmt, ast.FuncCall, ast.A_Const, ast.ColumnRef, ast.A_Expr, ast.TypeCast)
    return [name for name in node if isinstance(getattr(node, name), kinds)]


def _parsed(text: str) -> Any:
    try:
        statements = parser.parse_sql(text) if len(text) < 8_000 else ()
    except parser.ParseError:
        return None
    return statements[0].stmt if len(statements) == 1 else None


def _printed(tree: Any, otherwise: str) -> str:
    stream: Any = RawStream
    try:
        return str(stream()(tree))
    except Exception:  # noqa: BLE001 - see below
        # pglast cannot print everything that it parses, least of all what no parser would make.
        return otherwise
