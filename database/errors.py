"""The one exception tree, and with it the one table of exit codes.

Every program here ends with the exit code of the cause; `docs/reference/exit-codes.md` is
checked against this table by a test.
"""

from typing import ClassVar


class BundleError(Exception):
    """A failure with a known cause.

    `message` says what is wrong, `hint` what to do about it. Neither ever holds a secret.
    """

    exit_code: ClassVar[int] = 1
    cause: ClassVar[str] = "unexpected failure"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(BundleError):
    """The command line or a setting is wrong."""

    exit_code = 2
    cause = "usage: an option or a setting is wrong"


class SourceError(BundleError):
    """The SQLite file is missing, unreadable or no database."""

    exit_code = 3
    cause = "source: the SQLite file is missing, unreadable or no database"


class TargetError(BundleError):
    """PostgreSQL is unreachable, refuses the login, or is not in the state that is needed."""

    exit_code = 4
    cause = "target: PostgreSQL is unreachable, refuses the login, or holds other data"


class QuarantineError(BundleError):
    """Rows would be, or were, quarantined; or not every row of a damaged source could be read."""

    exit_code = 5
    cause = "quarantine: rows would be, or were, quarantined, or lost in a damaged source"


class VerificationError(BundleError):
    """Source and target differ, or records of agents' calls are not what they were."""

    exit_code = 6
    cause = "verification: source and target differ, or records of calls were changed"


class InterruptedRunError(BundleError):
    """The user or the system stopped the program."""

    exit_code = 7
    cause = "interrupted: stopped by a signal; nothing is half done"


#: Exit code → cause, in the order of the codes.
EXIT_CODES: dict[int, str] = {
    0: "all done, everything verified",
    **{
        error.exit_code: error.cause
        for error in (
            BundleError,
            UsageError,
            SourceError,
            TargetError,
            QuarantineError,
            VerificationError,
            InterruptedRunError,
        )
    },
}
