"""Which functions an agent's SQL may call.

For reading and writing: all but those of functions.toml, which act on the server, on other
sessions or on files, or run SQL given as text. Inside a definition (a default, a check, an
index) a function runs later and as somebody else: there only those of functions.toml's list.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pglast import ast

from mcp_server.failure import refuse

_FILE = Path(__file__).with_name("functions.toml")
_TRUSTED_SCHEMAS = ("", "pg_catalog")


@dataclass(frozen=True)
class Policy:
    """The content of functions.toml; `prefixes` are names that end in `*` there."""

    denied: dict[str, str]
    prefixes: dict[str, str]
    in_definitions: frozenset[str]


@cache
def policy() -> Policy:
    """The policy, read once."""
    content = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    denied: dict[str, str] = {}
    prefixes: dict[str, str] = {}
    for family in content["denied"]:
        for name in family["names"]:
            if name.endswith("*"):
                prefixes[name[:-1]] = family["why"]
            else:
                denied[name] = family["why"]
    return Policy(denied, prefixes, frozenset(content["in_definitions"]["names"]))


def check_call(call: ast.FuncCall) -> None:
    """Refuse a call that acts.

    Raises:
        Failure: 42501.
    """
    schema, name = _name(call)
    if schema not in _TRUSTED_SCHEMAS:
        raise refuse(
            f"Function {schema}.{name} is not PostgreSQL's own.",
            "Use a built-in function, or write the expression out.",
            "42501",
        )
    why = policy().denied.get(name)
    if why is None:
        why = next((why for p, why in policy().prefixes.items() if name.startswith(p)), None)
    if why is not None:
        raise refuse(f"Function {name} is not available here: {why}.", sqlstate="42501")


def check_definition(call: ast.FuncCall) -> None:
    """Refuse a call, inside a definition, of anything but a few harmless built-in functions.

    Raises:
        Failure: 42501.
    """
    schema, name = _name(call)
    if schema not in _TRUSTED_SCHEMAS or name not in policy().in_definitions:
        raise refuse(
            f"Function {name} may not be part of a definition: it would run later, "
            "as whoever reads or writes the table.",
            "Allowed are " + ", ".join(sorted(policy().in_definitions)) + ".",
            "42501",
        )


def _name(call: ast.FuncCall) -> tuple[str, str]:
    parts = [part.sval for part in call.funcname]
    return ".".join(parts[:-1]), parts[-1]
