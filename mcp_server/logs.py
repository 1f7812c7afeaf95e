"""Logging to stderr, one JSON object per line; stdout belongs to the protocol."""

import logging
import sys

import structlog


class _WithoutTraceback(logging.Formatter):
    """Libraries' messages; of an exception its type alone, since its text may quote rows."""

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's name
        return f"({ei[0].__name__})" if isinstance(ei, tuple) and ei[0] else ""


def configure(level: str) -> None:
    """Send this server's log and the libraries' to stderr.

    Args:
        level: the lowest level of this server's own messages; of libraries, warnings and worse.
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _exception_type,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_WithoutTraceback("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def _exception_type(
    _logger: object, _method: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    """Where an exception was logged: its type and where it was raised, never its text."""
    if event.pop("exc_info", None):
        error = sys.exc_info()[1]
        frame = error.__traceback__ if error else None
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        event["exception"] = type(error).__name__
        if frame is not None:
            event["raised_at"] = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}"
    return event
