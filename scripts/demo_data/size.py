"""Sizes as people write them: 5MB, 1.5 GB, 64KiB."""

import re

from database.errors import UsageError

_UNITS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgt", start=1):
    _UNITS[_letter] = _UNITS[f"{_letter}b"] = 1000**_power
    _UNITS[f"{_letter}ib"] = 1024**_power


def parse_size(text: str) -> int:
    """Bytes meant by `text`; k, M, G and T are powers of 1000, KiB and its like of 1024.

    Raises:
        UsageError: `text` is no size.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-z]*)\s*", text, re.IGNORECASE)
    if found is None or found[2].lower() not in _UNITS:
        raise UsageError(f"'{text}' is not a size.", "Write it like 5MB, 1GB or 512KiB.")
    return int(float(found[1]) * _UNITS[found[2].lower()])


def format_size(count: float) -> str:
    """`count` bytes with the largest fitting unit, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.1f}".removesuffix(".0") + f" {unit}"
        count /= 1000
    return f"{count:.1f} TB"
