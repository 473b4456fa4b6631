"""A pipe of river's, taken step by step: its own way through the steps costs as much as a small model."""

from collections.abc import Callable
from functools import partial
from typing import Any

from river import base, compose, preprocessing

Row = dict[str, Any]
Step = Callable[[Row], Row]


class Chain:
    """Asks and teaches the steps of a pipe as the pipe does; they are the same objects.

    `asked_and_taught`, where there is a quick way: of a row of numbers, what `last` gets when it is asked and what it
    gets when it then learns the row, which the transformer has learned.
    """

    def __init__(self, transformers: list[Any], last: Any) -> None:
        self._ask = _one_by_one([each.transform_one for each in transformers])
        self._teach = _one_by_one([_learning(each) for each in transformers])
        self.last = last
        self.asked_and_taught: Callable[[Row], tuple[Row, Row]] | None = None
        if len(transformers) == 1 and _scales(transformers[0]):
            self.asked_and_taught = partial(_scaled_twice, transformers[0])

    def predict_one(self, x: Row) -> Any:
        return self.last.predict_one(self._ask(x))

    def predict_proba_one(self, x: Row) -> Any:
        return self.last.predict_proba_one(self._ask(x))

    def learn_one(self, x: Row, y: Any) -> None:
        self.last.learn_one(self._teach(x), y)


def _one_by_one(steps: list[Step]) -> Step:
    if len(steps) == 1:
        return steps[0]

    def walk(x: Row) -> Row:
        for step in steps:
            x = step(x)
        return x

    return walk


def _learning(transformer: Any) -> Step:
    """Teaches the transformer a row, then has it make what it makes of the row."""
    if _scales(transformer):
        return partial(_scaled, transformer)
    learn, transform = transformer.learn_one, transformer.transform_one

    def taught(x: Row) -> Row:
        learn(x)
        row: Row = transform(x)
        return row

    return taught


def _scales(transformer: Any) -> bool:
    """Whether `_scaled` is what it does."""
    plain = type(transformer) is preprocessing.StandardScaler
    return plain and transformer.with_std and transformer.window_size is None


def _scaled(scaler: preprocessing.StandardScaler, x: Row) -> Row:
    """`learn_one` and `transform_one` in one pass: the same steps on the same dicts, each figure looked up once."""
    counts, means, variances = scaler.counts, scaler.means, scaler.vars
    row: Row = {}
    for name, value in x.items():
        counts[name] = n = counts[name] + 1
        mean = means[name]
        off = value - mean
        means[name] = mean = mean + off / n
        variance = variances[name]
        variances[name] = variance = variance + (off * (value - mean) - variance) / n
        row[name] = (value - mean) / variance**0.5 if variance else 0.0
    return row


def _scaled_twice(scaler: preprocessing.StandardScaler, x: Row) -> tuple[Row, Row]:
    """`transform_one`, then `_scaled`, in one pass."""
    counts, means, variances = scaler.counts, scaler.means, scaler.vars
    asked: Row = {}
    taught: Row = {}
    for name, value in x.items():
        counts[name] = n = counts[name] + 1
        mean, variance = means[name], variances[name]
        off = value - mean
        asked[name] = off / variance**0.5 if variance else 0.0
        means[name] = mean = mean + off / n
        rest = value - mean
        variances[name] = variance = variance + (off * rest - variance) / n
        taught[name] = rest / variance**0.5 if variance else 0.0
    return asked, taught


def chained(estimator: Any) -> Any:
    """The chain of a pipe of plain transformers and a supervised model; anything else as it is."""
    if type(estimator) is not compose.Pipeline:
        return estimator
    *transformers, last = estimator.steps.values()
    plain = all(isinstance(each, base.Transformer) and not _is_special(each) for each in transformers)
    return (
        Chain(transformers, last) if plain and not isinstance(last, base.Transformer) and _learns(last) else estimator
    )


def _is_special(step: Any) -> bool:
    return isinstance(step, compose.TransformerUnion | base.AnomalyFilter) or step._supervised  # noqa: SLF001


def _learns(last: Any) -> bool:
    return isinstance(last, base.Classifier | base.Regressor) and last._supervised  # noqa: SLF001
