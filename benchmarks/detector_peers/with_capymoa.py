"""MOA's detectors through CapyMOA, called without its Python wrapper, which keeps every value."""

from typing import Any

from capymoa.drift import detectors as moa
from peer import Loop, Peer


def _peer(detector: type[Any], tuned: str, often: float, rarely: float, signals: str, **fixed: Any) -> Peer:
    def watch(value: float) -> Loop:
        made = detector(**{tuned: value}, **fixed).moa_detector
        return Loop(made, lambda d, x: d.input(x), lambda d: d.getChange())

    return Peer(watch, often, rarely, signals, tuned, copies=False)


def _rddm(value: float) -> Loop:
    """It also alarms after 1,400 warnings: both levels move together."""
    made = moa.RDDM(drift_level=value, warning_level=value * 1.773 / 2.258).moa_detector
    return Loop(made, lambda d, x: d.input(x), lambda d: d.getChange())


BOTH, ERROR = "number error", "error"
PEERS = {
    "ADWIN": _peer(moa.ADWIN, "delta", 1, 1e-12, BOTH),
    "CUSUM": _peer(moa.CUSUM, "lambda_", 0.5, 5000, BOTH),
    "PageHinkley": _peer(moa.PageHinkley, "lambda_", 0.5, 5000, BOTH),
    "GMA": _peer(moa.GeometricMovingAverage, "lambda_", 0.01, 3, BOTH),
    "SEED": _peer(moa.SEED, "delta", 1, 1e-12, BOTH),
    "DDM": _peer(moa.DDM, "out_control_level", 0.5, 5, ERROR),
    "RDDM": Peer(_rddm, 0.5, 5, ERROR, "drift_level", copies=False),
    "EWMAChart": _peer(moa.EWMAChart, "lambda_", 0.2, 0.0001, ERROR),
    "HDDM_A": _peer(moa.HDDMAverage, "drift_confidence", 0.9, 1e-20, ERROR, test_type="One-sided"),
    "HDDM_W": _peer(moa.HDDMWeighted, "drift_confidence", 0.9, 1e-20, ERROR, test_type="One-sided"),
    "STEPD": _peer(moa.STEPD, "alpha_drift", 0.5, 1e-20, ERROR),
}
