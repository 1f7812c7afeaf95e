"""functions.toml: what the catalogue does not know of a function, and why one is refused."""

import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("functions.toml")


@dataclass(frozen=True)
class Policy:
    """The content of functions.toml. Names may end in `*`.

    Attributes:
        acting: of functions that act although they are not VOLATILE.
        harmless: of functions that do not act although they are VOLATILE.
        reasons: names and why; they decide nothing.
        in_definitions: the functions that definitions may call.
    """

    acting: tuple[str, ...]
    harmless: tuple[str, ...]
    reasons: tuple[tuple[str, str], ...]
    in_definitions: frozenset[str]

    def acts(self, name: str, volatility: str) -> bool:
        """Whether a function does more than compute, as far as its name and volatility tell."""
        if volatility == "v":
            return not _matches(name, self.harmless)
        return _matches(name, self.acting)

    def why(self, name: str) -> str:
        """What is wrong with a function that is refused."""
        return next(
            (why for pattern, why in self.reasons if fnmatchcase(name, pattern)),
            "it acts, or shows what others do, and this login has no right to it",
        )


@cache
def policy() -> Policy:
    """The policy, read once."""
    content = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return Policy(
        acting=tuple(content["acting"]["names"]),
        harmless=tuple(content["harmless"]["names"]),
        reasons=tuple(
            (name, family["why"]) for family in content["reason"] for name in family["names"]
        ),
        in_definitions=frozenset(content["in_definitions"]["names"]),
    )


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
