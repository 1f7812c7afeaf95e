"""The plugin: what SQLAlchemy calls when an engine with `?plugin=atlas` is made.

Its connections do not leak the server away. The platform makes an engine at each `initialize()` and
disposes of none: here all engines of one URL in one event loop share one pool, which keeps few
connections that nobody uses. The number that may be open at the same time stays as asked for.
"""

import asyncio
from typing import Any

from sqlalchemy import URL, Engine, Pool, QueuePool, event
from sqlalchemy.engine import CreateEnginePlugin
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import ArgumentError
from sqlalchemy.types import FLOAT

from atlas_sqlalchemy.secret import read_password
from atlas_sqlalchemy.tables import SchemaGuard
from atlas_sqlalchemy.values import teach_asyncpg, teach_psycopg

#: Connections that stay open while nobody uses them; the rest is closed when given back.
IDLE_CONNECTIONS = 5
_SECRET = "secret"  # noqa: S105 - the name of the URL's parameter

#: Event loop → (URL and arguments → pool and dialect). Connections of a loop work in no other.
_pools: dict[asyncio.AbstractEventLoop, dict[str, tuple[Pool, Dialect]]] = {}


class AtlasPlugin(CreateEnginePlugin):
    """Made once for each engine.

    The URL's parameter `secret` names the file of the password (see `secret.read_password`).
    """

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        if url.get_backend_name() != "postgresql":
            raise ArgumentError(
                "The plugin atlas is for postgresql+asyncpg and postgresql+psycopg."
            )
        if url.password is not None:
            raise ArgumentError(
                "The URL holds a password, which ends up in logs. Take it out and name its file: "
                "…?plugin=atlas&secret=/path/to/atlas_password"
            )
        named = url.query.get(_SECRET)
        self._secret = named if isinstance(named, str) else None
        self._user = url.username or "atlas"
        self._key = f"{url} {sorted(kwargs.items())!r}"

    def update_url(self, url: URL) -> URL:
        """The URL as the driver shall see it."""
        return url.difference_update_query([_SECRET]).set(username=self._user)

    def handle_pool_kwargs(self, pool_cls: type[Pool], pool_args: dict[str, Any]) -> None:
        """Test connections before use: the server ends those that were idle for long."""
        pool_args.setdefault("pre_ping", True)
        if not issubclass(pool_cls, QueuePool):
            return
        # The newest first, so that the oldest get idle, and are ended.
        pool_args.setdefault("use_lifo", True)
        size, more = pool_args.get("pool_size", 5), pool_args.get("max_overflow", 10)
        if size > IDLE_CONNECTIONS:
            pool_args["pool_size"] = IDLE_CONNECTIONS
            pool_args["max_overflow"] = more if more < 0 else size - IDLE_CONNECTIONS + more

    def engine_created(self, engine: Engine) -> None:
        """Teach the engine; give it the pool that its event loop has for this URL."""
        if not self._share(engine):
            _reflect_float(engine.dialect)
            event.listen(engine, "do_connect", self._log_in)
            event.listen(engine, "connect", _teach)
        event.listen(engine, "before_execute", SchemaGuard().before_execute, retval=True)

    def _share(self, engine: Engine) -> bool:
        """Whether the engine got a pool that was there."""
        if not engine.dialect.is_async:
            return False
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        for other in [known for known in _pools if known.is_closed()]:
            del _pools[other]
        pools = _pools.setdefault(loop, {})
        if self._key not in pools:
            pools[self._key] = (engine.pool, engine.dialect)
            return False
        engine.pool, engine.dialect = pools[self._key]
        return True

    def _log_in(
        self, _dialect: Dialect, _record: Any, _args: Any, parameters: dict[str, Any]
    ) -> None:
        password = read_password(self._secret, self._user)
        if password is not None:
            parameters["password"] = password


def _reflect_float(dialect: Any) -> None:
    """Read a column of the models' type Float back under the name that Float compiles to.

    The platform compares the two texts at each start, and ALTERs the column where they differ.
    """
    dialect.ischema_names = {**dialect.ischema_names, "double precision": FLOAT}


def _teach(connection: Any, _record: object) -> None:
    if hasattr(connection, "run_async") and connection.driver_connection.__module__.startswith(
        "asyncpg"
    ):
        connection.run_async(teach_asyncpg)
    else:
        teach_psycopg(connection)
