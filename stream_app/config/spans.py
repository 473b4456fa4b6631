"""Stretches of time in a configuration: every day between two hours, or from one moment to another."""

import re
from datetime import datetime

from msgspec import Struct

from stream_app.config.reading import quoted

DAY_MS = 86_400_000
_DAILY = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")


class During(Struct, frozen=True):
    """Every day from `start_ms` to `stop_ms` after midnight UTC (over midnight if it stops earlier), or once."""

    start_ms: int
    stop_ms: int
    daily: bool = False

    @staticmethod
    def parse(text: str) -> "During":
        """A stretch from its text; ValueError says how to write one.

        >>> During.parse("22:30-04:00")
        During(start_ms=81000000, stop_ms=14400000, daily=True)
        >>> During.parse("2013-12-24T00:00Z/2013-12-27T00:00Z").stop_ms
        1388102400000
        """
        found = _DAILY.fullmatch(text.strip())
        if found:
            start, stop = (_minutes(found[i], found[i + 1], text) * 60_000 for i in (1, 3))
            during = During(start, stop, daily=True)
        else:
            begin, end = _two(text)
            during = During(_moment_ms(begin), _moment_ms(end))
        if during.start_ms == during.stop_ms or (not during.daily and during.start_ms > during.stop_ms):
            raise ValueError(f"{quoted(text)} is empty: it ends where it begins, or before")
        return during

    def holds(self, time_ms: int) -> bool:
        """Whether a moment lies within; the end does not."""
        if not self.daily:
            return self.start_ms <= time_ms < self.stop_ms
        at = time_ms % DAY_MS
        within = self.start_ms <= at < self.stop_ms
        over_midnight = self.start_ms > self.stop_ms and (at >= self.start_ms or at < self.stop_ms)
        return within or over_midnight


def _wrong(text: str) -> ValueError:
    ways = '"22:30-04:00" (every day, UTC) or "2013-12-24T00:00Z/2013-12-27T00:00Z"'
    return ValueError(f"bad stretch of time {quoted(text)}; write for example {ways}")


def _minutes(hours: str, minutes: str, text: str) -> int:
    if int(hours) > 24 or int(minutes) > 59:
        raise _wrong(text)
    return int(hours) * 60 + int(minutes)


def _two(text: str) -> tuple[str, str]:
    begin, slash, end = text.strip().partition("/")
    if not slash:
        raise _wrong(text)
    return begin, end


def _moment_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _wrong(text) from None
    if moment.tzinfo is None:
        raise ValueError(f"{quoted(text)} has no time zone; write {quoted(text + 'Z')} for UTC")
    return round(moment.timestamp() * 1000)
