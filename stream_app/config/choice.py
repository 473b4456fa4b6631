"""`use = "auto"`: the models that are tried, and how much trying them may cost.

The default sets hold linear models that differ in how fast they learn, and naive Bayes and trees, which find what no
linear model can. Neighbours and forests are not among them: the one that is chosen must keep up with the stream
(docs/auto.md says what an event costs). Name them in `models` where it is slow enough.
"""

from typing import Any

from stream_app.config import Choice, Config, Model
from stream_app.config.reading import Reader

SCALED = "river.preprocessing.StandardScaler"
LINEAR = tuple(Model(use="linear", params={"lr": lr}) for lr in (0.01, 0.1, 0.001, 0.3))
CLASSES = (
    *LINEAR,
    Model(use="naive_bayes"),
    Model(use="hoeffding_tree"),
    Model(use="river.tree.HoeffdingAdaptiveTreeClassifier"),
)
NUMBERS = (
    *LINEAR[:3],
    Model(use=f"{SCALED} | river.tree.HoeffdingTreeRegressor"),
    Model(use=f"{SCALED} | river.tree.HoeffdingAdaptiveTreeRegressor"),
)
DEFAULTS = {"binary": CLASSES, "multiclass": CLASSES, "regression": NUMBERS}

Problems = list[tuple[str, str]]  # path, what is wrong


def choice_of(params: dict[str, Any], task: str, path: str) -> tuple[Choice, Problems]:
    """The set and its budget as `params` tell it, the default set where it names no models; and what is wrong."""
    reader = Reader({})
    read = reader.value(Choice, params, path)
    problems = list(reader.problems)
    if not problems:
        problems += _problems(read, path, given="models" in params)
    if not read.models:
        read = Choice(models=DEFAULTS.get(task, ()), budget=read.budget, memory=read.memory)
    if task not in DEFAULTS:
        problems.append((path, f"auto chooses by labels, and an {task} task is not judged by them; name one model"))
    elif not problems and read.budget < (least := rungs(len(read.models)) * (len(read.models) - 1)):
        problems.append((f"{path}.budget", f"must be at least {least} to try {len(read.models)} models"))
    return read, problems


def rungs(models: int) -> int:
    """How often a set is halved until one is left.

    >>> [rungs(models) for models in (1, 2, 3, 4, 6, 8)]
    [0, 1, 2, 2, 3, 3]
    """
    return (models - 1).bit_length()


def title(model: Model) -> str:
    """A model of a set in a word or two.

    >>> title(Model(use="linear", params={"lr": 0.1}))
    'linear(lr=0.1)'
    >>> engine = {"use": "river.neighbors.LazySearch", "params": {"window_size": 500}}
    >>> use = "river.preprocessing.StandardScaler | river.neighbors.KNNRegressor"
    >>> title(Model(use=use, params={"KNNRegressor": {"engine": engine}}))
    'StandardScaler | KNNRegressor(engine=LazySearch(window_size=500))'
    """
    told = _told(model.use, model.params)
    return told if model.categories == "auto" else f"{told}, categories {model.categories}"


def _told(use: str, params: dict[str, Any]) -> str:
    steps = [step.strip().rpartition(".")[2] for step in use.split("|")]
    of_steps = {step: params.get(step) if len(steps) > 1 else params for step in steps}
    return " | ".join(f"{step}{_listed(given)}" for step, given in of_steps.items())


def _listed(params: Any) -> str:
    if not isinstance(params, dict) or not params:
        return ""
    nested = {name: value for name, value in params.items() if isinstance(value, dict) and "use" in value}
    told = {name: _told(str(value["use"]), value.get("params", {})) for name, value in nested.items()}
    return f"({', '.join(f'{name}={value}' for name, value in (params | told).items())})"


def planned(config: Config) -> dict[str, dict[str, Any]]:
    """The set and the budget of each model of a configuration that is chosen, by the model's name."""
    named = {"champion": config.model} | {challenger.name: challenger for challenger in config.challengers}
    found = {}
    for name, model in named.items():
        if model.use == "auto":
            choice, _ = choice_of(model.params, config.task.type, "")
            models = [title(each) for each in choice.models]
            found[name] = {"models": models, "budget": choice.budget, "memory": choice.memory}
    return found


def _problems(choice: Choice, path: str, *, given: bool) -> Problems:
    found = []
    if given and len(choice.models) < 2:
        few = "one model leaves nothing to choose" if choice.models else "is empty"
        found.append((f"{path}.models", f"{few}; name two or more, or leave it out for the default set"))
    for i, model in enumerate(choice.models):
        if model.use == "auto":
            found.append((f"{path}.models[{i}].use", "auto cannot be one of the models that auto tries"))
        elif model in choice.models[:i]:
            found.append((f"{path}.models[{i}]", f"is the same as models[{choice.models.index(model)}]"))
    if choice.memory < 1:
        found.append((f"{path}.memory", "must be more than 0"))
    return found
