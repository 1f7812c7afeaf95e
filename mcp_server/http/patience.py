"""Clients that are slow on purpose, or gone without a word.

uvicorn waits for ever for the head of a request and for a client to take its answer. A few hundred
such connections, and nobody else gets one.
"""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol


def impatient(seconds: float) -> type[H11Protocol]:
    """uvicorn's protocol, with a deadline.

    Args:
        seconds: how long a connection may be without a request that is being answered, or with an
            answer that is not taken. The body of a request has a deadline of its own (requests.py),
            a statement another.
    """

    class Impatient(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None
        #: The client does not take what it was sent.
        _stalled = False

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._watch()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._stalled = True
            self._watch()

        def resume_writing(self) -> None:
            super().resume_writing()
            self._stalled = False
            self._forget()
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._forget()

        def _watch(self) -> None:
            answering = self.cycle is not None and not self.cycle.response_complete
            if answering and not self._stalled:
                self._forget()
            elif self._deadline is None and self in self.connections:
                self._deadline = self.loop.call_later(seconds, self.transport.abort)

        def _forget(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    return Impatient
