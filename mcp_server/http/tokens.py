"""The tokens file: which tokens there are, each as a hash, and whose they are.

One token a line; `#` begins a comment:

    agent  scopes  sha256  [issued=…] [expires=…] [session=…]

Why a plain SHA-256 and no slow password hash: a token is 32 random bytes, so there is nothing to
guess that a slow hash would make slower. It would only make each request slower.

The file is looked at again whenever it has changed. A line that is wrong lets nobody in and is
logged, the others hold: an error in one agent's line locks nobody else out, and what was taken out
is revoked whatever the rest looks like.
"""

import hmac
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import structlog

from database.secrets import secret_path
from mcp_server.agents import Agents
from mcp_server.pools import Capability

#: Tells whoever finds one, a scanner for secrets for instance, what it is.
PREFIX = "apg_"

#: The name of the file among the secrets.
TOKENS_SECRET = "mcp_tokens"  # noqa: S105

_DIGITS = 64
_WORDS = {capability.word: capability for capability in Capability}
_log = structlog.get_logger()


@dataclass(frozen=True)
class Token:
    """What is known of a token; never itself.

    Attributes:
        scopes: what it allows of what its agent may do.
        digest: SHA-256, hexadecimal.
        expires: None for never.
        session: what it is bound to; empty for nothing.
    """

    agent: str
    scopes: frozenset[Capability]
    digest: str
    issued: datetime | None = None
    expires: datetime | None = None
    session: str = ""

    @property
    def id(self) -> str:
        """What people call it; tells nothing of the token."""
        return self.digest[:12]

    def is_expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires is not None and self.expires <= now

    def line(self) -> str:
        """As it stands in the file."""
        further = {
            "issued": _written(self.issued),
            "expires": _written(self.expires),
            "session": self.session,
        }
        scopes = ",".join(one.word for one in Capability if one in self.scopes)
        pairs = [f"{name}={value}" for name, value in further.items() if value]
        return "  ".join([self.agent, scopes, self.digest, *pairs])


class TokensFile:
    """The tokens of a file, as it is now."""

    def __init__(self, path: Path, agents: Agents) -> None:
        self.path = path
        self._agents = agents
        self._stamp: tuple[int, ...] | None = None
        self._tokens: list[Token] = []

    def find(self, token: str) -> Token | None:
        """The entry of a token that is valid now."""
        digest = sha256(token.encode()).hexdigest()
        # All are compared, each in constant time: how long it takes tells nothing of any of them.
        fitting = [one for one in self.tokens() if hmac.compare_digest(one.digest, digest)]
        now = datetime.now(UTC)
        return next((one for one in fitting if not one.is_expired(now)), None)

    def tokens(self) -> list[Token]:
        """All tokens of the file, the expired ones too."""
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                self._read(self.path.read_text(encoding="utf-8"))
                self._stamp = stamp
        except (OSError, UnicodeDecodeError) as error:
            if self._stamp is not None:
                _log.error("no tokens", file=str(self.path), cause=type(error).__name__)
            self._stamp, self._tokens = None, []
        return self._tokens

    def _read(self, text: str) -> None:
        self._tokens = []
        for number, line in enumerate(text.splitlines(), 1):
            content = line.partition("#")[0].strip()
            if not content:
                continue
            try:
                self._tokens.append(parse_line(content, self._agents))
            except ValueError as error:
                _log.error("token ignored", file=str(self.path), line=number, cause=str(error))


def tokens_path(directory: Path) -> Path:
    """Where the tokens file is: MCP_TOKENS_FILE, else `mcp_tokens` among the secrets."""
    return secret_path(directory, TOKENS_SECRET)


def parse_line(line: str, agents: Agents) -> Token:
    """A token from its line.

    Raises:
        ValueError: what is wrong with it, without quoting the hash.
    """
    words = line.split()
    if len(words) < 3:
        raise ValueError("it needs an agent, scopes and a hash")
    agent, scopes, digest, *further = words
    if agent not in agents:
        raise ValueError(f"there is no agent {agent!r} in the agents file")
    if len(digest) != _DIGITS or set(digest) - set("0123456789abcdef"):
        raise ValueError("the third word is no SHA-256 in lower-case hexadecimal")
    pairs = dict(pair.partition("=")[::2] for pair in further)
    if unknown := set(pairs) - {"issued", "expires", "session"}:
        raise ValueError(f"there is no {', '.join(sorted(unknown))}")
    return Token(
        agent,
        parse_scopes(scopes),
        digest,
        _time(pairs.get("issued")),
        _time(pairs.get("expires")),
        pairs.get("session", ""),
    )


def parse_scopes(text: str) -> frozenset[Capability]:
    """Capabilities from their names, by comma.

    Raises:
        ValueError: one of them is none.
    """
    words = text.split(",")
    if unknown := set(words) - set(_WORDS):
        raise ValueError(f"scopes are read, write and heal, by comma; not {sorted(unknown)}")
    return frozenset(_WORDS[word] for word in words)


def write_lines(path: Path, lines: list[str]) -> None:
    """Replace the file at once, readable by its owner alone."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} needs a time zone: write 2027-01-31T00:00:00Z")
    return moment


def _written(moment: datetime | None) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ""
