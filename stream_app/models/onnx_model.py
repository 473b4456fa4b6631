"""`use = "onnx"`: a model trained elsewhere that scores and does not learn, run by onnxruntime."""

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_app import config
from stream_app.messages import Floats, Ints
from stream_app.models import PREDICT, Inputs
from stream_app.models.onnx_file import check, library

FLOATS: dict[str, Any] = {"tensor(float)": np.float32, "tensor(double)": np.float64}
TEXT = "tensor(string)"
SLACK = 1e-6  # a probability summed in float32 may lie so far outside of 0 … 1

Feeds = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Feed:
    """One input of the ONNX file: what it is called, and the columns of a row that it takes."""

    name: str
    dtype: Any  # None: texts
    columns: tuple[int, ...]
    shape: tuple[int, ...]


class OnnxModel:
    """A frozen model: PREDICT computes, LEARN and FORGET do nothing, and there is nothing that a reset could forget.

    Inputs: a column of its own for each input of the file that is named like a monitor's (float or double for numbers,
    string for categories; `[n, 1]` or `[n]`, other signs than letters and digits may be `_`), and one matrix `[n, k]`
    of floats, of strings, or of each, for all others in the artefact's order. A missing number is NaN, a missing
    category the empty text. Output: the probabilities of the classes, in the artefact's order (or of the second alone),
    or the value of a regression. An answer that is NaN, or no probability, is no prediction and a message.

    Parameters: input, output: names of the matrix and of the output where they are not plain. Each row is a call of its
    own on one thread: kernels may round otherwise when they get several rows. Some 20 to 50 µs a row.
    """

    def __init__(self, params: dict[str, Any], task: config.Task, inputs: Inputs) -> None:
        for name, value in params.items():
            if name not in ("input", "output") or not isinstance(value, str):
                raise ValueError(f'an "onnx" model takes params input and output, names; not {name} = {value!r}')
        if task.type == "anomaly":
            raise ValueError('an "onnx" model does not do task anomaly; it does binary, multiclass and regression')
        library("onnxruntime")
        self.outputs = task.max_classes if task.type == "multiclass" else 1
        self._task, self._inputs, self._params = task.type, inputs, params
        self._state: dict[str, Any] = {}
        self._session: Any = None
        self._feeds: list[Feed] = []
        self._output = ""

    def run(
        self, kind: NDArray[np.uint8], slot: Ints, target: Floats, X: Floats, scores: Floats
    ) -> list[tuple[int, str]]:
        """See `ScoringModel.run`; labels are not looked at."""
        del target
        messages = []
        for i in np.flatnonzero(kind == PREDICT).tolist():
            row, out = X[slot[i]], scores[slot[i]]
            out[:] = math.nan
            if self._session is not None and (message := self._predict(row, out)):
                messages.append((i, message))
        return messages

    def peek(self, X: Floats) -> Floats:
        """See `ScoringModel.peek`."""
        scores = np.full((len(X), self.outputs), math.nan)
        self.run(np.full(len(X), PREDICT, np.uint8), np.arange(len(X)), np.full(len(X), math.nan), X, scores)
        return scores

    def contributions(self, X: Floats) -> None:
        """An ONNX file does not tell."""

    def reset(self) -> None:
        """Nothing was learned here."""

    def to_state(self) -> dict[str, Any]:
        """The file, the inputs it takes in their order, its classes and the code of each here (-1: none)."""
        return dict(self._state)

    def load(self, state: dict[str, Any]) -> None:
        """Goes on with the file in `state`; ValueError if this monitor cannot run it."""
        if not state:
            self._state, self._session = {}, None
            return
        check(state["onnx"])
        session = _session(state["onnx"])
        places = {name: j for j, name in enumerate((*self._inputs.numbers, *self._inputs.categories))}
        taken = [[(name, places[name]) for name in state[part]] for part in ("numbers", "categories")]
        feeds = _layout(session.get_inputs(), self._params.get("input"), *taken)
        output = _output(session.get_outputs(), self._params.get("output"))
        _try(session, output, feeds, self._inputs, len(state["classes"]))
        self._state, self._session, self._feeds, self._output = state, session, feeds, output

    def _predict(self, row: Floats, out: Floats) -> str:
        """Writes the scores of one row; else says what went wrong."""
        try:
            feeds = {feed.name: _fed(feed, row, self._inputs) for feed in self._feeds}
            answer = np.asarray(self._session.run([self._output], feeds)[0], np.float64).ravel()
        except Exception as error:  # noqa: BLE001  (any kernel may refuse any value)
            return _said(error)
        if not np.isfinite(answer).all():
            return f"the model answered {answer.tolist()}"
        if self._task == "regression":
            out[0] = answer[0]
            return ""
        if answer.min() < -SLACK or answer.max() > 1 + SLACK:
            return f"the model answered {answer.tolist()}, which are no probabilities"
        self._write(np.clip(answer, 0, 1), out)
        return ""

    def _write(self, shares: Floats, out: Floats) -> None:
        codes = self._state["codes"]
        if len(shares) == 1:  # of the second class
            shares = np.array([1 - shares[0], shares[0]])
        if self._task == "binary":
            out[0] = shares[codes.index(1)]
            return
        out[:] = 0
        for code, share in zip(codes, shares.tolist(), strict=True):
            if code >= 0:
                out[code] = share


def _session(data: bytes) -> Any:
    """One thread, no optimizations that depend on the machine beyond the kernels themselves, nothing printed."""
    onnxruntime = library("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(data, options, ["CPUExecutionProvider"], enable_fallback=0)  # 1 prints
    except Exception as error:  # noqa: BLE001  (any file may come)
        raise ValueError(f"onnxruntime cannot run the file: {_said(error)}") from None


def _said(error: Exception) -> str:
    """The end of what onnxruntime says: there stands the reason, behind the signature of its function."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= 240 else '… ' + text[-240:]}"


def _layout(given: list[Any], matrix: str | None, numbers: list[Any], categories: list[Any]) -> list[Feed]:
    """What each input of the file takes; `numbers` and `categories` are (name, column) in the artefact's order."""
    feeds: list[Feed] = []
    rest: dict[bool, list[Any]] = {True: [], False: []}  # matrices, of texts or of numbers
    for each in given:
        if each.type != TEXT and each.type not in FLOATS:
            raise ValueError(f'input "{each.name}" takes {each.type}; declare it float, double or string')
        if len(each.shape) not in (1, 2) or (isinstance(each.shape[0], int) and each.shape[0] != 1):
            raise ValueError(f'input "{each.name}" has the shape {each.shape}; it must be [n, columns] for any n')
        text = each.type == TEXT
        own = [column for name, column in (categories if text else numbers) if _alike(name, each.name)]
        if len(own) == 1 and each.name != matrix and each.shape[1:] in ([], [1]):
            feeds.append(_feed(each, own))
        else:
            rest[text].append(each)
    taken = {feed.columns[0] for feed in feeds}
    for text, matrices in rest.items():
        free = [column for _, column in (categories if text else numbers) if column not in taken]
        for each in matrices:
            _check_matrix(each, len(free), len(matrices), "categories" if text else "numbers")
            feeds.append(_feed(each, free))
    return feeds


def _check_matrix(each: Any, free: int, matrices: int, what: str) -> None:
    """ValueError if an input that is named like none of the monitor's cannot take all that are left."""
    width = each.shape[1] if len(each.shape) == 2 else 1
    if matrices > 1 or free == 0:
        raise ValueError(f'input "{each.name}" is named like none of the {what} that the artefact lists')
    if isinstance(width, int) and width != free:
        raise ValueError(f'input "{each.name}" takes {width} {what}, the artefact lists {free} for it')


def _feed(each: Any, columns: list[int]) -> Feed:
    shape = (1, len(columns)) if len(each.shape) == 2 else (1,)
    return Feed(each.name, FLOATS.get(each.type), tuple(columns), shape)


def _alike(name: str, other: str) -> bool:
    """Whether a name of the file means an input: exporters write `_` for what is no letter."""
    return other in (name, re.sub(r"\W", "_", name))


def _output(given: list[Any], name: str | None) -> str:
    """The output to read: the one asked for, or the only one of floats."""
    found = [each for each in given if each.type in FLOATS and name in (None, each.name)]
    if len(found) == 1:
        return str(found[0].name)
    listed = ", ".join(f"{each.name} ({each.type})" for each in given)
    if any(each.type.startswith("seq(map(") for each in given):
        raise ValueError(f"the probabilities come as maps: export with options={{'zipmap': False}}; outputs: {listed}")
    raise ValueError(f"name the output of floats in params.output; outputs: {listed}")


def _fed(feed: Feed, row: Floats, inputs: Inputs) -> NDArray[Any]:
    """The values of one input for one row."""
    values = row[list(feed.columns)]
    if feed.dtype is not None:
        usable = np.abs(values) <= np.finfo(feed.dtype).max
        return np.where(usable, values, math.nan).astype(feed.dtype).reshape(feed.shape)
    texts = inputs.vocabulary
    first = len(inputs.numbers)
    found = [
        texts[column - first][int(code)] if code == code else ""
        for column, code in zip(feed.columns, values.tolist(), strict=True)
    ]
    return np.array(found, object).reshape(feed.shape)


def _try(session: Any, output: str, feeds: list[Feed], inputs: Inputs, classes: int) -> None:
    """ValueError unless the file answers a row of zeros and missing categories in the expected form."""
    row = np.concatenate([np.zeros(len(inputs.numbers)), np.full(len(inputs.categories), math.nan)])
    try:
        answer = np.asarray(session.run([output], {feed.name: _fed(feed, row, inputs) for feed in feeds})[0])
    except Exception as error:  # noqa: BLE001  (any kernel may refuse any value)
        advice = 'encode categories so that unknown ones pass, as OneHotEncoder(handle_unknown="ignore") does'
        raise ValueError(f"the file does not answer a row of zeros and empty texts: {_said(error)}; {advice}") from None
    fits = answer.size == max(1, classes) or (classes == 2 and answer.size == 1)
    if not fits:
        wanted = f"{classes} probabilities" if classes else "one value"
        raise ValueError(f'output "{output}" gives {answer.size} values for a row, not {wanted}')
