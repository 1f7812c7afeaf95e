"""All hazards by group, in the order of docs/reference/hazards.md."""

from tests.hazards.dates import DATES
from tests.hazards.documents import DOCUMENTS
from tests.hazards.hazard import Hazard
from tests.hazards.uuids import UUIDS
from tests.hazards.values import VALUES

GROUPS: dict[str, tuple[Hazard, ...]] = {
    "values": VALUES,
    "dates": DATES,
    "JSON": DOCUMENTS,
    "UUID": UUIDS,
}
HAZARDS = tuple(hazard for group in GROUPS.values() for hazard in group)
