"""River's detectors."""

import functools
from collections.abc import Callable
from typing import Any

from peer import KSWIN_ALPHA, Loop, Peer
from river import drift


def _peer(make: Callable[..., Any], tuned: str, often: float, rarely: float, signals: str = "number error") -> Peer:
    def watch(value: float) -> Loop:
        return Loop(make(**{tuned: value}), lambda d, x: d.update(x), lambda d: d.drift_detected)

    return Peer(watch, often, rarely, signals, tuned)


def _fhddm(value: float) -> Loop:
    """Its documentation says 1 = error, but it looks for a fall: 1 = right, as in the paper."""
    detector = drift.binary.FHDDM(confidence_level=value)
    return Loop(detector, lambda d, x: d.update(1 - x), lambda d: d.drift_detected)


HDDM_A = functools.partial(drift.binary.HDDMA, warning_confidence=1)
HDDM_W = functools.partial(drift.binary.HDDMW, warning_confidence=1)
PEERS = {
    "ADWIN": _peer(drift.ADWIN, "delta", 1, 1e-12),
    "PageHinkley": _peer(drift.PageHinkley, "threshold", 0.5, 5000),
    "KSWIN": _peer(functools.partial(drift.KSWIN, seed=1), "alpha", *KSWIN_ALPHA, "number"),
    "DDM": _peer(drift.binary.DDM, "drift_threshold", 0.5, 30, "error"),
    "EDDM": _peer(functools.partial(drift.binary.EDDM, alpha=1), "beta", 0.9999, 0.2, "error"),
    "FHDDM": Peer(_fhddm, 0.5, 1e-20, "error", "confidence_level"),
    "HDDM_A": _peer(HDDM_A, "drift_confidence", 0.9, 1e-20, "error"),
    "HDDM_W": _peer(HDDM_W, "drift_confidence", 0.9, 1e-20, "error"),
}
