"""The facts about a column, each one as the SQLite aggregate that counts it."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence

import apsw
from pydantic import BaseModel, ConfigDict

from migration.forms import DATE, HEXADECIMAL, UUID, Form, form_of_text

_TIME = "[0-2][0-9]:[0-5][0-9]:[0-5][0-9]"
#: The facts that are values, not counts: there may be none.
_EXTREMES = ("smallest", "largest", "smallest_real", "largest_real")
#: Results of aggregates, by the name of the fact.
Counts = dict[str, int | float | None]
# {column}, {kind} and {form} stand for columns of a subquery (`prepared`): SQLite would compute
# the storage class, and what a text looks like, once more for every fact.
_KIND = "{kind}"
_WITH_NUL = "instr({column}, char(0)) > 0"
IS_TEXT = "is_text({column})"
_TEXT = f"{_KIND} = 'text'"
_BYTES = (
    "octet_length({column})"
    if sqlite3.sqlite_version_info >= (3, 43)
    else "length(cast({column} as blob))"
)


class DateForms(BaseModel):
    """How dates are written: every count is a number of rows, the forms of numbers by range."""

    model_config = ConfigDict(frozen=True)

    #: YYYY-MM-DD HH:MM:SS[.f], with T instead of the blank, and either with Z or an offset.
    with_blank: int = 0
    with_t: int = 0
    with_offset: int = 0
    date_only: int = 0
    time_only: int = 0
    #: 0000-00-00 with or without a time.
    zero: int = 0
    empty: int = 0
    #: Numbers that are times between 1973 and 2128 if they count seconds, … since 1970.
    epoch_s: int = 0
    epoch_ms: int = 0
    epoch_us: int = 0
    #: Numbers that are days between 1858 and 2132 if they are julian days.
    julian: int = 0


class ColumnProfile(BaseModel):
    """Facts about a column's values; every count is a number of rows."""

    model_config = ConfigDict(frozen=True)

    nulls: int
    integers: int
    reals: int
    texts: int
    blobs: int
    #: Of the integers.
    smallest: int | None
    largest: int | None
    dates: int
    #: Times that exist, to the microsecond: with a blank; with a T; and in UTC with its mark.
    timestamps: int
    timestamps_t: int
    timestamps_utc: int
    #: Texts that are JSON objects or arrays.
    json_documents: int
    #: Texts that are 't' or 'f', PostgreSQL's own form of a boolean.
    boolean_texts: int
    #: Texts in the one form that PostgreSQL prints: lower case, four hyphens.
    uuids: int
    #: Blobs that are text in UTF-8, without NUL.
    text_blobs: int
    # What follows explains and decides nothing; None where it was not counted.
    #: Bytes of the longest text or blob.
    longest: int | None = None
    with_nul: int | None = None
    bad_utf8: int | None = None
    json_valid: int | None = None
    #: UUIDs in upper case, in braces or without hyphens.
    uuids_other: int | None = None
    smallest_real: float | None = None
    largest_real: float | None = None
    date_forms: DateForms | None = None

    @property
    def values(self) -> int:
        """Rows that are not NULL."""
        return self.integers + self.reals + self.texts + self.blobs

    @classmethod
    def of(cls, counts: Counts) -> "ColumnProfile":
        """From the results of `expressions`, by name; a sum over no rows is NULL in SQLite."""
        forms = {
            name.removeprefix("form_"): value or 0
            for name, value in counts.items()
            if name.startswith("form_")
        }
        rest = {
            name: value if name in _EXTREMES else value or 0
            for name, value in counts.items()
            if not name.startswith("form_")
        }
        return cls.model_validate({**rest, "date_forms": forms or None})

    def plus(self, other: "ColumnProfile") -> "ColumnProfile":
        """Both columns' values together, as far as they decide a type."""
        merged: dict[str, int | None] = {}
        for name in type(self).model_fields:
            both = (getattr(self, name), getattr(other, name))
            pair = [value for value in both if value is not None]
            if name == "smallest":
                merged[name] = min(pair, default=None)
            elif name == "largest":
                merged[name] = max(pair, default=None)
            elif type(self).model_fields[name].is_required():
                merged[name] = sum(pair)
        return ColumnProfile.model_validate(merged)


def prepare(connection: sqlite3.Connection | apsw.Connection) -> None:
    """Give the connection the functions that the aggregates need besides SQLite's own."""
    for name, function in _FUNCTIONS.items():
        if isinstance(connection, apsw.Connection):
            connection.create_scalar_function(name, function, 1, deterministic=True)
        else:
            connection.create_function(name, 1, function, deterministic=True)


def expressions(connection: sqlite3.Connection, *, everything: bool) -> dict[str, str]:
    """SQLite's aggregate for each fact, for `of_column`."""
    found = _deciding()
    if everything:
        found |= _explaining(connection)
    return found


#: What counts each form.
FORMS = {
    Form.DATE: "dates",
    Form.TIMESTAMP: "timestamps",
    Form.TIMESTAMP_T: "timestamps_t",
    Form.TIMESTAMP_UTC: "timestamps_utc",
    Form.JSON: "json_documents",
    Form.BOOLEAN: "boolean_texts",
    Form.UUID: "uuids",
}


def prepared(table: str, columns: Sequence[str]) -> str:
    """The subquery that the facts are counted in.

    Args:
        table: the text after FROM.
        columns: quoted names; the number of a column is its place among these.
    """
    values = ", ".join(
        f"{name} as c{number}, typeof({name}) as k{number}, {form_of_text(name)} as f{number}"
        for number, name in enumerate(columns)
    )
    # The limit keeps SQLite from merging the subquery into the query.
    return f"(select {values} from {table} limit -1)"  # noqa: S608


def of_column(expression: str, number: int) -> str:
    """A fact's aggregate for the column of this number in the subquery."""
    return expression.format(column=f"c{number}", kind=f"k{number}", form=f"f{number}")


def merged(parts: Iterable[Counts]) -> Counts:
    """The facts of a whole, from those of its parts; NULL in one of them says nothing."""
    found: dict[str, list[int | float]] = {}
    for part in parts:
        for name, value in part.items():
            found.setdefault(name, []).extend(() if value is None else (value,))
    return {
        name: _JOINED.get(name, sum)(values) if values else None for name, values in found.items()
    }


def _deciding() -> dict[str, str]:
    return {
        "nulls": count("{column} is null"),
        "integers": count(f"{_KIND} = 'integer'"),
        "reals": count(f"{_KIND} = 'real'"),
        "texts": count(_TEXT),
        "blobs": count(f"{_KIND} = 'blob'"),
        "smallest": f"min(case {_KIND} when 'integer' then {{column}} end)",
        "largest": f"max(case {_KIND} when 'integer' then {{column}} end)",
        **{name: count(f"{{form}} = {form:d}") for form, name in FORMS.items()},
        "text_blobs": count(f"{_KIND} = 'blob' and {IS_TEXT}"),
    }


def _explaining(connection: sqlite3.Connection) -> dict[str, str]:
    encoding = connection.execute("pragma encoding").fetchone()[0]
    number = f"{_KIND} in ('integer', 'real')"
    found = {
        "longest": f"max(case when {_KIND} in ('text', 'blob') then {_BYTES} end)",
        "with_nul": count(f"{_TEXT} and {_WITH_NUL}"),
        # Only text with anything beyond ASCII is worth a call into Python.
        "bad_utf8": count(
            f"{_TEXT} and {{column}} glob '*[^\x01-\x7f]*'"
            " and not is_utf8(cast({column} as blob))"
        ),
        "json_valid": count(f"{_TEXT} and json_valid({{column}})"),
        "uuids_other": count(
            f"{_TEXT} and length({{column}}) between 32 and 38 and {{column}} not glob '{UUID}'"
            " and lower(replace(replace(replace({column}, '-', ''), '{{', ''), '}}', ''))"
            f" glob '{HEXADECIMAL * 32}'"
        ),
        "smallest_real": f"min(case {_KIND} when 'real' then {{column}} end)",
        "largest_real": f"max(case {_KIND} when 'real' then {{column}} end)",
        "form_with_blank": _form(f"{DATE} {_TIME}*", "not glob '*[-+Z]*'"),
        "form_with_t": _form(f"{DATE}T{_TIME}*", "not glob '*[-+Z]*'"),
        "form_with_offset": _form(f"{DATE}[ T]{_TIME}*", "glob '*[-+Z]*'"),
        "form_date_only": count(
            f"{_TEXT} and {{column}} glob '{DATE}' and {{column}} not glob '0000-*'"
        ),
        "form_time_only": count(f"{_TEXT} and {{column}} glob '{_TIME}*'"),
        "form_zero": count(f"{_TEXT} and {{column}} glob '0000-00-00*'"),
        "form_empty": count(f"{_TEXT} and {{column}} = ''"),
        "form_julian": count(f"{number} and {{column}} between 2400000 and 2500000"),
    }
    for unit, factor in (("s", 1), ("ms", 10**3), ("us", 10**6)):
        low, high = 10**8 * factor, 5 * 10**9 * factor
        found[f"form_epoch_{unit}"] = count(f"{number} and {{column}} between {low} and {high}")
    if not str(encoding).startswith("UTF-8"):
        # SQLite itself turns UTF-16 into UTF-8, so there is nothing bad left to see.
        found["bad_utf8"] = "0"
    return found


def count(condition: str) -> str:
    """The aggregate that counts the rows where a condition is true."""
    # In a CASE, unlike in sum(a and b), SQLite stops at the first condition that is false.
    return f"count(case when {condition} then 1 end)"


def _form(pattern: str, offset: str) -> str:
    # The date itself has hyphens: the offset is looked for behind the time.
    return count(
        f"{_TEXT} and {{column}} glob '{pattern}' and {{column}} not glob '0000-*'"
        f" and substr({{column}}, 20) {offset}"
    )


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_text(raw: bytes) -> bool:
    return b"\0" not in raw and _is_utf8(raw)


_FUNCTIONS: dict[str, Callable[..., bool]] = {"is_utf8": _is_utf8, "is_text": _is_text}
_JOINED: dict[str, Callable[[Iterable[int | float]], int | float]] = {
    "smallest": min,
    "largest": max,
    "longest": max,
    "smallest_real": min,
    "largest_real": max,
}
#: The facts that decide a type.
NAMES = tuple(_deciding())
