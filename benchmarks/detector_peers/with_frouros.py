"""Frouros' streaming detectors: ADWIN refuses negative numbers; BOCD, which slows down with each value, is left out."""

from collections.abc import Callable
from typing import Any

from frouros.detectors.concept_drift import streaming as fr
from peer import KSWIN_ALPHA, SILENT, Loop, Peer


def _peer(
    detector: Callable[..., Any],
    config: Callable[..., Any],
    tuned: str,
    often: float,
    rarely: float,
    signals: str,
    **fixed: Any,
) -> Peer:
    def watch(value: float) -> Loop:
        made = detector(config=config(**{tuned: value}, **fixed))
        return Loop(made, lambda d, x: d.update(value=x), lambda d: d.drift)

    return Peer(watch, often, rarely, signals, tuned)


def _rddm(value: float) -> Loop:
    """It also alarms after 1,400 warnings: both levels move together."""
    config = fr.RDDMConfig(drift_level=value, warning_level=value * 1.773 / 2.258)
    return Loop(fr.RDDM(config=config), lambda d, x: d.update(value=x), lambda d: d.drift)


BOTH, ERROR = "number error", "error"
ECDD = fr.ECDDWT, fr.ECDDWTConfig, "lambda_", 0.2, 0.0001, ERROR
PEERS = {
    "ADWIN": _peer(fr.ADWIN, fr.ADWINConfig, "delta", 1, 1e-12, ERROR),
    "CUSUM": _peer(fr.CUSUM, fr.CUSUMConfig, "lambda_", 0.5, 5000, BOTH),
    "PageHinkley": _peer(fr.PageHinkley, fr.PageHinkleyConfig, "lambda_", 0.5, 5000, BOTH),
    "GMA": _peer(fr.GeometricMovingAverage, fr.GeometricMovingAverageConfig, "lambda_", 0.01, 3, BOTH),
    "KSWIN": _peer(fr.KSWIN, fr.KSWINConfig, "alpha", *KSWIN_ALPHA, "number", seed=1),
    "DDM": _peer(fr.DDM, fr.DDMConfig, "drift_level", 0.5, 30, ERROR, warning_level=0.4),
    "EDDM": _peer(fr.EDDM, fr.EDDMConfig, "beta", 0.9999, 0.2, ERROR, alpha=1.0),
    "RDDM": Peer(_rddm, 0.5, 30, ERROR, "drift_level"),
    "ECDD": _peer(*ECDD, average_run_length=1000),
    f"ECDD min={SILENT}": _peer(*ECDD, average_run_length=1000, min_num_instances=SILENT),
    "HDDM_A": _peer(fr.HDDMA, fr.HDDMAConfig, "alpha_d", 0.9, 1e-20, ERROR, alpha_w=0.95),
    "HDDM_W": _peer(fr.HDDMW, fr.HDDMWConfig, "alpha_d", 0.9, 1e-20, ERROR, alpha_w=0.95),
    "STEPD": _peer(fr.STEPD, fr.STEPDConfig, "alpha_d", 0.5, 1e-20, ERROR, alpha_w=0.6),
}
