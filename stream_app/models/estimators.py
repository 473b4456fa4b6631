"""River estimators from configuration: import paths and parameter tables become objects."""

import difflib
import inspect
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

from river import base, compose, imblearn

from stream_app.models.pickling import PACKAGES, is_river

SAMPLERS = tuple(getattr(imblearn, name) for name in imblearn.__all__)


class PartError(ValueError):
    """A mistake in a part of the model; `where` is the part's path beneath the model's: `.steps[1].use`."""

    def __init__(self, where: str, reason: object) -> None:
        super().__init__(str(reason))
        self.where = where


def build(use: str, params: dict[str, Any], seed: int) -> Any:
    """The estimator that a path, or paths joined by `|`, names; ValueError says which part is wrong.

    >>> build("river.optim.SGD", {"lr": 0.1}, seed=0).learning_rate
    0.1
    """
    paths = [path.strip() for path in use.split("|")]
    if len(paths) == 1:
        return _make(paths[0], params, seed)
    names = step_names(paths)
    for name, value in params.items():
        if name not in names or not isinstance(value, dict):
            known = ", ".join(names) + near(name, names)
            raise ValueError(f'params of a pipe are tables by step: "{name}" is no table or none of {known}')
    return compose.Pipeline(
        *[(name, _piped(_make(path, params.get(name, {}), seed))) for name, path in zip(names, paths, strict=True)]
    )


def _piped(part: Any) -> Any:
    """A union around a supervised transformer; in river 0.26.1 its work is else left out of what the model learns."""
    return compose.TransformerUnion(part) if isinstance(part, base.SupervisedTransformer) else part


def step_names(paths: list[str]) -> list[str]:
    """The class names, numbered from the second of its kind on, as river names the steps of a pipeline."""
    names: list[str] = []
    for path in paths:
        name = path.rpartition(".")[2]
        again = sum(other.rstrip("0123456789") == name for other in names)
        names.append(f"{name}{again}" if again else name)
    return names


def _make(path: str, params: dict[str, Any], seed: int) -> Any:
    """An instance of the class at `path`, its parameters built first."""
    cls = find(path)
    accepted = inspect.signature(cls).parameters
    open_ended = any(p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in accepted.values())
    for name in params:
        if name not in accepted and not open_ended:
            known = ", ".join(accepted)
            raise ValueError(f'{path} has no parameter "{name}"; known: {known}{near(name, accepted)}')
    values = {name: _value(value, seed) for name, value in params.items()}
    if "seed" in accepted:
        values.setdefault("seed", seed)
    try:
        return cls(*_unnamed(values, accepted), **values)
    except Exception as error:  # any constructor may raise anything
        raise ValueError(f"{path} cannot be made: {error}") from error


def _unnamed(values: dict[str, Any], accepted: Mapping[str, inspect.Parameter]) -> list[Any]:
    """Takes what a class accepts as `*name` out of the values: of a list its items, of a table its pairs."""
    for name, parameter in accepted.items():
        if parameter.kind is parameter.VAR_POSITIONAL and name in values:
            given = values.pop(name)
            return list(given.items()) if isinstance(given, dict) else given if isinstance(given, list) else [given]
    return []


def _value(value: Any, seed: int) -> Any:
    """A parameter: tables with `use` and strings that name a river class become instances."""
    if isinstance(value, list):
        return [_value(item, seed) for item in value]
    if isinstance(value, str) and value.startswith("river."):
        return build(value, {}, seed)
    if isinstance(value, dict) and "use" in value:
        for name in value:
            if name not in ("use", "params"):
                raise ValueError(f'a table with "use" takes "params" besides, not "{name}"')
        use, params = value["use"], value.get("params", {})
        if not isinstance(use, str) or not isinstance(params, dict):
            raise ValueError(f'"use" takes a path and "params" a table, not {use!r} and {params!r}')
        return build(use, params, seed)
    if isinstance(value, dict):
        return {name: _value(item, seed) for name, item in value.items()}
    return value


def find(path: str) -> type:
    """The river class at an import path."""
    module_path, _, name = path.rpartition(".")
    if not path.startswith("river."):
        raise ValueError(f'"{path}" is not a river class; only paths that begin with "river." may be imported')
    if not is_river(module_path):
        packages = [f"river.{package}" for package in PACKAGES if not package.startswith("_")]
        raise ValueError(f'"{module_path}" is not one of river\'s packages of models{near(module_path, packages)}')
    try:
        module = import_module(module_path)
    except ImportError as error:
        raise ValueError(f'"{module_path}" cannot be imported: {error}') from error
    public = [name for name, found in vars(module).items() if _is_part(found) and not name.startswith("_")]
    if name not in public:
        raise ValueError(f'{module_path} has no class "{name}"{near(name, public)}')
    found: type = vars(module)[name]
    if inspect.isabstract(found):
        raise ValueError(f"{path} is an abstract base, not a model")
    return found


def _is_part(found: object) -> bool:
    """River classes only: models and what models are made of."""
    return isinstance(found, type) and issubclass(found, base.Base) and is_river(found.__module__)


def near(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f', did you mean "{close[0]}"?' if close else ""


def last_step(estimator: Any) -> Any:
    """The estimator itself, the one at the end of the pipe, or the one in a sampler."""
    if isinstance(estimator, compose.Pipeline):
        return last_step(list(estimator.steps.values())[-1])
    if isinstance(estimator, SAMPLERS):
        return last_step(estimator._wrapped_model)  # noqa: SLF001  (river's own name for it)
    return estimator


def kinds(estimator: Any) -> list[type]:
    """The class of the estimator, or of each step of the pipe."""
    if isinstance(estimator, compose.Pipeline):
        return [kind for step in estimator.steps.values() for kind in kinds(step)]
    return [type(estimator)]


def check_fit(estimator: Any, task: str, use: str) -> None:
    """ValueError if the estimator does not do the task."""
    last: Any = last_step(estimator)
    name = type(last).__name__
    kinds: tuple[type, ...] = (base.Classifier,)
    if task == "regression":
        kinds = (base.Regressor,)
    elif task == "anomaly":
        kinds = (base.AnomalyDetector, base.AnomalyFilter)
    if isinstance(last, base.MultiLabelClassifier | base.MultiTargetRegressor) or not isinstance(last, kinds):
        wanted = {"regression": "a regressor", "anomaly": "an unsupervised anomaly detector"}.get(task, "a classifier")
        raise ValueError(f"{use}: task {task} needs {wanted}, {name} is none")  # noqa: TRY004  (a wrong value of a config)
    if task == "multiclass" and not last_step(estimator)._multiclass:  # noqa: SLF001  (river's own flag, there is no public one)
        raise ValueError(f"{use}: {name} knows two classes only; wrap it in river.multiclass.OneVsRestClassifier")
