"""The one way in which a translation fails."""


class UntranslatableError(ValueError):
    """A piece of SQLite's SQL whose meaning PostgreSQL could not keep; `why` says what and why.

    The caller reports it and leaves the piece out: nothing is ever translated on a guess.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
