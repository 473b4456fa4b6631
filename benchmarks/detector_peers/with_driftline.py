"""Our detectors: the one parameter that is tuned is the declared arl0."""

import inspect
from typing import Any

import numpy as np
from peer import Peer

import detectors

REFERENCE = 2000  # observations, for those that hold one: it must end before the change


class Compiled:
    """One of our detectors at work."""

    def __init__(self, detector: detectors.Detector) -> None:
        self._detector = detector

    def first_alarm(self, x: np.ndarray) -> int:
        """Feed x in growing blocks up to the first alarm."""
        start, size = 0, 512
        while start < len(x):
            found = self._detector.update_many(x[start : start + size].astype(np.float64))
            if found:
                return int(start + found[0][0])
            start, size = start + size, 2 * size
        return -1


def _peer(name: str) -> Peer:
    cls = detectors.get(name)
    fixed: dict[str, Any] = {"reference": REFERENCE} if "reference" in inspect.signature(cls).parameters else {}

    def watch(value: float) -> Compiled:
        return Compiled(detectors.make(name, arl0=value, **fixed))

    return Peer(watch, 100, 1e12, "error" if cls.error_only else "number error", "arl0")


class _Peers(dict[str, Peer]):
    """A detector is imported when it is asked for."""

    def __missing__(self, name: str) -> Peer:
        return _peer(name)


PEERS = _Peers()
