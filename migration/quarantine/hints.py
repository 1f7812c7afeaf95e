"""What would make a refused row acceptable, by SQLSTATE."""

_SET = "--set COLUMN=VALUE"

#: SQLSTATE → advice. A class (the first two characters) stands for states that are not listed.
HINTS = {
    "22001": f"The text is longer than the column allows: shorten it with {_SET}.",
    "22003": f"The number is outside the column's range: give one that fits with {_SET}.",
    "22007": f"Write the time as 2026-02-01 10:00:00 with {_SET}.",
    "22008": f"The date does not exist or is too fine: correct it with {_SET}.",
    "22021": "PostgreSQL's text holds neither NUL (0x00) nor bytes that are not UTF-8: take them "
    f"out, with {_SET}, or in the file that 'quarantine show --json' wrote, with --from.",
    "22P02": f"The value has not the form of the column's type: correct it with {_SET}.",
    "22P05": "JSON text in PostgreSQL cannot hold \\u0000: take it out of the document with "
    f"{_SET} or --from.",
    "22": f"The value does not fit the column: correct it with {_SET}.",
    "23502": f"The column needs a value: give one with {_SET}.",
    "23503": "The row that it refers to is missing: replay that one first (in one replay the "
    "order does not matter), or give another key with --set, or none with --set-null.",
    "23505": f"Another row has this key already: give a free one with {_SET}, or leave the row "
    "where it is if it is a duplicate.",
    "23514": f"A check of the table does not allow the value: correct it with {_SET}.",
    "23": f"The row breaks a constraint of the table: correct it with {_SET}.",
    "54": f"The value is too long for the table's index: shorten it with {_SET}.",
}
_GENERAL = "Correct the row with --set, --set-null or --from, and replay it."


def hint(sqlstate: str | None, column: str | None) -> str:
    """One sentence or two; `column`, if any, is put into the option."""
    state = sqlstate or ""
    text = HINTS.get(state) or HINTS.get(state[:2]) or _GENERAL
    return text.replace("COLUMN", column) if column else text
