"""`use = "river…"`: any river classifier, regressor or anomaly detector behind the scoring contract."""

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base

from stream_app import config
from stream_app.messages import Floats, Ints
from stream_app.models import LEARN, PREDICT, Inputs
from stream_app.models.assembly import assembled, category_form, check_works
from stream_app.models.chain import Chain, chained
from stream_app.models.estimators import last_step
from stream_app.models.river_parts import LAYERED, contributions
from stream_app.models.steps import restored, saved

Row = dict[str, Any]
Label = bool | int | float | None
Answer = float | list[float] | None
Message = tuple[int, str]  # number of the operation, what went wrong
Ask = Callable[[Row], Answer]
Learn = Callable[[Row, Label], None]

LARGEST = 1e150  # larger numbers count as missing: their squares would overflow and blind river's statistics for ever


class RiverModel:
    """A river estimator that predicts and learns one row at a time, as dicts of the values present.

    Binary classes are False and True to river, other classes their codes as int. The seed of every part that takes one
    and was given none is `seed`. An anomaly detector scores and then learns each row at PREDICT; labels are ignored.
    Categories: "keep" gives the text, "one-hot" `{"field=value": 1.0}`, "drop" nothing; "auto" keeps texts for trees,
    forests, naive Bayes, rules and ensembles that take them, and is one-hot for all others. Missing values (NaN, inf,
    beyond ± 1e150) are left out. An exception of the estimator is a message, never a failure of the run.
    """

    def __init__(self, model: config.Model, task: config.Task, inputs: Inputs, seed: int) -> None:
        self.outputs = task.max_classes if task.type == "multiclass" else 1
        self._task = task.type
        self._inputs = inputs
        self._build = partial(assembled, model, task, inputs, seed)
        self._rows: dict[int, Row] = {}  # slot → what was predicted and waits for its label
        estimator = self._build()
        # better refused now than at the first snapshot; on a copy, for pickling slows attributes down in CPython 3.11
        restored(saved(self._build()), estimator)
        self._categories = category_form(model, self._build, task, inputs) if inputs.categories else "drop"
        if model.steps or model.sampling:
            check_works(self._build(), task, inputs, self._categories)
        self._use(estimator)

    def run(self, kind: NDArray[np.uint8], slot: Ints, target: Floats, X: Floats, scores: Floats) -> list[Message]:
        """See `ScoringModel.run`; an exception or NaN of the estimator is the message of its operation."""
        predicted, learned = slot[kind == PREDICT], np.flatnonzero(kind == LEARN)
        labels, fits = self._labels(target[learned])
        messages = [(int(i), self._refusal(target[i])) for i in learned[~fits]]
        answers: list[Answer] = []
        done = 0
        if not messages and _are_pairs(kind, slot):
            done = self._run_pairs(self._dicts(X[predicted]), labels, answers, messages)
        if done < len(kind):
            pairs = done // 2
            waiting = predicted[pairs:]
            self._rows.update(zip(waiting.tolist(), self._dicts(X[waiting]), strict=True))
            operations = zip(range(done, len(kind)), kind[done:].tolist(), slot[done:].tolist(), strict=True)
            self._run_each(operations, iter(labels[pairs:]), X, answers, messages)
        if self._task == "anomaly":
            self._rows.clear()
        return sorted(messages + self._write(answers, kind, predicted, scores))

    def _run_pairs(
        self, rows: Iterator[Row], labels: list[Label], answers: list[Answer], messages: list[Message]
    ) -> int:
        """Predicts each row and learns it at once; ends after a row that fails, says how many operations it did."""
        predict, learn, pairs = self._by_pairs(rows)
        answer = answers.append
        try:
            for i, ((asked, taught), label) in enumerate(zip(pairs, labels, strict=True)):  # noqa: B007  (where)
                answer(predict(asked))
                learn(taught, label)
        except Exception as error:  # noqa: BLE001  (any estimator may raise anything)
            failed = i + len(answers)  # row i has its answer already if it was learn that failed
            messages.append((failed, _told(error)))
            if len(answers) > i:
                return failed + 1
            answers.append(None)
            try:
                learn(taught, label)
            except Exception as second:  # noqa: BLE001
                messages.append((failed + 1, _told(second)))
            return failed + 2
        return 2 * len(labels)

    def _by_pairs(self, rows: Iterator[Row]) -> tuple[Ask, Learn, Iterator[tuple[Row, Row]]]:
        """Who predicts and learns, and of each row what they get; in a chain its steps may have learned it by then."""
        chain = chained(self._estimator)
        if self._categories != "keep" and isinstance(chain, Chain) and chain.asked_and_taught is not None:
            predict = _predictor(chain.last, self._task, self.outputs)
            return predict, chain.last.learn_one, map(chain.asked_and_taught, rows)
        return self._predict, self._learn, ((row, row) for row in rows)

    def _run_each(
        self,
        operations: Iterable[tuple[int, int, int]],
        labels: Iterator[Label],
        X: Floats,
        answers: list[Answer],
        messages: list[Message],
    ) -> None:
        """Does (number, kind, slot) one by one, failed ones too; rows wait in `_rows` for their label."""
        rows, predict, learn = self._rows, self._predict, self._learn
        for i, what, where in operations:
            try:
                if what == PREDICT:
                    answers.append(None)
                    answers[-1] = predict(rows[where])
                    continue
                row = rows.pop(where, None)
                if what == LEARN and (label := next(labels)) is not None:
                    learn(next(self._dicts(X[where : where + 1])) if row is None else row, label)
            except Exception as error:  # noqa: BLE001  (any estimator may raise anything)
                messages.append((i, _told(error)))

    def peek(self, X: Floats) -> Floats:
        """See `ScoringModel.peek`; asks a copy, for there are estimators that change when they are asked."""
        estimator = restored(saved(self._estimator), self._estimator)
        asked = estimator.score_one if self._task == "anomaly" else _predictor(estimator, self._task, self.outputs)
        answers: list[Answer] = []
        for row in self._dicts(X):
            try:
                answers.append(asked(row))
            except Exception:  # noqa: BLE001  (any estimator may raise anything; NaN says that there is no score)
                answers.append(None)
        scores = np.full((len(X), self.outputs), math.nan)
        self._write(answers, np.full(len(X), PREDICT, np.uint8), np.arange(len(X)), scores)
        return scores

    def contributions(self, X: Floats) -> tuple[str, Floats] | None:
        """Of linear models, trees and ensembles of trees, alone, in a sampler or behind steps that keep the columns."""
        classes: dict[str, list[Any]] = {"binary": [True], "multiclass": list(range(self.outputs))}
        estimator = self._estimator
        try:
            if isinstance(estimator, LAYERED):
                estimator = restored(saved(estimator), estimator)
            return contributions(
                estimator, list(self._dicts(X)), self._columns(), (X.shape[1], self.outputs), classes.get(self._task)
            )
        except Exception:  # noqa: BLE001  (any estimator may raise anything; None says that it does not tell)
            return None

    def _columns(self) -> dict[str, int]:
        """The input behind each name in the rows that river gets."""
        names, fields = self._inputs.numbers, self._inputs.categories
        columns = {name: j for j, name in enumerate((*names, *fields))}
        for j, (field, texts) in enumerate(zip(fields, self._inputs.vocabulary, strict=True), len(names)):
            columns |= {f"{field}={text}": j for text in texts}
        return columns

    def reset(self) -> None:
        """Starts again with a new estimator of the same seed."""
        self._use(self._build())

    def to_state(self) -> dict[str, Any]:
        """The estimator, pickled; rows that wait are rebuilt from the feature matrix."""
        return {"pickle": saved(self._estimator)}

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from `to_state()`; ValueError if it is damaged or of another kind of estimator."""
        estimator = restored(state["pickle"], self._estimator)
        self._rows.clear()
        self._use(estimator)

    def _use(self, estimator: Any) -> None:
        self._estimator = estimator
        self._learn = _learn_nothing if self._task == "anomaly" else chained(estimator).learn_one
        self._predict = _predictor(estimator, self._task, self.outputs)

    def _labels(self, target: Floats) -> tuple[list[Label], NDArray[np.bool_]]:
        """The targets as river takes them, None where there is nothing to learn; False where one is refused."""
        if self._task == "anomaly":
            return [None] * len(target), np.ones(len(target), np.bool_)
        labels: list[Label] = target.tolist()
        fits = np.abs(target) <= LARGEST
        if self._task == "binary":
            fits = (target == 0) | (target == 1)
            labels = (target == 1).tolist()
        elif self._task == "multiclass":
            fits = (target >= 0) & (target < self.outputs) & (target == np.floor(target))
            labels = np.where(fits, target, 0).astype(int).tolist()
        for i in np.flatnonzero(~fits).tolist():
            labels[i] = None
        return labels, fits

    def _refusal(self, y: float) -> str:
        if self._task == "regression":
            return f"target {y} is not a number to learn from"
        return f"target {y} is not a class code below {2 if self._task == 'binary' else self.outputs}"

    def _dicts(self, X: Floats) -> Iterator[Row]:
        """The rows of a block as river takes them, without the missing values; where it can be, one at a time."""
        names, fields = self._inputs.numbers, self._inputs.categories
        numbers = X[:, : len(names)]
        whole = bool(np.abs(numbers).max(initial=0) <= LARGEST)  # so no NaN too
        if whole and names and (self._categories == "drop" or not fields):
            return map(dict, map(zip, repeat(names), zip(*numbers.T.tolist(), strict=True)))
        rows: list[Row] = [dict(zip(names, row)) for row in numbers.tolist()]  # noqa: B905  (strict: a third slower)
        if not whole:
            for i, j in np.argwhere(~(np.abs(numbers) <= LARGEST)).tolist():
                del rows[i][names[j]]
        if self._categories != "drop":
            for j, field in enumerate(fields, len(names)):
                self._add_category(rows, field, self._inputs.vocabulary[j - len(names)], X[:, j].tolist())
        return iter(rows)

    def _add_category(self, rows: list[Row], field: str, vocabulary: list[str], codes: list[float]) -> None:
        for row, code in zip(rows, codes, strict=True):
            if code == code:  # not NaN
                text = vocabulary[int(code)]
                if self._categories == "keep":
                    row[field] = text
                else:
                    row[f"{field}={text}"] = 1.0

    def _write(self, answers: list[Answer], kind: NDArray[np.uint8], slots: Ints, scores: Floats) -> list[Message]:
        """Puts the answers into the score rows; answers that are no number are NaN and have a message."""
        nothing: Answer = [math.nan] * self.outputs if self._task == "multiclass" else math.nan
        block = np.array([nothing if a is None else a for a in answers], float).reshape(-1, self.outputs)
        broken = ~np.isfinite(block).all(axis=1)
        block[broken] = math.nan
        scores[slots] = block
        if not broken.any():
            return []
        operations = np.flatnonzero(kind == PREDICT)
        return [
            (int(operations[i]), f"the model answered {answers[i]}")
            for i in np.flatnonzero(broken)
            if answers[i] is not None
        ]


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _are_pairs(kind: NDArray[np.uint8], slot: Ints) -> bool:
    """Whether each prediction is followed at once by the label of its row."""
    if len(kind) % 2 or not np.array_equal(slot[::2], slot[1::2]):
        return False
    return bool((kind[::2] == PREDICT).all() and (kind[1::2] == LEARN).all())


def _learn_nothing(_x: Row, _y: Label) -> None:
    """An anomaly detector has learned the row when it scored it."""


def _predictor(estimator: Any, task: str, outputs: int) -> Ask:
    """The row's scores, None where the estimator has nothing to say yet."""
    if task == "anomaly":
        score_one, learn_one = estimator.score_one, estimator.learn_one

        def score(x: Row) -> Answer:
            value = float(score_one(x))
            learn_one(x)
            return value

        return score
    if task == "regression":
        predict_one = chained(estimator).predict_one

        def value(x: Row) -> Answer:
            y = predict_one(x)
            return None if y is None else float(y)

        return value
    probabilities = _probabilities(estimator)

    def positive(x: Row) -> Answer:
        p = probabilities(x)
        share = p.get(True, 0.0)
        return share if share or any(p.values()) else None

    def vector(x: Row) -> Answer:
        p = probabilities(x)
        return [float(p.get(code, 0.0)) for code in range(outputs)] if any(p.values()) else None

    return positive if task == "binary" else vector


def _probabilities(estimator: Any) -> Callable[[Row], dict[Any, float]]:
    """`predict_proba_one`, or all on the predicted class where the classifier has no probabilities."""
    last = last_step(estimator)
    if type(last).predict_proba_one is not base.Classifier.predict_proba_one:
        found: Callable[[Row], dict[Any, float]] = chained(estimator).predict_proba_one
        return found

    def certain(x: Row) -> dict[Any, float]:
        y = estimator.predict_one(x)
        return {} if y is None else {y: 1.0}

    return certain
