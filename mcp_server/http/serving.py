"""Listening: the address, TLS, how many connections, and stopping in order."""

import signal
import socket
import ssl

import structlog
import uvicorn

from database.errors import UsageError
from mcp_server.http.app import PATH, build_app
from mcp_server.http.identity import configured_identities
from mcp_server.http.patience import impatient
from mcp_server.server import build_server
from mcp_server.settings import Settings
from mcp_server.tools import Access

_SHUTDOWN_SECONDS = 10

_log = structlog.get_logger()


def serve(access: Access, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        UsageError: the address cannot be listened on, nobody could be told from a stranger on it,
            or the certificate cannot be used.
    """
    identities = configured_identities(settings, access.agents)
    if identities:
        access.sessions.slots.expect(identities.expected())
    _check_certificate(settings)
    server = build_server(access, identities.caller if identities else None)
    listener = _listen(settings)
    host, port = listener.getsockname()[:2]
    patience = settings.client_timeout_ms / 1000
    config = uvicorn.Config(
        build_app(server, access, settings, identities),
        loop="uvloop",
        http=impatient(patience),
        # Longer than clients keep an idle connection (httpx: five seconds, which is uvicorn's
        # default too): else one that asks just then finds it closed. Before it would be cut.
        timeout_keep_alive=max(1, int(patience) - 1),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
        limit_concurrency=settings.max_connections,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    uvicorn_server = uvicorn.Server(config)
    # uvicorn stops in order, then raises the signal again for whoever was there before it; one
    # that comes before it watches is not lost either.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, uvicorn_server.handle_exit)
    _log.info(
        "listening",
        host=host,
        port=port,
        path=PATH,
        tls=settings.tls_cert is not None,
        token=identities is not None,
    )
    uvicorn_server.run(sockets=[listener])


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise UsageError(
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror or error}.",
            "Choose another address with MCP_HOST and MCP_PORT.",
        ) from error


def _check_certificate(settings: Settings) -> None:
    if settings.tls_cert is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            settings.tls_cert, settings.tls_key
        )
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"Cannot use the certificate {settings.tls_cert}: {error.strerror or error}.",
            "MCP_TLS_CERT and MCP_TLS_KEY name PEM files that belong together and can be read.",
        ) from error
