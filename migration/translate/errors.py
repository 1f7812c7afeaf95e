"""The one way in which a translation fails."""

import sqlglot

#: What sqlglot's parser ends with on SQL that it was not made for, as date("") is: such an
#: expression is one more that cannot be translated.
PARSER_ERRORS = (
    sqlglot.errors.SqlglotError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


class UntranslatableError(ValueError):
    """A piece of SQLite's SQL whose meaning PostgreSQL could not keep; `why` says what and why.

    The caller reports it and leaves the piece out: nothing is ever translated on a guess.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def first_line(error: Exception) -> str:
    """The first line of what an error says, or its name where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]
