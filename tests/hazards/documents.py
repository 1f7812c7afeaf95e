"""JSON, which SQLite keeps as the text that was written."""

from tests.hazards.hazard import Hazard, Refused
from tests.hazards.known import LOGS, log

DEEP = "[" * 20_000 + "]" * 20_000
NESTED = "[" * 200 + "]" * 200
LONG = "9" * 400 + "." + "1" * 50


def _logs(*documents: str) -> str:
    rows = enumerate(documents, 1)
    return LOGS + "".join(log(number, metadata=f"'{text}'") for number, text in rows)


def _created(*documents: str) -> str:
    rows = ", ".join(f"({number}, '{text}')" for number, text in enumerate(documents, 1))
    return f"create table t (id integer primary key, j json); insert into t values {rows};"


KNOWN = "select id, metadata_blob::text from logs order by id"
CREATED = "select id, j::text from t order by id"

DOCUMENTS = (
    Hazard(
        "invalid JSON",
        _logs("{}", "{oops", "") + _created("{}", "{oops", "[1,]"),
        {KNOWN: [(1, "{}")], CREATED: [(1, "{}"), (2, "{oops"), (3, "[1,]")]},
        (
            Refused("logs", "metadata_blob", "22P02", "{oops", "json"),
            Refused("logs", "metadata_blob", "22P02", "", "json"),
        ),
    ),
    Hazard(
        "duplicate keys",
        _logs('{"a": 1, "a": 2}') + _created('{"a": 1, "a": 2}'),
        {KNOWN: [(1, '{"a": 2}')], CREATED: [(1, '{"a": 2}')]},
    ),
    Hazard(
        "`\\u0000` in JSON",
        _logs("{}", '{"a": "\\u0000"}') + _created("{}", '["\\u0000"]'),
        {KNOWN: [(1, "{}")], CREATED: [(1, "{}")]},
        (
            Refused("logs", "metadata_blob", "22P05", '{"a": "\\u0000"}', "Unicode escape"),
            Refused("t", "j", "22P05", '["\\u0000"]', "Unicode escape"),
        ),
    ),
    Hazard(
        "lone surrogates in JSON",
        _logs("{}", '["\\ud800"]', '["\\ud83e\\uddea"]') + _created("{}", '["\\udc00 x"]'),
        {KNOWN: [(1, "{}"), (3, '["🧪"]')], CREATED: [(1, "{}")]},
        (
            Refused("logs", "metadata_blob", "22P02", '["\\ud800"]', "json"),
            Refused("t", "j", "22P02", '["\\udc00 x"]', "json"),
        ),
    ),
    Hazard(
        "NaN and Infinity tokens in JSON",
        _logs("{}", '{"a": NaN}', "[-Infinity]") + _created("{}", "[NaN]"),
        {KNOWN: [(1, "{}")], CREATED: [(1, "{}"), (2, "[NaN]")]},
        (
            Refused("logs", "metadata_blob", "22P02", '{"a": NaN}', "json"),
            Refused("logs", "metadata_blob", "22P02", "[-Infinity]", "json"),
        ),
    ),
    Hazard(
        "JSON numbers beyond a double",
        _logs("[12345678901234567890.10, 1e30]", f"[{LONG}]", "[1e200000]")
        + _created("[12345678901234567890.10]", f"[{LONG}]"),
        {
            KNOWN: [
                (1, "[12345678901234567890.10, 1" + "0" * 30 + "]"),
                (2, f"[{LONG}]"),
            ],
            CREATED: [(1, "[12345678901234567890.10]"), (2, f"[{LONG}]")],
        },
        (Refused("logs", "metadata_blob", "22003", "[1e200000]", "numeric"),),
    ),
    Hazard(
        "JSON null against SQL NULL",
        _logs("null") + log(2) + _created("null", "{}") + "insert into t values (3, null);",
        {
            KNOWN: [(1, "null"), (2, None)],
            CREATED: [(1, "null"), (2, "{}"), (3, None)],
        },
    ),
    Hazard(
        "deep nesting in JSON",
        _logs("{}", NESTED, DEEP) + _created(NESTED),
        {
            "select id, length(metadata_blob::text) from logs order by id": [(1, 2), (2, 400)],
            CREATED: [(1, NESTED)],
        },
        (Refused("logs", "metadata_blob", "54001", DEEP, "stack depth"),),
    ),
    Hazard(
        "`\\uXXXX` escapes of non-Latin text",
        _logs('{"\\u0457\\u0436": "\\u043a\\u0457\\u0432"}')
        + _created('["\\u6f22 \\ud83e\\uddea"]'),
        {KNOWN: [(1, '{"їж": "кїв"}')], CREATED: [(1, '["漢 🧪"]')]},
    ),
)
