"""Times and dates, which SQLite has no type for."""

from tests.hazards.hazard import Hazard, Refused
from tests.hazards.known import LOGS, log

NOT_A_DATE = "not a date and time"


def _logs(*values: str) -> str:
    return LOGS + "".join(log(number, when=value) for number, value in enumerate(values, 1))


def _refused(*values: int | float | str, sqlstate: str = "22007") -> tuple[Refused, ...]:
    reason = "finer than a microsecond" if sqlstate == "22008" else NOT_A_DATE
    return tuple(Refused("logs", "timestamp", sqlstate, value, reason) for value in values)


ARRIVED = "select id, timestamp::text from logs order by id"

DATES = (
    Hazard(
        "ISO 8601 with T, Z or an offset",
        _logs("'2026-02-01T10:00:00'", "'2026-02-01T10:00:00.5Z'", "'2026-02-01 10:00:00+02:00'"),
        {
            ARRIVED: [
                (1, "2026-02-01 10:00:00"),
                (2, "2026-02-01 10:00:00.5"),
                (3, "2026-02-01 08:00:00"),
            ]
        },
    ),
    Hazard(
        "a date only",
        _logs("'2026-02-01'")
        + "create table t (d date, m datetime); insert into t values ('2026-02-28', '2026-02-28');",
        {
            ARRIVED: [(1, "2026-02-01 00:00:00")],
            "select d::text, m::text from t": [("2026-02-28", "2026-02-28 00:00:00")],
        },
    ),
    Hazard(
        "'0000-00-00'",
        _logs("'2026-02-01 10:00:00'", "'0000-00-00'", "'0000-00-00 00:00:00'")
        + "create table t (d date); insert into t values ('0000-00-00'), ('2026-02-01');",
        {
            ARRIVED: [(1, "2026-02-01 10:00:00")],
            "select d from t order by d": [("0000-00-00",), ("2026-02-01",)],
        },
        _refused("0000-00-00", "0000-00-00 00:00:00"),
    ),
    Hazard(
        "an empty string for a date",
        _logs("'2026-02-01 10:00:00'", "''")
        + "create table t (d datetime); insert into t values (''), ('2026-02-01 10:00:00');",
        {
            ARRIVED: [(1, "2026-02-01 10:00:00")],
            "select d from t order by d": [("",), ("2026-02-01 10:00:00",)],
        },
        _refused(""),
    ),
    Hazard(
        "epoch numbers: s, ms, µs, integer and real",
        _logs("'2026-02-01 10:00:00'", "1769940000", "1769940000000", "0", "2020", "1769940000.25")
        + "create table t (s datetime, u datetime, r datetime);"
        "insert into t values (1769940000, 1769940000000001, 1769940000.25), (0, 2020, 0.5);",
        {
            ARRIVED: [(1, "2026-02-01 10:00:00")],
            "select s, u, r from t order by s": [
                (0, 2020, 0.5),
                (1769940000, 1769940000000001, 1769940000.25),
            ],
        },
        _refused(1769940000, 1769940000000, 0, 2020, 1769940000.25),
    ),
    Hazard(
        "julian days",
        _logs("'2026-02-01 10:00:00'", "2461072.9166666665")
        + "create table t (d datetime); insert into t values (2461072.9166666665);",
        {
            ARRIVED: [(1, "2026-02-01 10:00:00")],
            "select d from t": [(2461072.9166666665,)],
        },
        _refused(2461072.9166666665),
    ),
    Hazard(
        "the year 10000",
        _logs("'9999-12-31 23:59:59.999999'", "'10000-01-01 00:00:00'")
        + "create table t (d datetime); insert into t values ('10000-01-01 00:00:00');",
        {
            ARRIVED: [(1, "9999-12-31 23:59:59.999999")],
            "select d from t": [("10000-01-01 00:00:00",)],
        },
        _refused("10000-01-01 00:00:00"),
    ),
    Hazard(
        "local time against UTC",
        _logs("'2026-07-01 10:00:00'", "'2026-07-01 10:00:00+03:00'")
        + "create table t (d datetime); insert into t values ('2026-07-01 10:00:00.000001');",
        {
            ARRIVED: [(1, "2026-07-01 10:00:00"), (2, "2026-07-01 07:00:00")],
            "select d::text from t": [("2026-07-01 10:00:00.000001",)],
        },
        target="do $$ begin execute format('alter database %I set timezone = ''Europe/Kyiv''',"
        " current_database()); end $$",
    ),
    Hazard(
        "the hour that a change to summer time skips",
        _logs("'2026-03-29 03:30:00'")
        + "create table t (d datetime); insert into t values ('2026-03-29 03:30:00');",
        {
            ARRIVED: [(1, "2026-03-29 03:30:00")],
            "select d::text from t": [("2026-03-29 03:30:00",)],
        },
        target="do $$ begin execute format('alter database %I set timezone = ''Europe/Kyiv''',"
        " current_database()); end $$",
    ),
    Hazard(
        "days that do not exist",
        _logs("'2026-02-28 10:00:00'", "'2026-02-30 10:00:00'", "'2026-13-01 10:00:00'")
        + "create table t (d datetime); insert into t values ('2026-02-30 10:00:00');",
        {
            ARRIVED: [(1, "2026-02-28 10:00:00")],
            "select d from t": [("2026-02-30 10:00:00",)],
        },
        _refused("2026-02-30 10:00:00", "2026-13-01 10:00:00"),
    ),
    Hazard(
        "times finer than a microsecond",
        _logs("'2026-02-01 10:00:00.123456000'", "'2026-02-01 10:00:00.1234567'")
        + "create table t (d datetime); insert into t values ('2026-02-01 10:00:00.1234567');",
        {
            ARRIVED: [(1, "2026-02-01 10:00:00.123456")],
            "select d from t": [("2026-02-01 10:00:00.1234567",)],
        },
        _refused("2026-02-01 10:00:00.1234567", sqlstate="22008"),
    ),
)
