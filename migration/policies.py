"""What to do with values that PostgreSQL cannot hold as they are: for all, a table or a column.

Without any policy such rows are quarantined. A policy is a decision of the user, so it changes
values without asking again; the report counts what each one changed.
"""

import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from database.errors import UsageError
from migration.quoting import fold


class Orphans(StrEnum):
    """Rows without the parent that a foreign key asks for."""

    QUARANTINE = "quarantine"
    #: All rows are kept, and the foreign key is not created.
    KEEP = "keep"


class NulText(StrEnum):
    """The character NUL (0x00) inside text, which PostgreSQL has not."""

    QUARANTINE = "quarantine"
    STRIP = "strip"
    #: As the six characters \\u0000.
    ESCAPE = "escape"


class BadText(StrEnum):
    """Text whose bytes are not UTF-8."""

    QUARANTINE = "quarantine"
    #: Each bad byte becomes U+FFFD.
    REPLACE = "replace"
    #: The whole text is read as Windows-1252.
    CP1252 = "cp1252"


class OverLong(StrEnum):
    """Text that is longer than the target's varchar(n)."""

    QUARANTINE = "quarantine"
    TRUNCATE = "truncate"


class Epoch(StrEnum):
    """What numbers count in a column of times."""

    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "us"
    JULIAN = "julian"


class Booleans(StrEnum):
    """Numbers other than 0 and 1 in a boolean column."""

    QUARANTINE = "quarantine"
    #: Everything but 0 is true, as in C.
    NONZERO = "nonzero"


class InvalidJson(StrEnum):
    """Text that is no JSON in a JSON column."""

    QUARANTINE = "quarantine"
    #: It becomes a JSON string.
    STRING = "string"


class Rules(BaseModel):
    """Policies as written; what is not said is decided one level up."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    nul: NulText | None = None
    bad_utf8: BadText | None = None
    over_long: OverLong | None = None
    epoch: Epoch | None = None
    booleans: Booleans | None = None
    invalid_json: InvalidJson | None = None


class ColumnRules(Rules):
    """Policies of one column."""

    #: The column's type in PostgreSQL, for tables that sql/ does not know.
    type: str | None = None


class TableRules(Rules):
    """Policies of one table."""

    orphans: Orphans | None = None
    #: The table stays behind.
    skip: bool = False
    columns: dict[str, ColumnRules] = {}


class ColumnPolicy(BaseModel):
    """What was decided for one column."""

    model_config = ConfigDict(frozen=True)

    nul: NulText = NulText.QUARANTINE
    bad_utf8: BadText = BadText.QUARANTINE
    over_long: OverLong = OverLong.QUARANTINE
    epoch: Epoch | None = None
    booleans: Booleans = Booleans.QUARANTINE
    invalid_json: InvalidJson = InvalidJson.QUARANTINE
    type: str | None = None

    @property
    def chosen(self) -> dict[str, str]:
        """What differs from the default, by name."""
        return {name: str(value) for name, value in self.model_dump(exclude_defaults=True).items()}


class Policies(Rules):
    """All policies of a run: those of the file, with the command line's as defaults."""

    orphans: Orphans | None = None
    tables: dict[str, TableRules] = {}

    @classmethod
    def read(cls, path: Path | None, flags: Self | None = None) -> Self:
        """The file's policies; `flags` go before what the file says for all tables.

        Raises:
            UsageError: the file is missing, no TOML, or names a policy that does not exist.
        """
        data: dict[str, object] = {}
        if path is not None:
            try:
                data = tomllib.loads(path.read_text())
            except (OSError, ValueError) as error:
                raise UsageError(
                    f"Cannot read the policies in {path}: {error}.",
                    "docs/how-to/policies.md shows what the file looks like.",
                ) from error
        if flags is not None:
            data |= flags.model_dump(exclude_none=True, exclude_defaults=True)
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            found = error.errors()[0]
            place = ".".join(str(part) for part in found["loc"])
            raise UsageError(
                f"The policy {place} is wrong: {found['msg']}.",
                "docs/how-to/policies.md lists every policy and its values.",
            ) from error

    def column(self, table: str, column: str) -> ColumnPolicy:
        """The policy of a source column: its own, else its table's, else everybody's."""
        levels: list[Rules] = [self]
        rules = self.table(table)
        levels.append(rules)
        levels += [r for name, r in rules.columns.items() if fold(name) == fold(column)]
        merged: dict[str, object] = {}
        for level in levels:
            merged |= level.model_dump(exclude_none=True, include=set(ColumnPolicy.model_fields))
        return ColumnPolicy.model_validate(merged)

    def table(self, name: str) -> TableRules:
        """The rules of a source table; empty ones where there are none."""
        return next(
            (rules for key, rules in self.tables.items() if fold(key) == fold(name)),
            TableRules(),
        )

    def orphans_of(self, table: str) -> Orphans:
        """What becomes of this table's orphans."""
        return self.table(table).orphans or self.orphans or Orphans.QUARANTINE


#: Nothing is decided: whatever PostgreSQL cannot hold is quarantined.
NO_POLICIES = Policies()
