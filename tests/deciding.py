"""A decide stage that is handed alarms by hand; shared by several tests."""

import numpy as np
from chunks import SCHEMA, config_of, values
from streams import tape_of

from stream_app.flow.chunk import Alarm, Chunk
from stream_app.messages import CONTROL, EVENT, Message, Outputs
from stream_app.pipeline import Pipeline

WATCH = """
[[watch]]
signal = "error"
detector = "adwin"
[[watch]]
signal = "feature:a"
detector = "adwin"
[[watch]]
signal = "missing:*"
detector = "page_hinkley"
"""
RETRAIN = '[retrain]\non = ["error"]\n'


class Shard:
    """A decide stage that is handed alarms as if they had come from the stream, one second a record."""

    def __init__(self, text: str = RETRAIN, schema: str = SCHEMA) -> None:
        self.pipeline = Pipeline(config_of(WATCH + text, schema))
        self.decide = self.pipeline.decide
        self.records = 0
        self.ms = 1000 if schema is SCHEMA else 1  # a record

    def take(self, *alarms: Alarm, until: int, closes: bool = False, control: tuple[bytes, ...] = ()) -> list[Message]:
        """Messages of the chunk that ends before record `until`; its commands are its last records."""
        n = until - self.records
        tape = tape_of(self.pipeline.config, [])
        tape.order = np.array([EVENT] * (n - len(control)) + [CONTROL] * len(control), np.uint8)
        tape.control = list(control)
        self.chunk = Chunk(tape, self.records, closes, Outputs(), alarms=list(alarms))
        self.chunk.clock_ms = self.ms * np.arange(self.records, until)
        self.decide.run(self.chunk)
        self.records = until
        return self.chunk.out.messages

    def sees(self, signal: str, value: float, n: int = 100) -> None:
        """Observations of a watched signal, about this value, for its detector alone."""
        monitor = next(m for m in self.pipeline.detect.monitors if m.signal.name == signal)
        segment = monitor.segments.setdefault(-2, monitor.fresh())
        segment.detector.update_many(value + np.random.default_rng(1).normal(0, 0.01, n))


def statuses(messages: list[Message]) -> list[tuple[str, str]]:
    return [(e["data"]["incident"], e["data"]["status"]) for e in values(messages, "alerts")]
