"""Streamable HTTP: /mcp for clients with the token, /healthz for whoever watches the container.

Stateless, with plain JSON responses: no session to lose at a restart, and no event stream, whose
events the SDK's client refuses above 1 MiB.
"""

import asyncio
import hmac
import signal
import socket
from collections import deque

import structlog
import uvicorn
from mcp.server.auth.provider import AccessToken, TokenVerifier
from mcp.server.auth.settings import AuthSettings
from mcp.server.lowlevel import Server as McpServer
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import AnyHttpUrl
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from database.errors import UsageError
from mcp_server.failure import Failure
from mcp_server.settings import Settings
from mcp_server.tools import Access

PATH = "/mcp"
_READY_TIMEOUT = 3.0
_SHUTDOWN_SECONDS = 10

_log = structlog.get_logger()


class OneToken(TokenVerifier):
    """Accepts the one token there is."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    async def verify_token(self, token: str) -> AccessToken | None:
        """The caller's identity, or None."""
        # Constant time: how long it takes says nothing about how much of a guess was right.
        if not hmac.compare_digest(token.encode(), self._token):
            return None
        return AccessToken(token="", client_id="agent", scopes=[])


def build_app(
    server: "McpServer[Access]", access: Access, settings: Settings, token: str | None
) -> ASGIApp:
    """The ASGI application.

    Args:
        token: what clients must show; None lets everybody in who can connect.
    """

    async def healthz(_request: Request) -> Response:
        return await _health(access)

    app = server.streamable_http_app(
        streamable_http_path=PATH,
        json_response=True,
        stateless_http=True,
        # Given explicitly: by itself the SDK checks Host and Origin only when bound to localhost,
        # and in a container this listens on 0.0.0.0.
        transport_security=TransportSecuritySettings(
            allowed_hosts=settings.hosts(), allowed_origins=settings.origins()
        ),
        auth=_bearer_only() if token else None,
        token_verifier=OneToken(token) if token else None,
        custom_starlette_routes=[Route("/healthz", healthz, methods=["GET"])],
    )
    return CancelOnDisconnect(app)


def serve(
    server: "McpServer[Access]", access: Access, settings: Settings, token: str | None
) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        UsageError: the address cannot be listened on.
    """
    listener = _listen(settings)
    host, port = listener.getsockname()[:2]
    config = uvicorn.Config(
        build_app(server, access, settings, token),
        loop="uvloop",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    uvicorn_server = uvicorn.Server(config)
    # uvicorn stops in order, then raises the signal again for whoever was there before it; one
    # that comes before it watches is not lost either.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, uvicorn_server.handle_exit)
    _log.info("listening", host=host, port=port, path=PATH, token=token is not None)
    uvicorn_server.run(sockets=[listener])


class CancelOnDisconnect:
    """Cancels a request whose client has gone, and with it the statement in PostgreSQL.

    The SDK looks for a disconnect only while it streams events, not while it prepares a JSON
    response.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application beside a watcher of the connection."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body = await _whole_body(receive)
        if body is None:
            return
        messages = deque(body)

        async def replay() -> Message:
            return messages.popleft() if messages else await gone

        gone = asyncio.ensure_future(_disconnect(receive))
        request = asyncio.ensure_future(self._app(scope, replay, send))
        try:
            await asyncio.wait({request, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not request.done():
                request.cancel()
            await asyncio.gather(request, return_exceptions=gone.done())
        finally:
            gone.cancel()
            request.cancel()


async def _whole_body(receive: Receive) -> list[Message] | None:
    """The messages of a request's body; None where the client went before its end."""
    messages: list[Message] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        messages.append(message)
        if not message.get("more_body", False):
            return messages


async def _disconnect(receive: Receive) -> Message:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return message


async def _health(access: Access) -> Response:
    try:
        async with asyncio.timeout(_READY_TIMEOUT):
            await access.sessions.catalogue(access.caller, "ready")
    except (Failure, TimeoutError):
        return JSONResponse({"status": "unavailable"}, status_code=503)
    return JSONResponse({"status": "ready"})


def _bearer_only() -> AuthSettings:
    # The SDK's settings are made for OAuth. Without resource_server_url it publishes nothing of
    # it; what is left is the check of the Authorization header.
    return AuthSettings(
        issuer_url=AnyHttpUrl("http://localhost"), resource_server_url=None, required_scopes=[]
    )


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise UsageError(
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror or error}.",
            "Choose another address with MCP_HOST and MCP_PORT.",
        ) from error
