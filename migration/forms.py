"""What a text looks like, as conditions that SQLite evaluates."""

from enum import IntEnum, auto

HEXADECIMAL = "[0-9a-f]"
UUID = "-".join(HEXADECIMAL * length for length in (8, 4, 4, 4, 12))
DATE = "[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]"
#: Which digits of a time are possible is left to SQLite, which reads it.
_TIME = "????-??-??{separator}??:??:??"
#: Characters of a time without a fraction; with one, most often down to the microsecond.
_BARE = 19
_WITH_FRACTION = (26, 23, 22, 21, 24, 25)


class Form(IntEnum):
    """What a text looks like: at most one of these."""

    DATE = auto()
    TIMESTAMP = auto()
    TIMESTAMP_T = auto()
    TIMESTAMP_UTC = auto()
    JSON = auto()
    BOOLEAN = auto()
    UUID = auto()


def form_of_text(column: str) -> str:
    """What a column's value looks like, a `Form`; 0 or NULL where it has none, or is no text.

    Args:
        column: the quoted name.
    """

    def when(form: Form) -> str:
        return f" when {has_form(column, form)} then {form:d}"

    times = (Form.DATE, Form.TIMESTAMP, Form.TIMESTAMP_T, Form.TIMESTAMP_UTC)
    others = (Form.BOOLEAN, Form.UUID, Form.JSON)
    return (
        f"case when typeof({column}) <> 'text' then 0"
        f" when {column} glob '????-??-??*' then case{''.join(map(when, times))} end"
        f"{''.join(map(when, others))} end"
    )


def has_form(column: str, form: Form) -> str:
    """True where a text has the form; what it is for other values does not matter."""
    if form is Form.TIMESTAMP:
        return _is_time(column, " ")
    if form is Form.TIMESTAMP_T:
        return _is_time(column, "T")
    if form is Form.TIMESTAMP_UTC:
        # Texts with the one mark are longer than with the other, so few are looked at twice.
        return f"({_is_time(column, '[ T]', 'Z')} or {_is_time(column, '[ T]', '+00:00')})"
    return _CONDITIONS[form].format(column=column)


# By substr: a column of numeric affinity (every DATETIME), compared as it stands, makes a number
# of the text on the other side.
_EXISTS = (
    " and {column} not glob '0000*' and (substr({column}, 9, 2) < '29'"
    # A day that does not exist is moved by SQLite, and so is not equal to itself.
    " or date(substr({column}, 1, 10), '+0 days') = substr({column}, 1, 10))"
)
_CONDITIONS = {
    Form.DATE: f"{{column}} glob '{DATE}' and date({{column}}, '+0 days') = {{column}}"
    " and {column} not glob '0000*'",
    Form.JSON: "substr({column}, 1, 1) in ('{{', '[') and json_valid({column})",
    Form.BOOLEAN: "{column} in ('t', 'f')",
    Form.UUID: f"{{column}} glob '{UUID}'",
}


def _is_time(column: str, separator: str, mark: str = "") -> str:
    """A time that exists, to the microsecond at most.

    The pattern says where what stands, and that a fraction is of digits; that the rest is, and
    how large the month, the minute and the second are, is said by `julianday`, which reads them.
    """
    time = _TIME.format(separator=separator)
    with_fraction = ((n, f"{time}.{'[0-9]' * (n - _BARE - 1)}") for n in _WITH_FRACTION)
    cases = "".join(
        f" when {length + len(mark)} then {column} glob '{pattern}{mark}'"
        for length, pattern in (*with_fraction, (_BARE, time))
    )
    return (
        f"case length({column}){cases} end"
        # The last fractions of the year 9999 are beyond what it reads: it rounds them up.
        f" and coalesce(julianday({column}), julianday(substr({column}, 1, {_BARE}))) is not null"
        # Midnight at the end of a day has a reading in SQLite.
        f" and substr({column}, 12, 2) < '24'{_EXISTS.format(column=column)}"
    )
