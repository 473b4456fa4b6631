"""Memory: the newest labelled events, for a challenger to be trained on; `retrain.memory` of them at most."""

from typing import Any

import numpy as np

from stream_app.messages import Floats, Ints


class Memory:
    """Rows in the order in which their labels came; state: the newest `size`."""

    def __init__(self, size: int, width: int) -> None:
        self.size = size
        self.used = 0
        self.offset = np.empty(0, np.int64)
        self.X = np.empty((0, width))
        self.target = np.empty(0)

    def add(self, offset: Ints, X: Floats, target: Floats) -> None:
        """Takes labelled rows: source offsets [n] of their events, inputs [n, width], labels [n]."""
        offset, X, target = offset[-self.size :], X[-self.size :], target[-self.size :]
        if self.used + len(offset) > len(self.offset):
            self._make_room(len(offset))
        into = slice(self.used, self.used + len(offset))
        self.offset[into], self.X[into], self.target[into] = offset, X, target
        self.used += len(offset)

    def _make_room(self, n: int) -> None:
        """The newest rows move to the front of arrays with room for as many again."""
        keep = slice(max(0, self.used - self.size), self.used)
        kept = keep.stop - keep.start
        room = max(1024, 2 * (kept + n))
        for name in ("offset", "X", "target"):
            old = getattr(self, name)
            new = np.empty((room, *old.shape[1:]), old.dtype)
            new[:kept] = old[keep]
            setattr(self, name, new)
        self.used = kept

    def rows(self) -> tuple[Ints, Floats, Floats]:
        """Offsets, inputs and labels of all that is remembered."""
        newest = slice(max(0, self.used - self.size), self.used)
        return self.offset[newest], self.X[newest], self.target[newest]

    def since(self, offset: int, least: int) -> tuple[Ints, Floats, Floats]:
        """Those of events from a source offset on; the newest `least` where these are fewer."""
        offsets, X, target = self.rows()
        chosen = offsets >= offset
        chosen[len(chosen) - min(least, len(chosen)) :] |= chosen.sum() < least
        return offsets[chosen], X[chosen], target[chosen]

    def to_state(self) -> dict[str, Any]:
        offset, X, target = self.rows()
        return {"offset": offset.copy(), "X": X.copy(), "target": target.copy()}

    def load(self, state: dict[str, Any]) -> None:
        self.offset, self.X, self.target = state["offset"], state["X"], state["target"]
        self.used = len(self.offset)
