"""A river model as `[model]` asks for it: the estimator, the sampler around it, the steps before it; and its trial."""

from collections.abc import Callable
from typing import Any

from stream_app import config
from stream_app.models import Inputs
from stream_app.models.estimators import PartError, build, check_fit
from stream_app.models.sampling import sampled
from stream_app.models.steps import CATEGORY, Prepared, Row, prepared

TEXT_PACKAGES = ("tree", "forest", "naive_bayes", "rules", "ensemble")  # take a text as a nominal value
TEXTS = "ababababc"  # of the rows of a trial


def assembled(model: config.Model, task: config.Task, inputs: Inputs, seed: int) -> Any:
    """The whole estimator, new; ValueError says what is wrong, and as PartError in which part."""
    estimator = build(model.use, model.params, seed)
    check_fit(estimator, task.type, model.use)
    if model.sampling is not None:
        estimator = sampled(estimator, model.sampling, task, seed)
    return prepared(estimator, model.steps, inputs, seed) if model.steps else estimator


def category_form(model: config.Model, make: Callable[[], Any], task: config.Task, inputs: Inputs) -> str:
    """How category fields reach the estimator: as `categories` says; for "auto" a new one is tried with texts."""
    form = model.categories
    if form == "auto":
        form = "keep" if _takes_texts(model, make(), task, inputs) else "one-hot"
    estimator = make()
    for i, step in enumerate(estimator.steps if isinstance(estimator, Prepared) and form != "keep" else ()):
        if step.kinds == {CATEGORY} or step.names & set(inputs.categories):
            why = f'categories = "{form}"'
            if model.categories == "auto":
                why = "all are one-hot encoded before, since without it some would reach the model as texts"
            raise PartError(f".steps[{i}]", f"there are no categories left for this step: {why}")
    return form


def check_works(estimator: Any, task: config.Task, inputs: Inputs, form: str) -> None:
    """PartError if a new estimator with steps or a sampler fails on each row of a trial; uses it up."""
    rows = _trial_rows(inputs, form)
    errors = _errors(estimator, rows, task.type)
    if len(errors) == len(rows):
        where = ".steps" if isinstance(estimator, Prepared) else ".sampling"
        raise PartError(where, f"the model fails with it on every row: {type(errors[0]).__name__}: {errors[0]}")


def _takes_texts(model: config.Model, estimator: Any, task: config.Task, inputs: Inputs) -> bool:
    """Whether texts among the values are learned: some models of a package do and some do not. Uses it up."""
    rows = _trial_rows(inputs, "keep")
    if _errors(estimator, rows, task.type):
        return False
    if isinstance(estimator, Prepared):
        left = [value for row in rows for value in estimator.transform_one(row).values()]
        if not any(isinstance(value, str) for value in left):
            return True
    return all(step.strip().split(".")[1] in TEXT_PACKAGES for step in model.use.split("|"))


def _errors(estimator: Any, rows: list[Row], task: str) -> list[Exception]:
    """Asks and teaches row by row; at most one exception of each."""
    found: list[Exception] = []
    for i, row in enumerate(rows):
        try:
            if task == "anomaly":
                estimator.score_one(row)
                estimator.learn_one(row)
            else:
                estimator.predict_one(row)
                estimator.learn_one(row, {"binary": bool(i % 2), "multiclass": i % 2}.get(task, float(i % 2)))
        except Exception as error:  # noqa: BLE001  (any estimator may raise anything)
            found.append(error)
    return found


def _trial_rows(inputs: Inputs, form: str) -> list[Row]:
    rows: list[Row] = []
    for i, text in enumerate(TEXTS):
        row: Row = {name: float((i + j) % 3) for j, name in enumerate(inputs.numbers)}
        if form == "keep":
            row |= dict.fromkeys(inputs.categories, text)
        elif form == "one-hot":
            row |= {f"{field}={text}": 1.0 for field in inputs.categories}
        rows.append(row)
    return rows
