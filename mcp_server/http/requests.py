"""A request as a whole: its body, bounded in size and time; and its client, who may go away."""

import asyncio
import json
from collections import deque
from typing import Any

from mcp.shared.inbound import (
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    NAME_BEARING_METHODS,
    decode_header_value,
    find_duplicated_routing_header,
)
from mcp_types.jsonrpc import HEADER_MISMATCH
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: A statement has at most 256 KiB (gate/parse.py); JSON may need six bytes for one of them.
MAX_BODY_BYTES = 4 * 1024 * 1024


class _RefusedError(Exception):
    def __init__(self, response: Response) -> None:
        self.response = response


class WholeRequests:
    """Hands requests on whole, and cancels those whose client has gone.

    With a request its statement in PostgreSQL is cancelled. The SDK looks for a disconnect only
    while it streams events, not while it prepares a JSON response.

    Args:
        seconds: how long a client may take to send a body.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application beside a watcher of the connection."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            body = await _whole_body(Headers(scope=scope), receive, self._seconds)
            if body is None:
                return
            _check_routing(Headers(scope=scope), body)
        except _RefusedError as refused:
            await refused.response(scope, receive, send)
            return
        await self._run(scope, body, receive, send)

    async def _run(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        messages: deque[Message] = deque([{"type": "http.request", "body": body}])

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


async def _whole_body(headers: Headers, receive: Receive, seconds: float) -> bytes | None:
    """A request's body; None where the client went before its end.

    Raises:
        _RefusedError: 413 as soon as it is known to be too large, 408 where it takes too long.
    """
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > MAX_BODY_BYTES:
        raise _RefusedError(Response("Request body too large", 413))
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                body += message.get("body", b"")
                if len(body) > MAX_BODY_BYTES:
                    raise _RefusedError(Response("Request body too large", 413))
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise _RefusedError(
            Response("Request body too slow", 408, headers={"Connection": "close"})
        ) from None


def _check_routing(headers: Headers, body: bytes) -> None:
    """Refuse a request whose headers name another method or tool than its body.

    A gateway may have allowed it by the headers. The SDK looks at them for the protocol that asks
    for them (2026-07-28); here they are held to what they say for every one.

    Raises:
        _RefusedError: 400.
    """
    named = {name: headers.get(name) for name in (MCP_METHOD_HEADER, MCP_NAME_HEADER)}
    if not any(value is not None for value in named.values()):
        return
    if find_duplicated_routing_header(headers.items()):
        raise _mismatch()
    try:
        message: Any = json.loads(body)
    except (ValueError, RecursionError):
        return  # The SDK says so better.
    # A batch has several methods, of which the headers can name one at most.
    if not isinstance(message, dict):
        raise _mismatch()
    method = message.get("method")
    if named[MCP_METHOD_HEADER] not in (None, method):
        raise _mismatch()
    if named[MCP_NAME_HEADER] is None:
        return
    parameters = message.get("params")
    key = NAME_BEARING_METHODS.get(method) if isinstance(method, str) else None
    value = parameters.get(key) if isinstance(parameters, dict) and key else None
    if key is not None and decode_header_value(named[MCP_NAME_HEADER]) != value:
        raise _mismatch()


def _mismatch() -> _RefusedError:
    error = {"code": HEADER_MISMATCH, "message": "Mcp-Method or Mcp-Name differs from the body"}
    return _RefusedError(JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, 400))


async def _disconnect(receive: Receive) -> Message:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return message
