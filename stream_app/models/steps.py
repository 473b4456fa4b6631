"""`[[model.steps]]`: river transformers before the model, each on some of the columns of a row.

river's own pipeline is not used for them: its Select fails on a row in which a column is missing, its imputers on one
in which a missing value is left out, and two projectors would share the names of their columns.
"""

from copy import copy
from typing import Any

from river import base, compose, feature_extraction, preprocessing

from stream_app import config
from stream_app.models import Inputs
from stream_app.models.estimators import PartError, build, find, near, step_names
from stream_app.models.pickling import dumps, loads

Row = dict[Any, Any]

NUMBER, CATEGORY = "number", "category"  # the kinds of columns: a category's value is a text
ENCODERS = (preprocessing.OneHotEncoder, preprocessing.OrdinalEncoder)
IMPUTERS = (preprocessing.StatImputer, preprocessing.PreviousImputer)
SELECTORS = (compose.Discard, compose.Select, compose.SelectType)


class Step:
    """A river transformer that is given some of the columns; what it makes stands in their place, the others pass by.

    Given are the columns in `names` and all of the kinds in `kinds`, as far as the row has them. Imputers are given
    None for those of `fill` that are missing; what is still None afterwards is left out again. Of a row with none of
    them, or without one of `needs`, nothing is made. Names that are no text get `label` in front, so that no two steps
    make the same.
    """

    def __init__(self, transformer: Any, label: str, keep: bool) -> None:
        self.transformer, self.label, self.keep = transformer, label, keep
        self.names: frozenset[str] = frozenset()
        self.kinds: frozenset[str] = frozenset()
        self.needs: frozenset[str] = frozenset()
        self.fill: tuple[str, ...] = ()

    def around(self, transformer: Any) -> "Step":
        """The same step with another transformer."""
        step = copy(self)
        step.transformer = transformer
        return step

    def transform(self, row: Row) -> Row:
        """The row as the next step gets it."""
        given = self._given(row)
        return self._result(row, given, self.transformer.transform_one(given) if self._fits(given) else {})

    def learn(self, row: Row, y: Any) -> Row:
        """Learns from the row, and transforms it: a supervised transformer before it has seen the label."""
        given, transformer = self._given(row), self.transformer
        if not self._fits(given):
            return self._result(row, given, {})
        if transformer._supervised:  # noqa: SLF001  (river's own flag, there is no public one)
            made = transformer.transform_one(given)
            transformer.learn_one(given, y)
        else:
            transformer.learn_one(given)
            made = transformer.transform_one(given)
        return self._result(row, given, made)

    def _given(self, row: Row) -> Row:
        names, kinds = self.names, self.kinds
        given = {n: v for n, v in row.items() if n in names or (CATEGORY if isinstance(v, str) else NUMBER) in kinds}
        return dict.fromkeys(self.fill) | given if self.fill else given

    def _fits(self, given: Row) -> bool:
        return bool(given) and self.needs <= given.keys()

    def _result(self, row: Row, given: Row, made: Row) -> Row:
        named = {n if isinstance(n, str) else f"{self.label}.{n}": v for n, v in made.items() if v is not None}
        if self.keep:
            return row | named
        if given.keys() >= row.keys():
            return named
        return {name: value for name, value in row.items() if name not in given} | named


class Prepared:
    """A river estimator behind its steps; asked and taught like a river pipeline."""

    def __init__(self, steps: list[Step], model: Any) -> None:
        self.steps, self.model = steps, model

    @property
    def parts(self) -> list[Any]:
        """The river objects in it: all that it learns is in them."""
        return [*(step.transformer for step in self.steps), self.model]

    def with_parts(self, parts: list[Any]) -> "Prepared":
        """The same steps and model with other river objects in them."""
        *transformers, model = parts
        return Prepared([step.around(each) for step, each in zip(self.steps, transformers, strict=True)], model)

    def transform_one(self, x: Row) -> Row:
        """The row as the model gets it."""
        for step in self.steps:
            x = step.transform(x)
        return x

    def learn_one(self, x: Row, y: Any = None) -> None:
        for step in self.steps:
            x = step.learn(x, y)
        if self.model._supervised:  # noqa: SLF001  (river's own flag, there is no public one)
            self.model.learn_one(x, y)
        else:
            self.model.learn_one(x)

    def predict_one(self, x: Row) -> Any:
        return self.model.predict_one(self.transform_one(x))

    def predict_proba_one(self, x: Row) -> Any:
        return self.model.predict_proba_one(self.transform_one(x))

    def score_one(self, x: Row) -> Any:
        return self.model.score_one(self.transform_one(x))


def prepared(model: Any, steps: tuple[config.Step, ...], inputs: Inputs, seed: int) -> Prepared:
    """The estimator behind its steps; PartError says which step is wrong, and how."""
    made = []
    for i, (step, label) in enumerate(zip(steps, step_names([step.use for step in steps]), strict=True)):
        try:
            made.append(_step(step, label, inputs, seed))
        except PartError as error:
            raise PartError(f".steps[{i}]{error.where}", error) from None
    return Prepared(made, model)


def saved(estimator: Any) -> bytes:
    """An estimator, alone or behind steps, as bytes; ValueError if it cannot be saved."""
    return dumps(estimator.parts if isinstance(estimator, Prepared) else estimator)


def restored(data: bytes, alike: Any) -> Any:
    """The estimator that was `saved`, another object than before; ValueError if it is not made like `alike`."""
    found = loads(data)
    known = alike.parts if isinstance(alike, Prepared) else alike
    if _kinds(found) != _kinds(known):
        raise ValueError(f"state of another model: {_kinds(found)}")
    return alike.with_parts(found) if isinstance(alike, Prepared) else found


def _kinds(parts: Any) -> str:
    return ", ".join(type(part).__name__ for part in (parts if isinstance(parts, list) else [parts]))


def _step(step: config.Step, label: str, inputs: Inputs, seed: int) -> Step:
    try:
        cls = find(step.use)
    except ValueError as error:
        raise PartError(".use", error) from None
    if not issubclass(cls, base.Transformer | base.SupervisedTransformer):
        raise PartError(".use", f"{cls.__name__} is no transformer, and a step is one; a model goes into use")
    try:
        made = Step(build(step.use, step.params, seed), label, step.keep)
    except ValueError as error:
        raise PartError(".params", error) from None
    own = _own_columns(made.transformer)
    if own:
        _give_own(made, own, step, inputs)
    else:
        _give_chosen(made, step, inputs)
    return made


def _own_columns(transformer: Any) -> list[str]:
    """The columns that a transformer's own parameters name."""
    if isinstance(transformer, preprocessing.StatImputer):
        return list(transformer.stats)
    if isinstance(transformer, feature_extraction.TargetAgg):
        return list(transformer.by or ())
    return [transformer.on, *(transformer.by or ())] if isinstance(transformer, feature_extraction.Agg) else []


def _give_own(made: Step, own: list[str], step: config.Step, inputs: Inputs) -> None:
    known = (*inputs.numbers, *inputs.categories)
    if step.only:
        raise PartError(".only", f"{type(made.transformer).__name__} names its columns in its params; remove only")
    for name in own:
        if name not in known:
            raise PartError(".params", f'unknown column "{name}"; known: {", ".join(known)}{near(name, known)}')
    for name in set(getattr(made.transformer, "by", None) or ()) & set(inputs.numbers):
        raise PartError(".params", f'"{name}" is a number, and by needs a category: it keeps each value apart')
    made.names = frozenset(own)
    if isinstance(made.transformer, IMPUTERS):
        made.fill = tuple(own)
    else:
        made.needs = made.names


def _give_chosen(made: Step, step: config.Step, inputs: Inputs) -> None:
    usual: tuple[str, ...] = (CATEGORY,) if isinstance(made.transformer, ENCODERS) else (NUMBER,)
    if isinstance(made.transformer, (*IMPUTERS, *SELECTORS)):
        usual = (NUMBER, CATEGORY)
    chosen = set(step.only or usual)
    made.kinds = frozenset(chosen & {NUMBER, CATEGORY})
    made.names = frozenset(chosen - made.kinds)
    if isinstance(made.transformer, ENCODERS) and chosen & {NUMBER, *inputs.numbers}:
        raise PartError(
            ".only", "an encoder keeps each value apart, and of numbers there is no end; give it categories"
        )
    if isinstance(made.transformer, IMPUTERS):
        kinds = dict.fromkeys(inputs.numbers, NUMBER) | dict.fromkeys(inputs.categories, CATEGORY)
        made.fill = tuple(name for name, kind in kinds.items() if name in made.names or kind in made.kinds)
