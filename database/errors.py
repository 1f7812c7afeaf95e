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


class UnreachableError(TargetError):
    """PostgreSQL does not answer, or is starting or stopping: what is wrong may end by itself."""


class QuarantineError(BundleError):
    """Rows would be, or were, quarantined; or not every row of a damaged source could be read."""

    exit_code = 5
    cause = "quarantine: rows would be, or were, quarantined, or lost in a damaged source"


class VerificationError(BundleError):
    """Something was compared and is not the same: source and target, records, the schema."""

    exit_code = 6
    cause = "verification: source and target differ, records of calls were changed, or drift"


class InterruptedRunError(BundleError):
    """The user or the system stopped the program."""

    exit_code = 7
    cause = "interrupted: stopped by a signal; nothing is half done"


class BackupError(BundleError):
    """No backup fits, one is damaged, or the archive of the write-ahead log is behind."""

    exit_code = 8
    cause = "backup: none fits, one is damaged, or the archive is behind"


class LockedTooLongError(BundleError):
    """Writers would have been held up for longer than is allowed."""

    exit_code = 9
    cause = "lock: writers would have waited longer than allowed; everything is as before"


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
            BackupError,
            LockedTooLongError,
        )
    },
}
