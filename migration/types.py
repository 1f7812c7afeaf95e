"""The PostgreSQL type of a column that sql/ does not know: by its values, then as declared."""

from migration.profile import ColumnProfile
from migration.schema import Column

_BIGINT = range(-(2**63), 2**63)
_EXACT_INTEGER = 2**53


def choose_type(column: Column, facts: ColumnProfile) -> tuple[str, str]:
    """A type that holds every value without loss, and the reason for it."""
    if facts.values == 0:
        chosen = _declared_type(column.declared)
        return chosen, f"no values; declared {column.declared or 'without a type'}"
    if facts.blobs:
        if facts.blobs + facts.texts < facts.values:
            return "bytea", "blobs and numbers are mixed; numbers will be refused"
        return "bytea", "holds blobs" + (" and text, kept as its bytes" if facts.texts else "")
    if facts.texts:
        return _text_type(column, facts)
    return _number_type(column, facts)


def _text_type(column: Column, facts: ColumnProfile) -> tuple[str, str]:
    if facts.texts < facts.values:
        return "text", "numbers and text are mixed; numbers are kept as their text"
    declared = column.declared
    if facts.timestamps == facts.texts:
        return "timestamp without time zone", "every value is YYYY-MM-DD HH:MM:SS"
    if facts.dates == facts.texts and "DATE" in declared:
        if "TIME" in declared:
            return "timestamp without time zone", "declared as a time, every value is a date"
        return "date", "every value is YYYY-MM-DD"
    if "JSON" in declared and facts.json_documents == facts.texts:
        return "jsonb", "declared JSON, and every value is valid"
    return "text", "text"


def _number_type(column: Column, facts: ColumnProfile) -> tuple[str, str]:
    declared = column.declared
    if facts.reals == 0:
        booleans = facts.smallest in (0, 1) and facts.largest in (0, 1)
        if "BOOL" in declared and booleans:
            return "boolean", "declared boolean, only 0 and 1"
        if "NUMERIC" in declared or "DECIMAL" in declared:
            return "numeric", "declared as a decimal"
        return "bigint", "whole numbers only"
    if "NUMERIC" in declared or "DECIMAL" in declared:
        return "numeric", "declared as a decimal"
    widest = max(abs(facts.smallest or 0), abs(facts.largest or 0))
    if widest > _EXACT_INTEGER:
        return "numeric", "reals, and whole numbers that a double cannot hold exactly"
    return "double precision", "real numbers"


def _declared_type(declared: str) -> str:
    """SQLite's affinity rules, with the words that people use for times, booleans and JSON."""
    for words, pg_type in (
        (("BOOL",), "boolean"),
        (("DATETIME", "TIMESTAMP"), "timestamp without time zone"),
        (("DATE",), "date"),
        (("JSON",), "jsonb"),
        (("INT",), "bigint"),
        (("CHAR", "CLOB", "TEXT"), "text"),
        (("BLOB",), "bytea"),
        (("REAL", "FLOA", "DOUB"), "double precision"),
        (("NUMERIC", "DECIMAL"), "numeric"),
    ):
        if any(word in declared for word in words):
            return pg_type
    return "text"
