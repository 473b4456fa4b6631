"""MOA's detectors through CapyMOA, called without its Python wrapper, which keeps every value."""

from collections.abc import Callable
from typing import Any

import numpy as np
from capymoa.drift import detectors as moa  # starts Java
from java.lang import RuntimeException
from peer import SILENT, Loop, Peer


class Java(Loop):
    """A detector of MOA at work."""

    def __init__(self, make: Callable[[], Any]) -> None:
        super().__init__(make(), lambda d, x: d.input(x), lambda d: d.getChange())
        self._make = make
        self._read: list[np.ndarray] = []

    def first_alarm(self, x: np.ndarray) -> int:
        """Feed x up to the first alarm."""
        self._read.append(x)
        return super().first_alarm(x)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Java":
        """Python would share the object, and MOA cannot copy each of its own: what was read is read again."""
        other = Java(self._make)
        try:
            other._detector = self._detector.copy()
        except RuntimeException:
            for x in self._read:
                other.first_alarm(x)
        return other


def _peer(detector: type[Any], tuned: str, often: float, rarely: float, signals: str, **fixed: Any) -> Peer:
    def watch(value: float) -> Java:
        return Java(lambda: detector(**{tuned: value}, **fixed).moa_detector)

    return Peer(watch, often, rarely, signals, tuned)


def _rddm(value: float) -> Java:
    """It also alarms after 1,400 warnings: both levels move together."""
    return Java(lambda: moa.RDDM(drift_level=value, warning_level=value * 1.773 / 2.258).moa_detector)


BOTH, ERROR = "number error", "error"
CUSUM = moa.CUSUM, "lambda_", 0.5, 5000
GMA = moa.GeometricMovingAverage, "lambda_", 0.01, 3
EWMA = moa.EWMAChart, "lambda_", 0.2, 0.0001
PEERS = {
    "ADWIN": _peer(moa.ADWIN, "delta", 1, 1e-12, BOTH),
    "CUSUM": _peer(*CUSUM, BOTH),
    f"CUSUM min={SILENT}": _peer(*CUSUM, ERROR, min_n_instances=SILENT),
    "PageHinkley": _peer(moa.PageHinkley, "lambda_", 0.5, 5000, BOTH),
    "GMA": _peer(*GMA, BOTH),
    f"GMA min={SILENT}": _peer(*GMA, BOTH, min_n_instances=SILENT),
    "SEED": _peer(moa.SEED, "delta", 1, 1e-12, BOTH),
    "DDM": _peer(moa.DDM, "out_control_level", 1, 5, ERROR),
    "RDDM": Peer(_rddm, 1.3, 5, ERROR, "drift_level"),
    "EWMAChart": _peer(*EWMA, ERROR),
    f"EWMAChart min={SILENT}": _peer(*EWMA, ERROR, min_n_instances=SILENT),
    "HDDM_A": _peer(moa.HDDMAverage, "drift_confidence", 0.9, 1e-20, ERROR, test_type="One-sided"),
    "HDDM_W": _peer(moa.HDDMWeighted, "drift_confidence", 0.9, 1e-20, ERROR, test_type="One-sided"),
    "STEPD": _peer(moa.STEPD, "alpha_drift", 0.5, 1e-20, ERROR),
}
