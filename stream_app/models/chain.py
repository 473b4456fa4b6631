"""A pipe of river's, taken step by step: its own way through the steps costs as much as a small model."""

from typing import Any

from river import base, compose

Row = dict[str, Any]


class Chain:
    """Asks and teaches the steps of a pipe as the pipe does; they are the same objects."""

    def __init__(self, transformers: list[Any], last: Any) -> None:
        self._transforms = [each.transform_one for each in transformers]
        self._learns = [(each.learn_one, each.transform_one) for each in transformers]
        self._last = last

    def predict_one(self, x: Row) -> Any:
        for transform in self._transforms:
            x = transform(x)
        return self._last.predict_one(x)

    def predict_proba_one(self, x: Row) -> Any:
        for transform in self._transforms:
            x = transform(x)
        return self._last.predict_proba_one(x)

    def learn_one(self, x: Row, y: Any) -> None:
        for learn, transform in self._learns:
            learn(x)
            x = transform(x)
        self._last.learn_one(x, y)


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
