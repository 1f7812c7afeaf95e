"""Render the report."""

import json
from typing import Any


def render(report: dict[str, Any]) -> str:
    """Placeholder until the template lands."""
    return json.dumps(report)
