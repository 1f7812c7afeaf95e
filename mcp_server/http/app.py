"""The ASGI application: what a request passes on its way to the SDK.

Stateless, with plain JSON responses: no session to lose at a restart, and no event stream, whose
events the SDK's client refuses above 1 MiB.
"""

import asyncio
import math
import time
from dataclasses import replace

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser, RequireAuthMiddleware
from mcp.server.auth.routes import build_resource_metadata_url, create_protected_resource_routes
from mcp.server.auth.settings import AuthSettings
from mcp.server.lowlevel import Server as McpServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_server.failure import Failure
from mcp_server.http.identity import Identities, auth_settings
from mcp_server.http.rates import Rates
from mcp_server.http.requests import MAX_BODY_BYTES, WholeRequests
from mcp_server.pools import Capability
from mcp_server.settings import Settings
from mcp_server.tools import Access

PATH = "/mcp"
_READY_TIMEOUT = 3.0
_HEALTH_SECONDS = 1.0


def build_app(
    server: "McpServer[Access]", access: Access, settings: Settings, identities: Identities | None
) -> ASGIApp:
    """The ASGI application.

    Args:
        identities: who may come; None lets everybody in who can connect, as the process's agent.
    """
    auth = auth_settings(settings) if identities else None
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        json_response=True,
        stateless_http=True,
        max_request_body_size=MAX_BODY_BYTES,
        # Given explicitly: by itself the SDK checks Host and Origin only when bound to localhost,
        # and in a container this listens on 0.0.0.0.
        transport_security=TransportSecuritySettings(
            allowed_hosts=settings.hosts(), allowed_origins=settings.origins()
        ),
        auth=auth,
        token_verifier=identities,
        custom_starlette_routes=[Route("/healthz", Health(access).respond, methods=["GET"])],
    )
    if auth and auth.resource_server_url:
        # Before the SDK's own, which cannot say which scopes there are without requiring them all.
        app.router.routes[:0] = create_protected_resource_routes(
            auth.resource_server_url,
            [auth.issuer_url],
            scopes_supported=[capability.word for capability in Capability],
        )
    # Inside the SDK's authentication, which comes first in this list.
    app.user_middleware += [
        Middleware(Admission, settings=settings, auth=auth),
        Middleware(WholeRequests, seconds=settings.client_timeout_ms / 1000),
    ]
    return app


class Admission:
    """Lets known agents in, as often as they may come; before anything of the body is read.

    A right token is always accepted, however many wrong ones came from the same address: behind a
    proxy all of them may share it.
    """

    def __init__(self, app: ASGIApp, settings: Settings, auth: AuthSettings | None) -> None:
        self._app = app
        self._agent = settings.agent
        self._requests = Rates(settings.requests_per_second, settings.request_burst)
        failed = settings.failed_logins_per_minute
        self._failures = Rates(failed / 60, failed)
        resource = auth.resource_server_url if auth else None
        self._unauthorized = RequireAuthMiddleware(
            app, [], build_resource_metadata_url(resource) if resource else None
        )
        self._open = auth is None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on, or answer 401 or 429."""
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        user = scope.get("user")
        if isinstance(user, AuthenticatedUser):
            wait = self._requests.wait(user.access_token.client_id)
        elif self._open:
            wait = self._requests.wait(self._agent)
        else:
            address = scope["client"][0] if scope.get("client") else ""
            wait = self._failures.wait(address)
            if not wait:
                await self._unauthorized(scope, receive, send)
                return
        if wait:
            await _too_many(wait)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _too_many(seconds: float) -> Response:
    return JSONResponse(
        {"error": "too_many_requests"}, 429, headers={"Retry-After": str(math.ceil(seconds))}
    )


class Health:
    """Whether PostgreSQL answers. Anybody may ask, so it is asked once a second at most."""

    def __init__(self, access: Access) -> None:
        self._access = access
        # In the name of nobody: an agent's budget must not make the server look ill.
        self._caller = replace(
            access.caller, agent="healthz", capabilities=frozenset({Capability.READ})
        )
        self._lock = asyncio.Lock()
        self._until = 0.0
        self._ready = False

    async def respond(self, _request: Request) -> Response:
        """200 or 503."""
        async with self._lock:
            if time.monotonic() >= self._until:
                self._ready = await self._ask()
                self._until = time.monotonic() + _HEALTH_SECONDS
        if self._ready:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "unavailable"}, status_code=503)

    async def _ask(self) -> bool:
        try:
            async with asyncio.timeout(_READY_TIMEOUT):
                await self._access.sessions.catalogue(self._caller, "ready")
        except (Failure, TimeoutError):
            return False
        return True
