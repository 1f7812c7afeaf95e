"""Values that their column does not announce."""

from tests.hazards.hazard import Hazard, Refused
from tests.hazards.known import FILES, LOGS, file, log

HARD_TEXTS = ("a\tb", "a\nb", "\r\n", "\\", "\\\\", "\\.", "\\N", "\n\\.\n", "\\t", "\\x00", "")
ROWS = ", ".join(
    "(" + f"{number}, cast(x'{text.encode().hex()}' as text))"
    for number, text in enumerate(HARD_TEXTS)
)
MEGABYTES = 100

VALUES = (
    Hazard(
        "text in INTEGER columns",
        FILES.replace("size integer", "size varchar")
        + file(1, size="'12'")
        + file(2, size="'big'")
        + file(3, size="'a5b'")
        + "create table t (v integer); insert into t values (1), ('a5b'), ('');",
        {
            "select id, size from files": [(1, 12)],
            "select v from t order by v": [("",), ("1",), ("a5b",)],
        },
        (
            Refused("files", "size", "22P02", "big", "not a whole number"),
            Refused("files", "size", "22P02", "a5b", "not a whole number"),
        ),
    ),
    Hazard(
        "text in REAL columns",
        FILES
        + file(1)
        + file(2, mtime="'soon'")
        + "create table t (v real); insert into t values (0.1), ('1.5d0'), (1e300);",
        {
            "select id, mtime from files": [(1, 0.5)],
            "select v from t order by v": [("0.1",), ("1.5d0",), ("1e+300",)],
        },
        (Refused("files", "mtime", "22P02", "soon", "not a number"),),
    ),
    Hazard(
        "integers over 2^31",
        FILES
        + file(1, size="2147483647")
        + file(2, size="2147483648")
        + "create table t (v integer); insert into t values (9223372036854775807), (-2147483649);",
        {
            "select id, size from files": [(1, 2**31 - 1)],
            "select v from t order by v": [(-(2**31) - 1,), (2**63 - 1,)],
        },
        (Refused("files", "size", "22003", 2**31, "out of range"),),
    ),
    Hazard(
        "integers over 2^63 as text",
        FILES.replace("size integer", "size varchar")
        + file(1)
        + file(2, size="'9223372036854775808'")
        + "create table t (v text, w); insert into t values ('9223372036854775808', 1),"
        " ('007', '18446744073709551616');",
        {
            "select id from files": [(1,)],
            "select v, w from t order by v": [
                ("007", "18446744073709551616"),
                ("9223372036854775808", "1"),
            ],
        },
        (Refused("files", "size", "22003", "9223372036854775808", "out of range"),),
    ),
    Hazard(
        "REAL in INTEGER columns",
        FILES.replace("size integer", "size")
        + file(1, size="4.0")
        + file(2, size="3.5")
        + "create table t (v integer); insert into t values (1), (3.5);",
        {
            "select id, size from files": [(1, 4)],
            "select v from t order by v": [(1.0,), (3.5,)],
        },
        (Refused("files", "size", "22P02", 3.5, "not a whole number"),),
    ),
    Hazard(
        "doubles to their last bit",
        FILES
        + file(1, mtime="0.1 + 0.2")
        + "create table t (v real); insert into t values (0.30000000000000004), (5e-324),"
        " (1.7976931348623157e308), (1.0 / 3);",
        {
            "select mtime from files": [(0.1 + 0.2,)],
            "select v::text from t order by t.v": [
                ("5e-324",),
                ("0.30000000000000004",),
                ("0.3333333333333333",),
                ("1.7976931348623157e+308",),
            ],
        },
    ),
    Hazard(
        "Infinity",
        FILES + file(1, mtime="9e999") + "create table t (id integer primary key, v real);"
        " insert into t values (1, 9e999), (2, -9e999), (3, 9e999 - 9e999);",
        {
            "select mtime::text from files": [("Infinity",)],
            "select v::text from t order by id": [("Infinity",), ("-Infinity",), (None,)],
        },
    ),
    Hazard(
        "booleans as 0, 1, 2, 't', 'true', 'yes'",
        FILES
        + "".join(
            file(number, is_dir=value)
            for number, value in enumerate(("0", "1", "2", "'t'", "'true'", "'yes'", "'maybe'"))
        )
        + "create table t (a boolean, b boolean, c boolean);"
        " insert into t values (0, 0, 0), (1, 2, 'true');",
        {
            "select id, is_dir from files order by id": [
                (0, False),
                (1, True),
                (3, True),
                (4, True),
                (5, True),
            ],
            "select a, b, c from t order by a": [(False, 0, "0"), (True, 2, "true")],
        },
        (
            Refused("files", "is_dir", "22P02", 2, "not a boolean"),
            Refused("files", "is_dir", "22P02", "maybe", "not a boolean"),
        ),
    ),
    Hazard(
        "NUL (0x00) inside text",
        LOGS
        + log(1)
        + log(2, message="cast(x'd09b00' as text)")
        + "create table t (v text); insert into t values ('a'), (cast(x'610062' as text));",
        {"select id from logs": [(1,)], "select v from t": [("a",)]},
        (
            Refused("logs", "message", "22021", "Л\0", "NUL"),
            Refused("t", "v", "22021", "a\0b", "NUL"),
        ),
    ),
    Hazard(
        "invalid UTF-8 in TEXT",
        LOGS
        + log(1)
        + log(2, message="cast(x'd09bff' as text)")
        + "create table t (v text); insert into t values ('a'), (cast(x'eda080' as text));",
        {"select id from logs": [(1,)], "select v from t": [("a",)]},
        (
            Refused("logs", "message", "22021", "Л\udcff", "UTF-8"),
            Refused("t", "v", "22021", "\udced\udca0\udc80", "UTF-8"),
        ),
    ),
    Hazard(
        "BLOB in TEXT",
        LOGS
        + log(1)
        + log(2, message="x'00ff'")
        + "create table t (v text); insert into t values ('a'), (x'00ff');",
        {"select id from logs": [(1,)], "select v from t order by v": [(b"\x00\xff",), (b"a",)]},
        (Refused("logs", "message", "22P02", b"\x00\xff", "blob"),),
    ),
    Hazard(
        "TEXT in BLOB",
        "create table t (v blob, w blob);"
        "insert into t values (x'00ff', 'YWJj'), ('YWJj', '\\x41'), ('їжак', 'x');",
        {
            "select v, w from t order by v": [
                (b"\x00\xff", "YWJj"),
                (b"YWJj", "\\x41"),
                ("їжак".encode(), "x"),
            ]
        },
    ),
    Hazard(
        "empty string against NULL",
        LOGS
        + log(1, message="''", session="''")
        + log(2)
        + "create table t (id integer primary key, v text, b blob);"
        "insert into t values (1, '', x''), (2, null, null);",
        {
            "select id, session_id, message from logs order by id": [(1, "", ""), (2, None, "m")],
            "select v, b from t order by id": [("", b""), (None, None)],
        },
    ),
    Hazard(
        "tab, newline, backslash, `\\.`, `\\N` in text",
        LOGS
        + f"with v(n, x) as (values {ROWS})"
        + " insert into logs select n, x, '2026-02-01 10:00:00', 'I', 's', x, null from v;"
        + f"create table t (id integer primary key, v text); insert into t values {ROWS};",
        {
            "select message from logs order by id": [(text,) for text in HARD_TEXTS],
            "select session_id from logs order by id": [(text,) for text in HARD_TEXTS],
            "select v from t order by id": [(text,) for text in HARD_TEXTS],
        },
    ),
    Hazard(
        "100 MB text and BLOB",
        LOGS
        + log(1, message=f"printf('%0{MEGABYTES}000000d', 7)")
        + f"create table t (v text, b blob);"
        f"insert into t values (printf('%{MEGABYTES}000000d', 7), zeroblob({MEGABYTES}000000));",
        {
            "select length(message), right(message, 2) from logs": [(MEGABYTES * 10**6, "07")],
            "select length(v), left(v, 1), length(b), encode(sha256(b), 'hex') from t": [
                (
                    MEGABYTES * 10**6,
                    " ",
                    MEGABYTES * 10**6,
                    "a993f8c574e0fea8c1cdcbcd9408d9e2e107ee6e4d120edcfa11decd53fa0cae",
                )
            ],
        },
        deep=True,
    ),
)
