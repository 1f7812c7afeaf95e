"""Who calls: which agent a bearer token speaks for, and what it allows.

Three kinds of tokens, asked in this order: the one of the secret `mcp_token`, those of the tokens
file, and the JWTs of an OAuth issuer. All say the same in the end: an agent of the agents file, and
the capabilities and the session that this token narrows it to.
"""

import hmac

import structlog
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken, TokenVerifier
from mcp.server.auth.settings import AuthSettings

from database.errors import UsageError
from database.secrets import read_secret
from database.settings import Environment
from mcp_server.agents import Agents
from mcp_server.caller import Caller
from mcp_server.http.oauth import Issuer, scopes_of
from mcp_server.http.tokens import TokensFile, tokens_path
from mcp_server.pools import Capability
from mcp_server.settings import Settings

TOKEN_SECRET = "mcp_token"  # noqa: S105 - the name of the secret's file

_ALL = [capability.word for capability in Capability]
_log = structlog.get_logger()


class Identities(TokenVerifier):
    """Verifies bearer tokens of every kind that is configured."""

    def __init__(
        self, agents: Agents, token: str | None, file: TokensFile, issuer: Issuer | None
    ) -> None:
        self._agents = agents
        self._settings = agents.settings
        self._token = token.encode() if token else None
        self._file = file
        self._issuer = issuer

    async def verify_token(self, token: str) -> AccessToken | None:
        """Whose token it is, or None."""
        if not token:
            return None
        # Constant time: how long it takes says nothing about how much of a guess was right.
        if self._token and hmac.compare_digest(token.encode(), self._token):
            return self._access(self._settings.agent, _ALL)
        entry = self._file.find(token)
        if entry is not None:
            return self._access(entry.agent, [one.word for one in entry.scopes], entry.session)
        return await self._verify_jwt(token) if self._issuer and token.count(".") == 2 else None

    def caller(self) -> Caller:
        """The agent whose request is being answered."""
        access = get_access_token()
        assert access is not None, "nobody reaches a tool without a token"
        scopes = frozenset(one for one in Capability if one.word in access.scopes)
        session = str((access.claims or {}).get("session", ""))
        return self._agents.caller(access.client_id, scopes=scopes, session=session)

    def expected(self) -> list[str]:
        """The agents that may come; for fairness between them."""
        if self._issuer:
            return list(self._agents.entries)
        own = [self._settings.agent] if self._token else []
        return [*own, *(token.agent for token in self._file.tokens())]

    async def _verify_jwt(self, token: str) -> AccessToken | None:
        assert self._issuer is not None
        claims = await self._issuer.claims(token)
        if claims is None:
            return None
        agent = claims.get(self._settings.oauth_agent_claim)
        if not isinstance(agent, str) or agent not in self._agents:
            _log.warning("token of no agent", claim=self._settings.oauth_agent_claim)
            return None
        return self._access(agent, sorted(scopes_of(claims)))

    def _access(self, agent: str, scopes: list[str], session: str = "") -> AccessToken:
        # Without the token itself: what does not hold it cannot leak it.
        return AccessToken(
            token="",
            client_id=agent,
            scopes=scopes,
            resource=self._settings.oauth_resource or None,
            claims={"session": session},
        )


def configured_identities(settings: Settings, agents: Agents) -> Identities | None:
    """Whom HTTP clients can be.

    Returns:
        None where no kind of token is configured and only this machine can connect.

    Raises:
        UsageError: none is configured, and other machines could connect; or a secret is unreadable.
    """
    directory = Environment().secrets_dir
    token = read_secret(directory, TOKEN_SECRET)
    path = tokens_path(directory)
    issuer = Issuer(settings) if settings.oauth_issuer else None
    if token is None and issuer is None and not path.exists():
        if settings.is_loopback():
            return None
        raise UsageError(
            f"There is no token, and {settings.host} can be reached from other machines.",
            f"Write one to {directory / TOKEN_SECRET} or name its file in MCP_TOKEN_FILE "
            "('python -m database secrets' makes one), issue tokens with 'python -m mcp_server "
            "token issue', set MCP_OAUTH_ISSUER, or listen on 127.0.0.1.",
        )
    return Identities(agents, token, TokensFile(path, agents), issuer)


def auth_settings(settings: Settings) -> AuthSettings:
    """What the SDK needs to know of OAuth; without an issuer it publishes nothing of it."""
    resource = settings.oauth_resource or None
    # From text: it keeps an issuer without a path as it is, which is compared to the letter.
    return AuthSettings.model_validate(
        {
            "issuer_url": settings.oauth_issuer or "http://localhost",
            "resource_server_url": resource,
            "required_scopes": [],
            "validate_token_resource": resource is not None,
        }
    )
