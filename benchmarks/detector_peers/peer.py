"""What a detector of any library is here: something that is made at one sensitivity and fed until it first alarms."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

KSWIN_ALPHA = (1e-3, 1e-6)  # a short way to search: an evaluation takes minutes
SILENT = 3000  # observations without an alarm after a start, a setting of ours and of those of theirs that come near


class Watch(Protocol):
    """A detector at work."""

    def first_alarm(self, x: np.ndarray) -> int:
        """Feed x up to the first alarm: its index, or -1."""


@dataclass(frozen=True)
class Peer:
    """A detector with the range of its one parameter that is tuned: from alarming often to alarming rarely."""

    make: Callable[[float], Watch]
    often: float
    rarely: float
    signals: str = "number error"  # what it takes
    tuned: str = ""  # name of the parameter


class Loop:
    """A detector that is fed value by value in Python."""

    def __init__(self, detector: Any, update: Callable[[Any, float], None], fired: Callable[[Any], bool]) -> None:
        self._detector, self._update, self._fired = detector, update, fired

    def first_alarm(self, x: np.ndarray) -> int:
        """Feed x up to the first alarm."""
        detector, update, fired = self._detector, self._update, self._fired
        for i, value in enumerate(x.tolist()):
            update(detector, value)
            if fired(detector):
                return i
        return -1
