"""Constraints and indexes: taken down before the load, put back after it.

A constraint that does not hold names its rows: they leave the table and go to quarantine, and
the constraint is tried again. It all happens inside the caller's transaction.
"""

from migration.constraints.catalogue import foreign_keys, take_down
from migration.constraints.expel import count_orphans
from migration.constraints.put_back import put_back

__all__ = ["count_orphans", "foreign_keys", "put_back", "take_down"]
