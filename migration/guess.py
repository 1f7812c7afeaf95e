"""A guess at what a column holds, proved by a few aggregates instead of all of them.

Most columns hold values of one storage class and, where it is text, of one form or of none. The
first rows say which; the proof counts in all rows. Where a single value is otherwise, the guess
says nothing and all facts of the column are counted.
Invariant: a proved guess decides as all facts would: the same type, and whether there are NULLs.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from migration import facts
from migration.facts import Counts
from migration.forms import Form, has_form

_KINDS = {"integer": "integers", "real": "reals", "text": "texts", "blob": "blobs"}
#: The facts that have no value, and not 0, where there is nothing to count.
_MAY_BE_NONE = ("smallest", "largest")


@dataclass(frozen=True)
class Guess:
    """All values of a column are NULL or of this storage class, and all texts of this form.

    Without a form, one of the texts is known to have none: the others decide nothing.
    """

    #: SQLite's name for the storage class; 'null' where all values are NULL.
    kind: str
    form: Form | None = None
    #: Of blobs: that they are text.
    is_text: bool = False

    def expressions(self, column: str) -> dict[str, str]:
        """What to count of a quoted column, by name."""
        values = {"values": f"count({column})"}
        if self.kind == "null":
            return values
        as_guessed = f"typeof({column}) = '{self.kind}'"
        if self.kind == "integer":
            values |= {"smallest": f"min({column})", "largest": f"max({column})"}
        elif self.form:
            as_guessed += f" and {has_form(column, self.form)}"
        elif self.is_text:
            as_guessed += f" and {facts.IS_TEXT.format(column=column)}"
        return values | {"proved": facts.count(as_guessed)}

    def facts(self, counted: Counts, rows: int) -> Counts | None:
        """The facts that decide; None where any value is not as it was guessed."""
        values = int(counted["values"] or 0)
        if values != counted.get("proved", 0):
            return None
        found: Counts = {name: counted.get(name) for name in _MAY_BE_NONE}
        found["nulls"] = rows - values
        if self.kind in _KINDS:
            found[_KINDS[self.kind]] = values
        if self.form:
            found[facts.FORMS[self.form]] = values
        if self.is_text:
            found["text_blobs"] = values
        return {name: found.get(name, 0) for name in facts.NAMES}


def guess(seen: Iterable[tuple[str, int | None, int | None]]) -> Guess | None:
    """What a column holds, from some of its values; None: too much to prove it by a few counts.

    Args:
        seen: by value, SQLite's `typeof`, its `forms.form_of_text`, and of a blob whether it is
            text.
    """
    values = [entry for entry in seen if entry[0] != "null"]
    kinds = {kind for kind, _, _ in values}
    if not kinds:
        return Guess("null")
    if len(kinds) > 1:
        return None
    (kind,) = kinds
    if kind == "blob":
        return Guess(kind, is_text=all(is_text for _, _, is_text in values))
    # Numbers have no form either.
    forms = {form or 0 for _, form, _ in values}
    if 0 in forms:
        return Guess(kind)
    return Guess(kind, Form(forms.pop())) if len(forms) == 1 else None
