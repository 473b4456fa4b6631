"""A river object made elsewhere, told in the words of a configuration: its `use` and `params`."""

import inspect
import math
from importlib import import_module
from typing import Any

from river import base, compose

from stream_app import config
from stream_app.models.estimators import build, check_fit, kinds, last_step, step_names
from stream_app.models.pickling import dumps, is_river, loads

MISSING = object()


def opened(pickled: bytes, task: config.Task) -> Any:
    """The estimator in a pickle, read by the allow-list; ValueError if it is none, or not one for the task."""
    try:
        estimator = loads(pickled)
    except ValueError as error:
        advice = "write it with stream_app.models.pickling.dumps(model) instead of pickle.dump"
        raise ValueError(f"{error}; {advice}" if "numpy" in str(error) else str(error)) from None
    if not isinstance(estimator, base.Base) or not is_river(type(estimator).__module__):
        raise ValueError(f"the pickle holds {type(estimator).__name__}, which is no river model")
    check_fit(estimator, task.type, type(last_step(estimator)).__name__)
    _check_labels(estimator, task)
    return estimator


def expression(estimator: Any) -> tuple[str, dict[str, Any], list[str]]:
    """`use`, `params` and the parameters that are no plain data; ValueError if no `use` makes such an estimator.

    >>> from river import linear_model, optim, preprocessing
    >>> expression(preprocessing.StandardScaler() | linear_model.LogisticRegression(l2=0.1))[:2]
    ('river.preprocessing.StandardScaler | river.linear_model.LogisticRegression', {'LogisticRegression': {'l2': 0.1}})
    """
    left_out: list[str] = []
    if isinstance(estimator, compose.Pipeline):
        steps = list(estimator.steps.values())
        use = " | ".join(_path(step) for step in steps)
        found = {name: _params(step, left_out) for name, step in zip(step_names(use.split(" | ")), steps, strict=True)}
        params: dict[str, Any] = {name: values for name, values in found.items() if values}
    else:
        use, params = _path(estimator), _params(estimator, left_out)
    try:
        made = build(use, params, 0)
    except ValueError as error:
        raise ValueError(f"no `use` and `params` make such a model: {error}") from None
    if kinds(made) != kinds(estimator):
        raise ValueError(f"no `use` makes such a model: {use} is another; nested pipelines cannot be told")
    return use, params, left_out


def _path(part: Any) -> str:
    """The shortest path at which river offers the class."""
    cls = type(part)
    package = ".".join(cls.__module__.split(".")[:2])
    short = vars(import_module(package)).get(cls.__name__) is cls if is_river(cls.__module__) else False
    return f"{package if short else cls.__module__}.{cls.__name__}"


def _params(part: Any, left_out: list[str]) -> dict[str, Any]:
    """The parameters that are not at their default, as far as they are plain data or river objects made of such."""
    params = {}
    made = _made_of_defaults(type(part))
    for name, parameter in inspect.signature(type(part)).parameters.items():
        value = getattr(part, name, MISSING)
        if value is MISSING or value is parameter.default or parameter.kind is parameter.VAR_KEYWORD:
            continue
        if parameter.kind is parameter.VAR_POSITIONAL and value:
            raise ValueError(f"{type(part).__name__} takes its parts by position, which `params` cannot tell")
        more: list[str] = []
        told = _told(value, more)
        if told is MISSING:
            left_out.append(f"{type(part).__name__}.{name}")
        elif told not in (parameter.default, _told(getattr(made, name, MISSING), [])):
            params[name] = told
            left_out += more
    return params


def _made_of_defaults(cls: Any) -> Any:
    """One without any parameter, None if it needs some."""
    try:
        return cls()
    except TypeError:
        return None


def _told(value: Any, left_out: list[str]) -> Any:
    """The value as a configuration writes it, MISSING if it cannot."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else MISSING
    if isinstance(value, list | tuple):
        items = [_told(item, left_out) for item in value]
        return MISSING if MISSING in items else items
    if isinstance(value, base.Base) and is_river(type(value).__module__):
        try:
            use, params, more = expression(value)
        except ValueError:
            return MISSING
        left_out += more
        return {"use": use, "params": params} if params else use
    return MISSING


def _check_labels(estimator: Any, task: config.Task) -> None:
    """ValueError if it has learned labels of another form than the monitor's: asked for a row without values."""
    if task.type not in ("binary", "multiclass"):
        return
    try:
        answer = loads(dumps(estimator)).predict_proba_one({})
    except Exception:  # noqa: BLE001  (any estimator may raise anything; such a one cannot be asked)
        return
    most = 2 if task.type == "binary" else task.max_classes
    odd = [label for label in answer if not (isinstance(label, bool | int) and 0 <= label < most)]
    if odd:
        wanted = (
            "False and True" if task.type == "binary" else f"class codes 0 … {most - 1}, in the order of the classes"
        )
        raise ValueError(f"the model has learned the label {odd[0]!r}; a {task.type} monitor gives it {wanted}")
