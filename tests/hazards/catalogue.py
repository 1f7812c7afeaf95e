"""All hazards by group, in the order of docs/reference/hazards.md."""

from tests.hazards.dates import DATES
from tests.hazards.documents import DOCUMENTS
from tests.hazards.files import FILES_OF_SOURCES
from tests.hazards.hazard import Hazard
from tests.hazards.keys import KEYS
from tests.hazards.names import NAMES
from tests.hazards.schemas import SCHEMAS
from tests.hazards.sequences import SEQUENCES
from tests.hazards.targets import TARGETS
from tests.hazards.uuids import UUIDS
from tests.hazards.values import VALUES

GROUPS: dict[str, tuple[Hazard, ...]] = {
    "values": VALUES,
    "dates": DATES,
    "JSON": DOCUMENTS,
    "UUID": UUIDS,
    "keys": KEYS,
    "names": NAMES,
    "schema": SCHEMAS,
    "file": FILES_OF_SOURCES,
    "sequences": SEQUENCES,
    "target": TARGETS,
}
HAZARDS = tuple(hazard for group in GROUPS.values() for hazard in group)
