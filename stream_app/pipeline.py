"""The core: records in, outputs out, and nothing else (no file, clock, thread, log or global random state).

    pipeline = Pipeline(config)
    outputs = pipeline.handle(tape)        # any number of records; the result does not depend on how the log was cut
    state = pipeline.snapshot()            # plain data; `restore` and the rest equals no interruption, bit for bit

A shard counts its records. Chunks never cross a line of the grid (`measure.every` records), where metrics, closed panes
and recoveries are written; what a decision does to a model or a detector waits for the next epoch boundary.
"""

from typing import Any

from stream_app.config import Config
from stream_app.flow import STAGES
from stream_app.flow.chunk import Chunk
from stream_app.flow.decide import Decide
from stream_app.flow.detect import Detect
from stream_app.flow.features import Features
from stream_app.flow.join import Join, Kept
from stream_app.flow.measure import Measure
from stream_app.flow.outgoing import metric
from stream_app.flow.retraining import Retraining
from stream_app.flow.sample import Sample
from stream_app.flow.score import Score
from stream_app.flow.signals import Signals
from stream_app.flow.store import FeatureStore
from stream_app.flow.validate import Validate
from stream_app.messages import CONTROL, Message, Origin, Outputs, Tape
from stream_app.texts import Texts


class Pipeline:
    """One shard: all seven stages with their state; `shard` is the number of the source's partition.

    `key` signs the models that it archives and proves those that it is given (`models.seal`).
    """

    def __init__(self, config: Config, shard: int = 0, key: bytes = b"") -> None:
        self.config = config
        kept, origin = Kept(), Origin(config.name, shard)
        self.validate = Validate(config)
        self.join = Join(config, kept)
        features = Features(config)
        self.features = FeatureStore(origin, features)
        self.score = Score(config, self.validate, features, kept)
        signals = Signals(config, self.validate, self.score, kept)
        self.sample = Sample(config, self.validate, self.score, kept)
        self.measure = Measure(config, origin, self.validate, self.score, signals, kept, self.sample)
        self.detect = Detect(config, origin, self.validate, signals.keys)
        self.retraining = Retraining(config, origin, self.score, self.measure.tracks, self.detect, key)
        self.decide = Decide(config, origin, self.score, self.detect, self.sample, self.retraining)
        self.stages: dict[str, Any] = {name: getattr(self, name) for name in STAGES}
        self.records = 0
        self.effects: list[dict[str, Any]] = []  # wait for the next epoch boundary

    def handle(self, tape: Tape) -> Outputs:
        """Takes the records in the tape's order and returns all they caused."""
        out = Outputs()
        start = 0
        while start < len(tape.order):
            stop = min(len(tape.order), start + self._room(tape.order[start:]))
            self._chunk(tape[start:stop], out)
            start = stop
        return out

    def _room(self, order: Any) -> int:
        """How many records the next chunk may take: to the grid, or to the epoch where something waits for it."""
        epoch, every = self.config.engine.epoch, self.config.measure.every
        feedback = self.effects or self.config.retrain.action == "reset" or self.retraining.active
        grid = epoch if feedback else every
        room = grid - self.records % grid
        commands = (order[:room] == CONTROL).nonzero()[0]
        return int(commands[0]) + 1 if len(commands) else room

    def _chunk(self, tape: Tape, out: Outputs) -> None:
        end = self.records + len(tape.order)
        chunk = Chunk(tape, self.records, closes=end % self.config.measure.every == 0, out=out)
        for stage in self.stages.values():
            stage.run(chunk)
        self.records = end
        self.effects += chunk.effects
        if end % self.config.engine.epoch == 0:
            self.decide.apply(self.effects, chunk)
            self.effects = []

    def snapshot(self) -> dict[str, Any]:
        """All state as plain data and numpy arrays; equal histories give equal snapshots."""
        live = self.join.live()
        state = {name: stage.to_state(live) for name, stage in self.stages.items()}
        return {"records": self.records, "effects": list(self.effects), "stages": state}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where `snapshot` was taken, in a pipeline fresh from the same configuration."""
        self.records, self.effects = state["records"], list(state["effects"])
        for name, stage in self.stages.items():
            stage.load(state["stages"][name])

    def story(self, event_id: str) -> dict[str, Any]:
        """What is known now of one event: where its label stands and, while it waits, its inputs and scores."""
        key = int(Texts.of([event_id]).hashes()[0])
        return {"id": event_id, "status": self.join.story(key), **self.join.waiting(event_id, self.score.names)}

    def figures(self) -> list[Message]:
        """What the metrics stream would say here, between the lines of its grid; of trials nothing."""
        told = self.measure.figures() | dict(self.detect.figures()) | {"incidents": self.decide.figures(self.records)}
        place = self.records, self.validate.now_ms
        return [metric(self.measure.origin, signal, *place, value) for signal, value in told.items()]

    def summary(self) -> dict[str, Any]:
        """Counts, figures of every model and baseline, the champion's estimate (None without one), what was chosen."""
        figures = self.measure.performance() if self.config.schema.label else {}
        estimate = self.measure.estimate.figures() if self.measure.estimate.active else None
        told = {"performance": figures, "estimate": estimate, "choices": self.score.choices()}
        return {"counts": dict(self.measure.counts)} | told
