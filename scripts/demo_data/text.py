"""What the platform's agents would write: Ukrainian and English, code, emoji, stack traces."""

import json
from pathlib import Path
from random import Random

#: Ukrainian is kept out of the code, where a Cyrillic letter passes for a Latin one.
VOCABULARY: dict[str, list[str]] = json.loads(
    Path(__file__).with_name("vocabulary.json").read_text("utf-8")
)
_NOUNS, _CODE, _EMOJI = (VOCABULARY[name] for name in ("nouns", "code", "emoji"))
_POOL = 4000
_MAX_DEPTH = 4


def to_json(value: object) -> str:
    """JSON as the platform's ORM stores it: non-ASCII characters as escapes."""
    return json.dumps(value)


class Text:
    """Makes texts from one random generator; sentences come from a pool, for speed."""

    def __init__(self, rng: Random, tools: tuple[str, ...]) -> None:
        self._rng = rng
        self._tools = tools
        self._pool = [self._new_sentence() for _ in range(_POOL)]

    def noun(self) -> str:
        """A Ukrainian noun."""
        return self._rng.choice(_NOUNS)

    def emoji(self) -> str:
        """An emoji; some are several code points."""
        return self._rng.choice(_EMOJI)

    def sentence(self) -> str:
        """30 to 120 characters."""
        return self._pool[int(self._rng.random() * _POOL)]

    def paragraph(self, sentences: int) -> str:
        """Several sentences, some of them on lines of their own."""
        chosen = self._rng.choices(self._pool, k=sentences)
        return (".\n\n" if sentences > 5 else ". ").join(chosen) + "."

    def listing(self, lines: int) -> str:
        """What a tool answers: a directory listing with Ukrainian names."""
        rng = self._rng
        return "\n".join(
            f"-rw-r--r--  {number} dev staff {int(rng.random() * 1e6):>7} {name}"
            for number, name in enumerate(rng.choices(self._pool, k=lines))
        )

    def trace(self) -> str:
        """A Python stack trace of 3 to 12 frames."""
        rng = self._rng
        lines = ["Traceback (most recent call last):"]
        for _ in range(rng.randint(3, 12)):
            module, function, call = rng.choices(_CODE, k=3)
            lines += (
                f'  File "/Users/dev/atlastrinity/src/brain/{module}.py", '
                f"line {rng.randint(1, 4000)}, in {function}_{call}",
                f"    {call} = await self.{function}('{module}')  # {self.noun()} {self.noun()}",
            )
        return "\n".join((*lines, rng.choice(VOCABULARY["errors"])))

    def document(self, depth: int = 0) -> object:
        """A JSON value, nested up to four levels: every JSON type, odd numbers and texts."""
        rng = self._rng
        kind = rng.random()
        if depth < _MAX_DEPTH and kind < 0.35:
            names = (*rng.sample(_NOUNS, 2), *rng.sample(_CODE, rng.randint(0, 2)))
            return {name: self.document(depth + 1) for name in names}
        if depth < _MAX_DEPTH and kind < 0.5:
            return [self.document(depth + 1) for _ in range(rng.randint(0, 3))]
        return self._scalar()

    def _scalar(self) -> object:
        rng = self._rng
        fixed = (
            None,
            True,
            False,
            0,
            -1,
            "",
            1e-07,
            'line1\nline2\t"q" \\ back',
            "/Users/dev/її.txt",
        )
        choice = int(rng.random() * (len(fixed) + 4))
        if choice < len(fixed):
            return fixed[choice]
        return (
            rng.getrandbits(40),
            round(rng.uniform(-1000, 1000), 6),
            f"{self.emoji()} {self.noun()}",
            self.sentence(),
        )[choice - len(fixed)]

    def _new_sentence(self) -> str:
        rng = self._rng
        return rng.choice(VOCABULARY["sentences"]).format(
            n=rng.randint(1, 20),
            n2=rng.randint(21, 9000),
            noun=rng.choice(_NOUNS),
            noun2=rng.choice(_NOUNS),
            code=rng.choice(_CODE),
            code2=rng.choice(_CODE),
            emoji=rng.choice(_EMOJI),
            tool=rng.choice(self._tools),
        )
