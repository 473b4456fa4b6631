"""Alarms made by hand, for the tests of what follows from them."""

from typing import Any

from detectors import Drift
from stream_app.flow.chunk import Alarm


def alarm(
    record: int = 1000,
    *,
    watch: int = 0,
    signal: str = "error",
    segment: str = "",
    time_ms: int | None = None,
    onset: int | None = None,
    before: float = 0.2,
    after: float = 0.4,
    statistic: float = 8.0,
    detail: dict[str, Any] | None = None,
) -> Alarm:
    """A detector's alarm at a record, one second each; `onset` is the offset at which the change began."""
    onset = record - 50 if onset is None else onset
    direction = (after > before) - (after < before)
    drift = Drift(statistic, 5.0, 500, before, after, max(1, record - onset), direction, detail or {})
    at = 1000 * record if time_ms is None else time_ms
    return Alarm(
        watch, signal, segment, "adwin", record, record, at, onset, at - 1000 * (record - onset), drift, drift.detail
    )
