"""When a task has taken far longer than its like."""

from __future__ import annotations

from collections import deque

# Of the times seen, the one that nine in ten stay under, many times over: shards differ by what lies in them.
_QUANTILE = 0.9
_TIMES_AS_LONG = 4.0
_UNKNOWN = 4.0  # where none has ended yet: workers may still import and compile
_REMEMBERED = 500


class Patience:
    """A limit that follows from the tasks that have ended.

    Args:
        least: Limit below which no task is late, however quick the others are (s).
    """

    def __init__(self, least: float) -> None:
        self._least = least
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)

    def ended(self, seconds: float) -> None:
        """Notes how long a task took from when it was handed out (s)."""
        self._seconds.append(seconds)

    @property
    def usual(self) -> float | None:
        """What nine in ten tasks stay under (s); None before one has ended."""
        if not self._seconds:
            return None
        return sorted(self._seconds)[int(_QUANTILE * (len(self._seconds) - 1) + 0.5)]

    @property
    def limit(self) -> float:
        """What a task may take (s)."""
        usual = self.usual
        return _UNKNOWN * self._least if usual is None else max(self._least, _TIMES_AS_LONG * usual)
