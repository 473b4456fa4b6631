"""Score: champion and challengers predict every event, then learn from its label: test, then train, side by side."""

from typing import Any

import numpy as np

from stream_app.config import Config
from stream_app.errors import ConfigError
from stream_app.flow.chunk import Chunk
from stream_app.flow.features import Features
from stream_app.flow.join import Kept
from stream_app.flow.validate import Validate
from stream_app.messages import Floats, Ints, Predictions
from stream_app.models import Choosing, Inputs, ScoringModel, make_model, width

CHAMPION = "champion"


class Score:
    """The stage; state: the models, their version number and how often they failed."""

    def __init__(self, config: Config, validate: Validate, features: Features, kept: Kept) -> None:
        fields = config.schema.fields
        numbers = [name for name, field in fields.items() if field.type == "number"]
        self.number_columns = [i for i, name in enumerate(numbers) if fields[name].input]
        self.code_columns = [i for i, name in enumerate(validate.vocabularies) if fields[name].input]
        categories = [name for name in validate.vocabularies if fields[name].input]
        self.inputs = inputs = Inputs(
            numbers=(*(name for name in numbers if fields[name].input), *features.names),
            categories=tuple(categories),
            width=config.engine.max_categories,
            vocabulary=[validate.vocabularies[name].texts for name in categories],
        )
        named = ((CHAMPION, config.model), *((challenger.name, challenger) for challenger in config.challengers))
        self.names = [name for name, _ in named]
        self.models = _made(config, inputs)
        self.kept = kept
        outputs, widths = [model.outputs for model in self.models], [width(model) for model in self.models]
        kept.shape(len(inputs.numbers) + len(categories), len(validate.vocabularies), outputs, widths)
        self.binary = config.task.type == "binary"
        self.has_classes = config.task.type in {"binary", "multiclass"}
        self.classes = validate.classes.texts
        self.version = 1
        self.failures: list[list[Any]] = [[0, ""] for _ in self.models]

    def run(self, chunk: Chunk) -> None:
        slots = chunk.slot[chunk.is_predict]
        self.kept.X[slots] = self._inputs(chunk)
        for j, model in enumerate(self.models):
            failed = model.run(chunk.kind, chunk.slot, chunk.value, self.kept.X, self.kept.wide[j])
            if failed:
                self.failures[j] = [self.failures[j][0] + len(failed), failed[-1][1]]
            chunk.scores.append(self.kept.scores[j][slots])
        if len(slots):
            chunk.out.predictions.append(self._predictions(chunk))

    def _inputs(self, chunk: Chunk) -> Floats:
        codes = chunk.codes[:, self.code_columns].astype(np.float64)
        codes[codes < 0] = np.nan
        return np.hstack([chunk.events.numbers[:, self.number_columns], chunk.features, codes])

    def _predictions(self, chunk: Chunk) -> Predictions:
        code, score = self.decide(chunk.scores[0])
        classes = tuple(self.classes) if self.has_classes else ()
        events = chunk.events
        return Predictions(f"v{self.version}", classes, events.offset, events.id, events.time_ms, code, score)

    def decide(self, scores: Floats) -> tuple[Any, Floats]:
        """Predicted class codes (-1 = none) and their score, from the rows a model wrote."""
        if self.binary or not self.has_classes:
            score = scores[:, 0]
            return np.where(np.isnan(score), -1, score > 0.5).astype(np.int32), score
        blind = np.isnan(scores[:, 0]) | (scores.max(axis=1, initial=0) <= 0)
        best = np.where(blind[:, None], 0, scores).argmax(axis=1)
        return np.where(blind, -1, best).astype(np.int32), np.where(blind, np.nan, scores[np.arange(len(best)), best])

    def reset(self) -> str:
        """A fresh champion under a new version."""
        self.models[0].reset()
        self.version += 1
        return f"v{self.version}"

    def choices(self) -> dict[str, dict[str, Any]]:
        """What each model that is made of several uses now, and why; by the model's name."""
        models = zip(self.names, self.models, strict=True)
        return {name: model.told() for name, model in models if isinstance(model, Choosing)}

    def to_state(self, _live: Ints) -> dict[str, Any]:
        return {
            "version": self.version,
            "failures": self.failures,
            "models": [model.to_state() for model in self.models],
        }

    def load(self, state: dict[str, Any]) -> None:
        self.version, self.failures = state["version"], state["failures"]
        for model, saved in zip(self.models, state["models"], strict=True):
            model.load(saved)


def _made(config: Config, inputs: Inputs) -> list[ScoringModel]:
    """Champion and challengers; ConfigError with every one that cannot be made."""
    models, problems = [], []
    paths = ["$.model", *(f"$.challengers[{i}]" for i in range(len(config.challengers)))]
    for path, model in zip(paths, (config.model, *config.challengers), strict=True):
        try:
            models.append(make_model(model, config.task, inputs, config.engine.seed))
        except ValueError as error:
            problems.append(f"{path}: {error}")
    if problems:
        raise ConfigError(problems, config.name)
    return models
