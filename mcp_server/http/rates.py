"""How often: a token bucket per agent, and one per address for logins that fail.

Why own code: the kept libraries count in windows, which lets twice the rate through at their
borders, or want Redis. A bucket is a number and a time.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

# Buckets of addresses are as many as strangers make of them.
_MOST = 10_000


@dataclass
class _Bucket:
    left: float
    at: float


class Rates:
    """Buckets by key.

    Args:
        per_second: how many come back each second.
        burst: how many a full bucket holds.
        clock: seconds.
    """

    def __init__(
        self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def wait(self, key: str) -> float:
        """Take one; 0, or the seconds until there is one to take."""
        now = self._clock()
        bucket = self._buckets.get(key)
        if bucket is None:
            self._make_room(now)
            bucket = self._buckets[key] = _Bucket(self._burst, now)
        bucket.left = self._left(bucket, now)
        bucket.at = now
        if bucket.left < 1:
            return (1 - bucket.left) / self._per_second
        bucket.left -= 1
        return 0

    def _left(self, bucket: _Bucket, now: float) -> float:
        return min(self._burst, bucket.left + (now - bucket.at) * self._per_second)

    def _make_room(self, now: float) -> None:
        if len(self._buckets) < _MOST:
            return
        # A full bucket says as much as none. Where that is not enough, the oldest go.
        full = [key for key, one in self._buckets.items() if self._left(one, now) >= self._burst]
        for key in full or list(self._buckets)[: _MOST // 2]:
            del self._buckets[key]
