"""docs/reference/hazards.md and the cases name the same hazards, in the same groups and order."""

import re

from tests.hazards.catalogue import GROUPS
from tests.programs import CHECKOUT

PAGE = (CHECKOUT / "docs/reference/hazards.md").read_text()


def table_rows() -> dict[str, list[list[str]]]:
    """The cells of each row, by the heading that the table stands under."""
    groups: dict[str, list[list[str]]] = {}
    group = ""
    for line in PAGE.splitlines():
        if line.startswith("## "):
            group = line.removeprefix("## ")
        elif line.startswith("| ") and not line.startswith("| hazard |"):
            groups.setdefault(group, []).append(
                [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            )
    return groups


def test_page_and_cases_name_the_same_hazards() -> None:
    named = {group: [row[0] for row in rows] for group, rows in table_rows().items()}
    assert named == {group: [hazard.name for hazard in cases] for group, cases in GROUPS.items()}


def test_every_sqlstate_of_a_case_is_on_the_page() -> None:
    rows = {row[0]: row for group in table_rows().values() for row in group}
    for cases in GROUPS.values():
        for hazard in cases:
            states = set(re.findall(r"\b[0-9]{2}[0-9A-Z]{3}\b", " ".join(rows[hazard.name][1:])))
            assert states == {refused.sqlstate for refused in hazard.refused}, hazard.name
