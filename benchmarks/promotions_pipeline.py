"""Whole pipelines for `promotions.py`: challengers that cannot be better, a worse model put in charge by command."""

from typing import Any

import msgspec
import numpy as np

from stream_app.config import Config, parse
from stream_app.flow.decode import Decoder
from stream_app.messages import CONTROL, EVENT, Floats, Ints, Tape, to_json
from stream_app.models import PREDICT, ScoringModel
from stream_app.pipeline import Pipeline

SETTLED = 1024  # labels before the worse model is put in charge
CONFIG = """
name = "promotions"
schema.label = "y"
schema.fields.a = {{ type = "number" }}
schema.fields.b = {{ type = "number" }}
[model]
{model}
[[challengers]]
name = "same"
{challenger}
[retrain]
action = "challenge"
confidence = {confidence}
trial = {trial}
proof = 1
"""
BAGGED = """use = "river.ensemble.BaggingClassifier"
params = {{ model = "river.naive_bayes.GaussianNB", n_models = 2, seed = {} }}"""
PAIRS = {
    "pipelines on coins, `linear`": ('use = "linear"', 'use = "linear"\nparams = { lr = 0.1, intercept_lr = 0.1 }'),
    "pipelines on coins, river's bagging": (BAGGED.format(1), BAGGED.format(2)),
}


def config_of(pair: tuple[str, str], confidence: float, trial: int) -> Config:
    model, challenger = pair
    text = CONFIG.format(model=model, challenger=challenger, confidence=confidence, trial=trial)
    return parse(text, "promotions", {})


def tape_of(config: Config, a: np.ndarray, b: np.ndarray, y: np.ndarray, first: int = 0) -> Tape:
    """Events with their labels, known at once."""
    columns = zip(a.tolist(), b.tolist(), y.tolist(), strict=True)
    raw = [msgspec.json.encode({"a": x, "b": z, "y": int(label)}) for x, z, label in columns]
    rows, none = Decoder(config, "events", None)(first, raw), Decoder(config, "labels", None)(0, [])
    return Tape(np.full(len(raw), EVENT, np.uint8), rows, none)


def acts(out: Any, what: str) -> list[int]:
    """Records at whose boundary the audit says that it was done."""
    told = [msgspec.json.decode(m.value) for m in out.messages if m.stream == "audit"]
    return [entry["record"] for entry in told if entry["what"] == what]


def coins(pair: tuple[str, str], labels: int, seed: int, confidences: tuple[float, ...]) -> list[bool]:
    """Whether the challenger is promoted, by confidence, where labels are fair coins: no model can be better."""
    rng = np.random.default_rng([7, seed])
    data = rng.normal(size=labels), rng.normal(size=labels), rng.random(labels) < 0.5
    found, ended = [], True
    for confidence in confidences:
        promoted = False
        if ended:
            config = config_of(pair, confidence, labels + 1)
            pipeline = Pipeline(config)
            promoted = bool(acts(pipeline.handle(tape_of(config, *data)), "promote"))
            compared = pipeline.retraining.lanes.trials["same"].paired.n
            ended = promoted or compared < labels - 2  # nothing ends a trial at a higher confidence sooner
        found.append(promoted)
    return found


class Column:
    """A model that says what stands in one column of the input, in place of another whose state it shows."""

    outputs = 1

    def __init__(self, column: int, other: ScoringModel) -> None:
        self.column, self.other = column, other

    def run(self, kind: Any, slot: Ints, _target: Floats, X: Floats, scores: Floats) -> list[tuple[int, str]]:
        asked = slot[kind == PREDICT]
        scores[asked, 0] = X[asked, self.column]
        return []

    def peek(self, X: Floats) -> Floats:
        return X[:, [self.column]]

    def contributions(self, _X: Floats) -> None:
        return None

    def reset(self) -> None:
        """Nothing is forgotten."""

    def to_state(self) -> dict[str, Any]:
        return self.other.to_state()

    def load(self, state: dict[str, Any]) -> None:
        self.other.load(state)


def rolled_back(harm: float, trial: int, seed: int, rate: float = 0.2) -> float:
    """Labels from the promotion of the worse model to its rollback; inf: it stayed."""
    config = config_of(PAIRS["pipelines on coins, `linear`"], 0.95, trial)
    pipeline, rng = Pipeline(config), np.random.default_rng([8, seed])
    for column, lane in enumerate(pipeline.score.lanes[:2]):
        assert lane.model is not None
        lane.model = Column(column, lane.model)
    labels = SETTLED + trial + 2 * config.engine.epoch
    y = rng.random(labels) < 0.5
    a, b = (np.where(rng.random(labels) < p, ~y, y).astype(float) for p in (rate, rate + harm))
    pipeline.handle(tape_of(config, a[:SETTLED], b[:SETTLED], y[:SETTLED]))
    tape = tape_of(config, a[SETTLED:], b[SETTLED:], y[SETTLED:], SETTLED)
    out = pipeline.handle(tape.led_by([to_json({"command": "promote", "version": "v2", "by": "hand"})]))
    assert CONTROL not in tape.order
    promoted, back = acts(out, "promote"), acts(out, "rollback")
    return float(back[0] - promoted[0]) if back else float("inf")
