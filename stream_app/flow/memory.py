"""Memory: the newest labelled events, for a challenger to be trained on; `retrain.memory` of them at most."""

from typing import Any

import numpy as np

from stream_app.texts import Texts, TextStore

COLUMNS = ("offset", "time_ms", "id", "X", "target")


class Memory:
    """Rows in the order in which their labels came; state: the newest `size`.

    By columns: source offset, time and id of the event, its inputs [rows, width], its label (class code or number).
    """

    def __init__(self, size: int, width: int) -> None:
        self.size, self.used = size, 0
        self._held: dict[str, Any] = {
            "offset": np.empty(0, np.int64),
            "time_ms": np.empty(0, np.int64),
            "id": TextStore(),
            "X": np.empty((0, width)),
            "target": np.empty(0),
        }

    def add(self, **columns: Any) -> None:
        """Takes labelled rows."""
        n = min(len(columns["offset"]), self.size)
        if self.used + n > len(self._held["offset"]):
            self._make_room(n)
        for name, held in self._held.items():
            held[self.used : self.used + n] = columns[name][len(columns[name]) - n :]
        self.used += n

    def _make_room(self, n: int) -> None:
        """The newest rows move to the front of arrays with room for as many again."""
        kept = min(self.used, self.size)
        for name, old in self._held.items():
            room, newest = max(1024, 2 * (kept + n)), old[self.used - kept : self.used]
            if isinstance(newest, Texts):
                self._held[name] = TextStore.of(newest, room)
            else:
                self._held[name] = np.empty((room, *old.shape[1:]), old.dtype)
                self._held[name][:kept] = newest
        self.used = kept

    def __getitem__(self, name: str) -> Any:
        """A column of all that is remembered."""
        return self._held[name][max(0, self.used - self.size) : self.used]

    def to_state(self) -> dict[str, Any]:
        return {**{name: self[name].copy() for name in COLUMNS}, "id": self["id"].tolist()}

    def load(self, state: dict[str, Any]) -> None:
        self._held = {**{name: state[name] for name in COLUMNS}, "id": TextStore.of(Texts.of(state["id"]))}
        self.used = len(state["id"])
