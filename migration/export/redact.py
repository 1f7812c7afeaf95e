"""Secrets in text, replaced by the word that the platform's own backups put in their place."""

import re

PLACEHOLDER = "[REDACTED_SECRET]"

#: What the platform looks for, and what else is told by its form. A match never begins or ends
#: inside of a JSON escape, and the placeholder needs none: JSON stays JSON.
_TOKENS = (
    r"AIza[\w-]{30,40}",  # Google
    r"gh[opsur]_\w{20,255}",  # GitHub
    r"github_pat_\w{20,255}",
    r"sk-[\w-]{20,}",  # OpenAI, Anthropic, Stripe
    r"sk_(?:live|test)_\w{16,}",
    r"xox[abprs]-[\w-]{10,}",  # Slack
    r"(?:AKIA|ASIA)[0-9A-Z]{16}",  # AWS
    r"glpat-[\w-]{20,}",  # GitLab
    r"hf_\w{30,}",  # Hugging Face
    r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*",  # JSON web tokens
    r"\bBearer\s+[\w.~+/=-]{8,}",
    r"\b[0-9a-f]{32,64}\b",  # keys in hexadecimal
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
)
_TOKEN = re.compile("|".join(_TOKENS), re.IGNORECASE | re.DOTALL | re.ASCII)
#: password=…, "api_key": "…", https://user:password@host: the name stays, its value goes.
_NAMED = re.compile(
    r"""((?:password|passwd|secret|api[_-]?key|access[_-]?key|auth[_-]?token|access[_-]?token)
        \\?["']?\s*[=:]\s*\\?["']?)
        (?!\[REDACTED)([^\s"'\\,;&}\]]{4,})""",
    re.IGNORECASE | re.VERBOSE,
)
_IN_URL = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@\"'\\]*:)([^\s/@\"'\\]+)(?=@)", re.IGNORECASE)


def redact(text: str) -> str:
    """The text without what looks like a secret; the same where nothing does."""
    text = _TOKEN.sub(PLACEHOLDER, text)
    text = _IN_URL.sub(rf"\1{PLACEHOLDER}", text)
    return _NAMED.sub(rf"\1{PLACEHOLDER}", text)
