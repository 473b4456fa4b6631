"""Our detectors: the one parameter that is tuned is the declared arl0.

Each with its defaults; some also as one of SETTINGS, which looks for a rise only, as most of the others do.
"""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from peer import SILENT, Peer

import detectors

REFERENCE = 2000  # observations, for those that hold one: it must end before the change
UP: dict[str, Any] = {"direction": "up"}
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "conformal up": ("conformal", UP),
    "cusum up": ("cusum", UP),
    "cusum up k=.125": ("cusum", UP | {"k": 0.125}),
    "e_detector up": ("e_detector", UP),
    f"e_detector up odds=1.25 warm_up={SILENT}": ("e_detector", UP | {"odds": 1.25, "warm_up": SILENT}),
    f"e_detector up odds=1.6 warm_up={SILENT}": ("e_detector", UP | {"odds": 1.6, "warm_up": SILENT}),
    "ewma up": ("ewma", UP),
    "ewma up lambda_=.005": ("ewma", UP | {"lambda_": 0.005}),
    "glr up": ("glr", UP),
    "ecdd memory=150": ("ecdd", {"memory": 150}),
    "ecdd memory=400": ("ecdd", {"memory": 400}),
}

# They draw ties by a hash that is the same in every stream: streams of errors would not be independent for them.
NUMBERS_ONLY = {
    entry for entry, (name, fixed) in SETTINGS.items() if fixed.items() >= UP.items() and name != "e_detector"
}


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


def _peer(entry: str) -> Peer:
    name, fixed = SETTINGS.get(entry, (entry, {}))
    cls = detectors.get(name)
    if "reference" in inspect.signature(cls).parameters:
        fixed = {"reference": REFERENCE}

    def watch(value: float) -> Compiled:
        return Compiled(detectors.make(name, arl0=value, **fixed))

    signals = "error" if cls.error_only else "number" if entry in NUMBERS_ONLY else "number error"
    return Peer(watch, 100, 1e12, signals, "arl0")


class _Peers(Mapping[str, Peer]):
    """A detector is imported when it is asked for."""

    def __getitem__(self, entry: str) -> Peer:
        return _peer(entry)

    def __iter__(self) -> Iterator[str]:
        yield from (name for name in detectors.names() if "number" in detectors.get(name).kinds)
        yield from SETTINGS

    def __len__(self) -> int:
        return len(list(iter(self)))


PEERS = _Peers()
