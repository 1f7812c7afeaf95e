"""Quarantine: rows that PostgreSQL refuses are kept whole, can be read, repaired and replayed."""

from migration.quarantine.keep import keep
from migration.quarantine.values import key_of

__all__ = ["keep", "key_of"]
