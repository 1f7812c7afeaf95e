"""What the verbs print for people."""

from migration.show.outcome import outcome, verification
from migration.show.plan import plan
from migration.show.profile import profile

__all__ = ["outcome", "plan", "profile", "verification"]
