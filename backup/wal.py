"""The write-ahead log as files: positions, segments, timelines. Pure: nothing is read here.

A position (LSN) is a number of bytes; a segment file holds 16 MB of them and is named after its
timeline and number. A timeline begins where a server was promoted: its history names the
timelines before it, and where each of them ended.
"""

import re
from dataclasses import dataclass

#: initdb's default. `take` refuses a server whose segments have another size.
SEGMENT_BYTES = 16 * 1024 * 1024

_SEGMENTS_PER_FILE_NUMBER = 0x1_0000_0000 // SEGMENT_BYTES
_SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})(\.partial)?")
_HISTORY = re.compile(r"([0-9A-F]{8})\.history")
_HISTORY_LINE = re.compile(r"^\s*(\d+)\s+([0-9A-F]+/[0-9A-F]+)", re.MULTILINE)


def parse_lsn(text: str) -> int:
    """The position that PostgreSQL prints as `16/B374D848`, in bytes."""
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def format_lsn(position: int) -> str:
    """A position as PostgreSQL prints it."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


@dataclass(frozen=True, order=True)
class Segment:
    """One file of the log. A partial one is still being received."""

    timeline: int
    number: int
    partial: bool = False

    @property
    def name(self) -> str:
        """Its file name, as PostgreSQL asks for it."""
        high, low = divmod(self.number, _SEGMENTS_PER_FILE_NUMBER)
        return f"{self.timeline:08X}{high:08X}{low:08X}"

    @property
    def start(self) -> int:
        """The position of its first byte."""
        return self.number * SEGMENT_BYTES


def parse_segment(name: str) -> Segment | None:
    """The segment that a file name means; None for any other file."""
    match = _SEGMENT.fullmatch(name)
    if match is None:
        return None
    number = int(match[2], 16) * _SEGMENTS_PER_FILE_NUMBER + int(match[3], 16)
    return Segment(int(match[1], 16), number, match[4] is not None)


def segment_number(position: int) -> int:
    """The number of the segment that holds the byte at a position."""
    return position // SEGMENT_BYTES


@dataclass(frozen=True)
class Timeline:
    """A timeline with its ancestors: (timeline, position where it was left), oldest first."""

    number: int
    ancestors: tuple[tuple[int, int], ...] = ()

    @property
    def begins(self) -> int:
        """Where it left its parent; 0 for a server that was never promoted."""
        return self.ancestors[-1][1] if self.ancestors else 0

    def holds(self, timeline: int, position: int) -> bool:
        """Whether a server on `timeline` at `position` can go on into this one."""
        if timeline == self.number:
            return True
        return any(number == timeline and position <= end for number, end in self.ancestors)


def parse_history(name: str, text: str) -> Timeline | None:
    """The timeline that a history file describes; None for any other file."""
    match = _HISTORY.fullmatch(name)
    if match is None:
        return None
    lines = _HISTORY_LINE.findall(text)
    return Timeline(int(match[1], 16), tuple((int(n), parse_lsn(lsn)) for n, lsn in lines))


def first_gap(
    start_lsn: str,
    start_timeline: int,
    timeline: Timeline,
    archived: set[tuple[int, int]],
    last: int,
) -> Segment | None:
    """The first segment that recovery would miss; None if it misses none.

    Args:
        start_lsn, start_timeline: where it begins: at a backup's start.
        timeline: the one that is followed.
        archived: the segments that are there, each as its timeline and its number.
        last: the number of the last one on that timeline.
    """
    position = segment_number(parse_lsn(start_lsn))
    for number, end in (*timeline.ancestors, (timeline.number, None)):
        if number < start_timeline:
            continue
        # The segment in which a timeline was left is found on its successor as well.
        stop = last if end is None else segment_number(end) - 1
        while position <= stop:
            if (number, position) not in archived:
                return Segment(number, position)
            position += 1
    return None
