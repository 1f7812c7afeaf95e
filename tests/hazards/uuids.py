"""UUIDs, which SQLite keeps as text of any form."""

from tests.hazards.hazard import Hazard, Refused, Rows
from tests.hazards.known import SESSIONS, session, uuid

PLAIN = "0b0e7a52-6f0e-4a6e-9d39-2f6a3a3f0a11"
#: A table whose keys are mostly no UUIDs is not taken for the one that sql/ describes.
OTHERS = (uuid(1), uuid(2))


def _written(name: str, text: str) -> Hazard:
    """A known table normalises it; a created one keeps the text."""
    source = (
        SESSIONS
        + session(text)
        + f"create table t (id char(36) primary key); insert into t values ('{text}');"
    )
    queries: dict[str, Rows] = {
        "select id::text from sessions": [(PLAIN,)],
        "select id from t": [(text,)],
    }
    return Hazard(name, source, queries)


UUIDS = (
    _written("UUIDs in upper case", PLAIN.upper()),
    _written("UUIDs in braces", f"{{{PLAIN}}}"),
    _written("UUIDs without hyphens", PLAIN.replace("-", "")),
    Hazard(
        "text that is no UUID",
        SESSIONS
        + session(PLAIN)
        + session(OTHERS[0])
        + session(OTHERS[1])
        + session("current_session")
        + session(PLAIN[:-1])
        + "create table t (id char(36)); insert into t values ('current_session');",
        {
            "select id::text from sessions order by id": [(OTHERS[0],), (OTHERS[1],), (PLAIN,)],
            "select id from t": [("current_session",)],
        },
        (
            Refused("sessions", "id", "22P02", "current_session", "uuid"),
            Refused("sessions", "id", "22P02", PLAIN[:-1], "uuid"),
        ),
    ),
)
