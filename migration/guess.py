"""A guess at what a column holds, proved by a few aggregates instead of all of them.

Most columns hold values of one storage class and, where it is text, of one form. The first rows
say which; the proof counts in all rows. Where a single value is otherwise, the guess says nothing
and all facts of the column are counted.
Invariant: the facts of a proved guess are those that `facts.expressions` would have counted.
"""

from dataclasses import dataclass

from migration import facts
from migration.facts import BYTES, IS_TEXT, WITH_NUL, Counts, Form

_KINDS = {"integer": "integers", "real": "reals", "text": "texts", "blob": "blobs"}
#: The facts that have no value, and not 0, where there is nothing to count.
_MAY_BE_NONE = ("smallest", "largest")


@dataclass(frozen=True)
class Guess:
    """All values of a column are NULL or of this storage class, and all texts of this form."""

    #: SQLite's name for the storage class; 'null' where all values are NULL.
    kind: str
    form: Form | None = None

    def expressions(self) -> dict[str, str]:
        """What to count, by name; `{column}` stands for the quoted column."""
        found = {"rows": "count(*)", "values": "count({column})"}
        if self.kind == "null":
            return found
        found[_KINDS[self.kind]] = facts.count(f"typeof({{column}}) = '{self.kind}'")
        if self.kind == "integer":
            found |= {"smallest": "min({column})", "largest": "max({column})"}
        if self.kind in ("text", "blob"):
            found["longest"] = f"max({BYTES})"
        if self.kind == "text":
            found["with_nul"] = facts.count(WITH_NUL)
            found["formed"] = facts.count(_condition(self.form))
        if self.kind == "blob":
            found["text_blobs"] = facts.count(f"typeof({{column}}) = 'blob' and {IS_TEXT}")
        return found

    def facts(self, counted: Counts) -> Counts | None:
        """All facts that decide a type; None where any value is not as it was guessed."""
        left = dict(counted)
        values, formed = left.pop("values"), left.pop("formed", None)
        proved = values == (left[_KINDS[self.kind]] if self.kind in _KINDS else 0)
        if self.kind == "text":
            proved = proved and formed == (values if self.form else 0)
        if not proved:
            return None
        left["nulls"] = (left.pop("rows") or 0) - (values or 0)
        if self.form:
            left[facts.FORMS[self.form]] = values
        return {name: left.get(name, None if name in _MAY_BE_NONE else 0) for name in facts.NAMES}


def guess(seen: list[tuple[str, int | None]]) -> Guess | None:
    """What a column holds, from the storage class and the form of some values; None: mixed.

    Args:
        seen: by value, what SQLite gives for `typeof` and for `facts.form_of_text`.
    """
    kinds = {kind for kind, _ in seen} - {"null"}
    if not kinds:
        return Guess("null")
    forms = {form for kind, form in seen if kind == "text"}
    if len(kinds) > 1 or len(forms) > 1:
        return None
    form = next(iter(forms), None)
    return Guess(kinds.pop(), Form(form) if form else None)


def _condition(form: Form | None) -> str:
    """True where a text has the form, and nothing else does; for no form, where it has any."""
    if form is None:
        return f"({facts.form_of_text()}) > 0"
    if form in (Form.TIMESTAMP, Form.TIMESTAMP_T):
        return _time(" " if form is Form.TIMESTAMP else "T")
    return f"({facts.form_of_text()}) = {form:d}"


def _time(separator: str) -> str:
    """A time that exists: `datetime` gives back what it was given, and so nothing but digits."""
    first = "substr({column}, 1, 19)"
    if separator != " ":
        first = "substr({column}, 1, 10) || ' ' || substr({column}, 12, 8)"
    return (
        "typeof({column}) = 'text' and substr({column}, 11, 1) = '" + separator + "'"
        f" and datetime({first}, '+0 days') = {first} and substr({{column}}, 1, 4) <> '0000'"
        " and (length({column}) = 19 or length({column}) between 21 and 26"
        " and substr({column}, 20, 1) = '.' and substr({column}, 21) not glob '*[^0-9]*')"
    )
