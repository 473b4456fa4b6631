"""Score: champion and challengers predict every event, then learn from its label: test, then train, side by side.

Each has a lane: the champion, one for each of [[challengers]], and the candidate, empty until a model asks to be
promoted. Which model stands in a lane changes at epoch boundaries only.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from stream_app.config import Config, Model
from stream_app.errors import ConfigError
from stream_app.flow.arms import Arms
from stream_app.flow.chunk import Chunk
from stream_app.flow.features import Features
from stream_app.flow.join import Kept
from stream_app.flow.validate import Validate
from stream_app.flow.versions import Version
from stream_app.messages import Floats, Ints, Predictions
from stream_app.models import Inputs, ScoringModel, chooses, width
from stream_app.models.artefact import fresh

CHAMPION, CANDIDATE = "champion", "candidate"


@dataclass(slots=True)
class Lane:
    """A place for a model beside the others."""

    name: str
    version: Version | None = None  # None: empty
    model: ScoringModel | None = None
    failures: int = 0
    last_failure: str = ""


class Score:
    """The stage; state: the lanes with their models."""

    def __init__(self, config: Config, validate: Validate, features: Features, kept: Kept) -> None:
        self.config, self.kept = config, kept
        self.inputs = self._inputs_of(config, validate, features)
        self.lanes = self._begin(config)
        self.names = [lane.name for lane in self.lanes]
        columns, outputs = len(self.inputs.numbers) + len(self.inputs.categories), self.champion_model.outputs
        widest = max(width(lane.model) for lane in self.lanes if lane.model is not None)  # any may come into any lane
        kept.shape(columns, len(validate.vocabularies), outputs, widest, len(self.lanes))
        self.binary = config.task.type == "binary"
        self.has_classes = config.task.type in {"binary", "multiclass"}
        self.classes = validate.classes.texts
        self.arms = Arms(config, kept) if config.ab else None
        self.shared = self.names.index(config.ab.lane) if config.ab else 0  # the lane that arm B gets

    def _inputs_of(self, config: Config, validate: Validate, features: Features) -> Inputs:
        fields = config.schema.fields
        numbers = [name for name, field in fields.items() if field.type == "number"]
        fed = [i for i, name in enumerate(numbers) if fields[name].input]
        self.number_columns = slice(None) if len(fed) == len(numbers) else fed
        self.code_columns = [i for i, name in enumerate(validate.vocabularies) if fields[name].input]
        categories = [name for name in validate.vocabularies if fields[name].input]
        return Inputs(
            numbers=(*(name for name in numbers if fields[name].input), *features.names),
            categories=tuple(categories),
            width=config.engine.max_categories,
            vocabulary=[validate.vocabularies[name].texts for name in categories],
        )

    def _begin(self, config: Config) -> list[Lane]:
        """The models of the configuration; ConfigError with every one that cannot be made."""
        lanes: list[Lane] = []
        problems = []
        given: list[tuple[str, str, Model]] = [("$.model", CHAMPION, config.model)]
        given += [(f"$.challengers[{i}]", each.name, each.plain()) for i, each in enumerate(config.challengers)]
        for number, (path, name, model) in enumerate(given, 1):
            try:
                made = self.made(model)
            except ValueError as error:
                problems.append(f"{path}{getattr(error, 'where', '')}: {error}")
                continue
            first = Version(f"v{number}", "initial", None, model, championed=1)
            lanes.append(Lane(name, Version(f"v{number}", "configured", None, model, name) if lanes else first, made))
        if problems:
            raise ConfigError(problems, config.name)
        return lanes + [Lane(CANDIDATE)] * (bool(config.retrain.on) or bool(config.challengers))

    def made(self, model: Model) -> ScoringModel:
        """A fresh model; ValueError if it cannot be made."""
        return fresh(model, self.config.task, self.inputs, self.config.engine.seed)

    @property
    def champion(self) -> Lane:
        """The lane whose predictions are given out."""
        return self.lanes[0]

    @property
    def champion_model(self) -> ScoringModel:
        """Its model."""
        assert self.champion.model is not None
        return self.champion.model

    @property
    def candidate(self) -> Lane | None:
        """The lane of a model that asks to be promoted, or of the champion before; None without such a lane."""
        return self.lanes[-1] if self.lanes[-1].name == CANDIDATE else None

    def lane_of(self, version: str) -> Lane | None:
        """Where a version stands."""
        return next((lane for lane in self.lanes if lane.version and lane.version.name == version), None)

    def run(self, chunk: Chunk) -> None:
        if self.arms is not None:
            self._compare(self.arms, chunk.first)
        slots = chunk.slot[chunk.predicted]
        self.kept.X[slots] = self._inputs(chunk)
        for lane, wide, scores in zip(self.lanes, self.kept.wide, self.kept.scores, strict=True):
            if lane.model is None:
                scores[slots] = np.nan
            else:
                own = wide[:, : width(lane.model)]
                failed = lane.model.run(chunk.kind, chunk.slot, chunk.value, self.kept.X, own)
                if failed:
                    lane.failures, lane.last_failure = lane.failures + len(failed), failed[-1][1]
            chunk.scores.append(scores[slots])
        if len(slots):
            chunk.out.predictions.append(self._predictions(chunk))

    def _inputs(self, chunk: Chunk) -> Floats:
        codes = chunk.codes[:, self.code_columns].astype(np.float64)
        codes[codes < 0] = np.nan
        parts = [chunk.events.numbers[:, self.number_columns], chunk.features, codes]
        filled = [part for part in parts if part.shape[1]]
        return filled[0] if len(filled) == 1 else np.hstack(parts)

    def _compare(self, arms: Arms, record: int) -> None:
        """Models change at epoch boundaries, where a chunk ends: the next one begins another comparison."""
        version = self.lanes[self.shared].version
        versions = [self.version, version.name if version else None]
        if versions != arms.versions:
            arms.begin(versions, record)

    def _predictions(self, chunk: Chunk) -> Predictions:
        code, score = self.decide(chunk.scores[0])
        classes = tuple(self.classes) if self.has_classes else ()
        events = chunk.events
        given = Predictions(self.version, classes, events.offset, events.id, events.time_ms, code, score)
        if self.arms is None:
            return given
        other = self.decide(chunk.scores[self.shared])
        return self.arms.share_out(given, other, events, chunk.slot[chunk.predicted])

    @property
    def version(self) -> str:
        """The champion's."""
        assert self.champion.version is not None
        return self.champion.version.name

    def decide(self, scores: Floats) -> tuple[Any, Floats]:
        """Predicted class codes (-1 = none) and their score, from the rows a model wrote."""
        if self.binary or not self.has_classes:
            score = scores[:, 0]
            return np.where(np.isnan(score), -1, score > 0.5).astype(np.int32), score
        blind = np.isnan(scores[:, 0]) | (scores.max(axis=1, initial=0) <= 0)
        best = np.where(blind[:, None], 0, scores).argmax(axis=1)
        return np.where(blind, -1, best).astype(np.int32), np.where(blind, np.nan, scores[np.arange(len(best)), best])

    def place(self, lane: Lane, version: Version | None, model: ScoringModel | None) -> None:
        """Puts a model into a lane, or nothing; what the one before it said of events that wait counts no more.

        The champion's predictions stay: they were given out.
        """
        lane.version, lane.model, lane.failures, lane.last_failure = version, model, 0, ""
        first = self.kept.outputs if lane is self.champion else 0
        self.kept.wide[self.lanes.index(lane)][:, first:] = np.nan

    def choices(self) -> dict[str, dict[str, Any]]:
        """What each model that is made of several uses now, and why; by the model's name."""
        return {lane.name: lane.model.told() for lane in self.lanes if chooses(lane.model)}

    def to_state(self, _live: Ints) -> dict[str, Any]:
        return {
            "lanes": [
                {
                    "version": lane.version.to_state() if lane.version else None,
                    "model": lane.model.to_state() if lane.model else None,
                    "failures": lane.failures,
                    "last_failure": lane.last_failure,
                }
                for lane in self.lanes
            ],
            **({"arms": self.arms.to_state()} if self.arms else {}),
        }

    def load(self, state: dict[str, Any]) -> None:
        for lane, saved in zip(self.lanes, state["lanes"], strict=True):
            lane.failures, lane.last_failure = saved["failures"], saved["last_failure"]
            version = Version.of(saved["version"]) if saved["version"] else None
            if version is None:
                lane.model = None
            else:
                if lane.version is None or lane.model is None or version.model != lane.version.model:
                    lane.model = self.made(version.model)
                lane.model.load(saved["model"])
            lane.version = version
        if self.arms is not None:
            self.arms.load(state["arms"])
