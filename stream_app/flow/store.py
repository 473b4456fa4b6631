"""Features: the online features of each event, and the feature store's newest values."""

from typing import Any

from stream_app.flow.chunk import Chunk
from stream_app.flow.features import Features
from stream_app.flow.outgoing import message
from stream_app.messages import Ints, Origin


class FeatureStore:
    """The stage around `Features`: columns of a chunk in, feature columns and store updates out."""

    def __init__(self, origin: Origin, features: Features) -> None:
        self.origin, self.features = origin, features

    def run(self, chunk: Chunk) -> None:
        events = chunk.events
        chunk.features = self.features.run(
            chunk.kind, chunk.slot, chunk.event, chunk.value,
            events.time_ms, events.numbers, events.categories, events.key,
        )  # fmt: skip
        if chunk.closes and self.features.names:
            for by, key, time_ms, values in self.features.newest():
                value = {"by": by, "key": key, "time": time_ms, "features": values}
                chunk.out.messages.append(
                    message(self.origin, "features", f"{by}/{key}/{chunk.end}", f"{by}={key}", time_ms, value)
                )

    def to_state(self, live: Ints) -> dict[str, Any]:
        return self.features.to_state(live)

    def load(self, state: dict[str, Any]) -> None:
        self.features.load(state)
