"""Access tokens of an OAuth authorization server: JWTs that it signed for this server.

This server is a resource server (RFC 9728): it publishes who issues its tokens, and verifies them.
It issues none, stores none, and passes none on.
"""

from functools import partial
from typing import Any

import anyio
import jwt
import structlog
from anyio import CapacityLimiter, to_thread

from mcp_server.settings import Settings

#: Signatures by a key that only the issuer has. Never `none`, and never HS…: there the "secret"
#: would be the public key, which everybody has.
ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
# RFC 9068, and what issuers wrote before it. Not the other uses that an issuer has for its key.
_TYPES = ("at+jwt", "jwt")
# Clocks differ.
_LEEWAY_SECONDS = 30
# Keys are fetched at the first use, when they are this old, and when a token names another; the
# latter at most once in the cooldown, so that invented names do not flood the issuer.
_KEYS_SECONDS = 300
_COOLDOWN_SECONDS = 10
_FETCH_SECONDS = 5
_LONGEST = 16_384

_log = structlog.get_logger()


class Issuer:
    """Verifies the tokens of one issuer."""

    def __init__(self, settings: Settings) -> None:
        self._issuer = settings.oauth_issuer
        self._audience = settings.oauth_audience or settings.oauth_resource
        self._keys = jwt.PyJWKClient(
            settings.oauth_jwks_url,
            lifespan=_KEYS_SECONDS,
            timeout=_FETCH_SECONDS,
            cooldown_duration=_COOLDOWN_SECONDS,
        )
        # Fetching keys blocks a thread; nobody else's work may wait for those.
        self._threads = CapacityLimiter(2)

    async def claims(self, token: str) -> dict[str, Any] | None:
        """What a valid token says; None where it is not valid here and now."""
        if len(token) > _LONGEST:
            return None
        try:
            header = jwt.get_unverified_header(token)
            kid = header.get("kid")
            typ = str(header.get("typ", "jwt")).lower().removeprefix("application/")
            if header.get("alg") not in ALGORITHMS or typ not in _TYPES or not isinstance(kid, str):
                return None
            with anyio.fail_after(2 * _FETCH_SECONDS):
                find = partial(self._keys.get_signing_key, kid)
                key = await to_thread.run_sync(find, limiter=self._threads, abandon_on_cancel=True)
            # The algorithm is the key's own: a token cannot choose another for it.
            if key.algorithm_name != header["alg"]:
                return None
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                issuer=self._issuer,
                audience=self._audience,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud"]},
            )
        except (jwt.PyJWKClientConnectionError, TimeoutError):
            _log.error("keys of the issuer cannot be fetched")
            return None
        except jwt.PyJWTError:
            return None
        return claims


def scopes_of(claims: dict[str, Any]) -> set[str]:
    """The words of the claim `scope` (RFC 9068), or of `scp`, which others write."""
    value = claims.get("scope", claims.get("scp", ""))
    if isinstance(value, str):
        return set(value.split())
    return {word for word in value if isinstance(word, str)} if isinstance(value, list) else set()
