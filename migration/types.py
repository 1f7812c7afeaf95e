"""The PostgreSQL type of a column that sql/ does not know: by its values, then as declared.

The type holds every value without loss; where no type does, text or bytea does.
"""

from migration.facts import ColumnProfile

TEXT = "text"
TIMESTAMP = "timestamp without time zone"
TIMESTAMP_UTC = "timestamp with time zone"
_BIGINT = range(-(2**63), 2**63)
_EXACT_INTEGER = 2**53


def choose_type(declared: str, facts: ColumnProfile) -> tuple[str, str]:
    """A type that holds every value, and the reason for it.

    Args:
        declared: the declared type, in upper case.
        facts: of the column; of several ones together where foreign keys join them.
    """
    if facts.values == 0:
        chosen = _declared_type(declared)
        return chosen, f"no values; declared {declared or 'without a type'}"
    if facts.blobs:
        return _blob_type(declared, facts)
    if facts.texts:
        return _text_type(declared, facts)
    return _number_type(declared, facts)


def _blob_type(declared: str, facts: ColumnProfile) -> tuple[str, str]:
    characters = any(word in declared for word in ("CHAR", "CLOB", "TEXT"))
    if characters and facts.blobs == facts.text_blobs:
        return TEXT, "declared as text; its blobs are text too"
    if facts.blobs == facts.values:
        return "bytea", "holds blobs"
    return "bytea", "holds blobs, and other values, kept as the bytes of their text"


def _text_type(declared: str, facts: ColumnProfile) -> tuple[str, str]:
    numbers = facts.integers == 0 or (facts.smallest in (0, 1) and facts.largest in (0, 1))
    words = facts.boolean_texts == facts.texts and facts.reals == 0
    if "BOOL" in declared and words and numbers:
        return "boolean", "declared boolean, every value is 't' or 'f', 0 or 1"
    if facts.texts < facts.values:
        return TEXT, "numbers and text are mixed; numbers are kept as their text"
    if facts.timestamps == facts.texts:
        return TIMESTAMP, "every value is YYYY-MM-DD HH:MM:SS"
    return _temporal_type(declared, facts) or _named_type(declared, facts) or (TEXT, "text")


def _temporal_type(declared: str, facts: ColumnProfile) -> tuple[str, str] | None:
    if "DATE" not in declared and "TIME" not in declared:
        return None
    if facts.timestamps_utc == facts.texts:
        return TIMESTAMP_UTC, "declared as a time, every value is in UTC and says so"
    if facts.timestamps + facts.timestamps_t == facts.texts:
        return TIMESTAMP, "declared as a time, every value is one, without an offset"
    if facts.dates == facts.texts and "TIME" in declared:
        return TIMESTAMP, "declared as a time, every value is a date"
    return ("date", "every value is YYYY-MM-DD") if facts.dates == facts.texts else None


def _named_type(declared: str, facts: ColumnProfile) -> tuple[str, str] | None:
    if "JSON" in declared and facts.json_documents == facts.texts:
        return "jsonb", "declared JSON, and every value is valid"
    if ("UUID" in declared or "GUID" in declared) and facts.uuids == facts.texts:
        return "uuid", "declared as a UUID, and every value is one"
    return None


def _number_type(declared: str, facts: ColumnProfile) -> tuple[str, str]:
    decimal = "NUMERIC" in declared or "DECIMAL" in declared
    if facts.reals == 0:
        booleans = facts.smallest in (0, 1) and facts.largest in (0, 1)
        if "BOOL" in declared and booleans:
            return "boolean", "declared boolean, every value is 0 or 1"
        if decimal:
            return "numeric", "declared as a decimal"
        return "bigint", "whole numbers only"
    if decimal:
        return "numeric", "declared as a decimal"
    widest = max(abs(facts.smallest or 0), abs(facts.largest or 0))
    if widest > _EXACT_INTEGER:
        return "numeric", "reals, and whole numbers that a double cannot hold exactly"
    return "double precision", "real numbers"


def _declared_type(declared: str) -> str:
    """SQLite's affinity rules, with the words that people use for times, booleans and JSON."""
    for words, pg_type in (
        (("BOOL",), "boolean"),
        (("DATETIME", "TIMESTAMP"), TIMESTAMP),
        (("DATE",), "date"),
        (("JSON",), "jsonb"),
        (("UUID", "GUID"), "uuid"),
        # Geometries are blobs, whatever SQLite's rules find in the word POINT.
        (("POINT", "GEOMETRY", "LINESTRING", "POLYGON"), "bytea"),
        (("INT",), "bigint"),
        (("CHAR", "CLOB", "TEXT"), TEXT),
        (("BLOB",), "bytea"),
        (("REAL", "FLOA", "DOUB"), "double precision"),
        (("NUMERIC", "DECIMAL"), "numeric"),
    ):
        if any(word in declared for word in words):
            return pg_type
    return TEXT


#: The types that a policy can name, as PostgreSQL's `format_type` calls them.
TYPES = {
    "bigint": "bigint",
    "double precision": "double precision",
    "numeric": "numeric",
    "boolean": "boolean",
    "timestamp": TIMESTAMP,
    "timestamptz": TIMESTAMP_UTC,
    "date": "date",
    "uuid": "uuid",
    "jsonb": "jsonb",
    "bytea": "bytea",
    "text": TEXT,
}
