"""A trained model as a document that other programs can write and read: export it here, load it there.

An artefact is one JSON object (UTF-8), the same for a model that this monitor trained and for one from outside:

    {"artefact": 1,                     version of the format
     "use": "linear",                   or another compiled model, "onnx", or a river class (or pipe of them)
     "params": {…},                     as in a configuration
     "task": "binary",                  must be the monitor's
     "classes": ["0", "1"],             texts of the classes: binary (negative, positive); else in the model's order
     "inputs": {"numbers": […], "categories": […]},
     "state": {…},                      what was learned: by names (`NAMED`), or {"onnx": base64}, or {"pickle": …}
     "about": {…}}                      anything, for people: who trained it, when, on what

Categories and classes are matched by their text, for codes differ between monitors. What a monitor does not know yet
is left out, and `Loaded` tells. Only the state of a river model is a program (a pickle): `edges.artefacts` wants it
signed.
"""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import msgspec

from stream_app import config
from stream_app.config.reading import nearest
from stream_app.models import (
    Inputs,
    ScoringModel,
    bayes_names,
    chooses,
    linear_names,
    make_model,
    tree_names,
    tree_reading,
)
from stream_app.models.document import FORMAT, MAX_BYTES, Document, Names, bounded, decoded, encoded, state_as

NAMED: dict[str, tuple[Any, Any, Any]] = {  # how each compiled model is written, and read
    "linear": (linear_names.State, linear_names.to_names, linear_names.from_names),
    "naive_bayes": (bayes_names.State, bayes_names.to_names, bayes_names.from_names),
    "hoeffding_tree": (tree_names.State, tree_names.to_names, tree_reading.from_names),
}
CODED = ("binary", "multiclass")  # tasks whose labels are classes


class OnnxState(msgspec.Struct, forbid_unknown_fields=True):
    """An ONNX file as it is."""

    onnx: bytes


class RiverState(msgspec.Struct, forbid_unknown_fields=True):
    """A pickled river estimator, and the river that wrote it."""

    river: str
    pickle: bytes


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model made from an artefact, and what of the two did not meet."""

    model: config.Model
    scoring: ScoringModel
    unknown: dict[str, tuple[str, ...]]  # category field → texts that this monitor has not seen: left out
    unknown_classes: tuple[str, ...]  # classes that this monitor has not seen: left out
    unused: tuple[str, ...]  # inputs of this monitor that the model does not know
    about: dict[str, Any]

    def told(self) -> list[str]:
        """What was left out, in sentences for people; empty if all fits."""
        unseen = "left out, for not seen here yet"
        said = [
            f"{unseen}: {len(texts)} of its categories of {field}: {_some(texts)}"
            for field, texts in self.unknown.items()
        ]
        if self.unknown_classes:
            said.append(f"{unseen}: {len(self.unknown_classes)} of its classes: {_some(self.unknown_classes)}")
        if self.unused:
            said.append(f"not used by it: {len(self.unused)} of this monitor's inputs: {_some(self.unused)}")
        return said


def fresh(model: config.Model, task: config.Task, inputs: Inputs, seed: int) -> ScoringModel:
    """A model to `load` a state into: as `make_model`, and for "onnx" one that predicts nothing until then."""
    if model.use != "onnx":
        return make_model(model, task, inputs, seed)
    from stream_app.models.onnx_model import OnnxModel  # noqa: PLC0415  (onnxruntime is an extra)

    return OnnxModel(model.params, task, inputs)


def export(
    model: config.Model,
    scoring: ScoringModel,
    task: config.Task,
    inputs: Inputs,
    classes: list[str],
    about: dict[str, Any] | None = None,
) -> bytes:
    """The artefact of a model as it is now; `classes[code]` are the texts of the classes that the monitor knows.

    >>> inputs = Inputs(("delay",), (), 8, [])
    >>> task, model = config.Task(), config.Model()
    >>> document = export(model, fresh(model, task, inputs, 0), task, inputs, ["0", "1"])
    >>> load(document, task, inputs, ["0", "1"], 0).told()
    []
    """
    if chooses(scoring):
        model, scoring = scoring.leading()
    names, state = Names(inputs.numbers, inputs.categories), scoring.to_state()
    known = tuple(classes) if task.type in CODED else ()
    learned: msgspec.Struct
    if model.use in NAMED:
        learned, known = NAMED[model.use][1](state, task, inputs, known)
    elif model.use == "onnx":
        names, known = Names(tuple(state["numbers"]), tuple(state["categories"])), tuple(state["classes"])
        learned = OnnxState(state["onnx"])
    else:
        learned = RiverState(_river_version(), state["pickle"])
    return _written(model, task, names, known, learned, about or {})


def load(document: bytes, task: config.Task, inputs: Inputs, classes: list[str], seed: int) -> Loaded:
    """The model of an artefact, ready to run in this monitor; ValueError says where it does not fit and what to do.

    Of a river model the pickle is opened (by `models.pickling`): let `edges.artefacts.verified` see it before.
    """
    found = decoded(document)
    if found.task != task.type:
        raise ValueError(f"$.task: the model is for a {found.task} task, this monitor's is {task.type}")
    _check_inputs(found.inputs, inputs)
    if found.use in NAMED:
        return _load_named(found, task, inputs, classes)
    if found.use == "onnx":
        return _load_onnx(found, task, inputs, classes)
    return _load_river(found, task, inputs, classes, seed)


def from_onnx(
    onnx: bytes, task: config.Task, inputs: Inputs, classes: list[str], params: dict[str, Any] | None = None
) -> bytes:
    """The artefact of a bare ONNX file: its columns are the monitor's inputs, its probabilities the known classes.

    scikit-learn sorts its classes: write the document yourself, with `classes` in the model's order, where the
    configuration has them in another.
    """
    from stream_app.models.onnx_file import check  # noqa: PLC0415  (onnx is an extra)

    check(bounded(onnx, MAX_BYTES * 3 // 4))  # base64 makes 4 bytes out of 3
    model, names = config.Model(use="onnx", params=params or {}), Names(inputs.numbers, inputs.categories)
    return _written(model, task, names, tuple(classes) if task.type in CODED else (), OnnxState(onnx), {})


def from_river(pickled: bytes, task: config.Task, inputs: Inputs, classes: list[str]) -> bytes:
    """The artefact, unsigned, of a river object that `pickle.dump` or `models.pickling.dumps` wrote.

    `use` and `params` are read off the object; what of its parameters is no plain data stands in
    `about.parameters_left_out`. Binary classes must have been learned as False and True, others as their codes.
    """
    from stream_app.models.pickling import dumps  # noqa: PLC0415  (importing river takes a second)
    from stream_app.models.river_names import expression, opened  # noqa: PLC0415

    estimator = opened(bounded(pickled, MAX_BYTES * 3 // 4), task)
    use, params, left_out = expression(estimator)
    model, names = config.Model(use=use, params=params), Names(inputs.numbers, inputs.categories)
    about = {"parameters_left_out": left_out} if left_out else {}
    state = RiverState(_river_version(), dumps(estimator))
    return _written(model, task, names, tuple(classes) if task.type in CODED else (), state, about)


def _written(
    model: config.Model,
    task: config.Task,
    names: Names,
    classes: tuple[str, ...],
    learned: msgspec.Struct,
    about: dict[str, Any],
) -> bytes:
    return encoded(
        Document(
            artefact=FORMAT,
            use=model.use,
            params=model.params,
            categories=model.categories,
            steps=model.steps,
            sampling=model.sampling,
            task=task.type,
            classes=classes,
            inputs=names,
            state=msgspec.Raw(msgspec.json.encode(learned)),
            about=about,
        )
    )


def _check_inputs(names: Names, inputs: Inputs) -> None:
    """ValueError if the model takes what the monitor does not have."""
    for kind, wanted, known in (
        ("number", names.numbers, inputs.numbers),
        ("category", names.categories, inputs.categories),
    ):
        missing = [name for name in wanted if name not in known]
        if missing:
            has = ", ".join(known) or "none"
            advice = "add them to [schema.fields] or [[features]], or train without them"
            near = nearest(missing[0], known)
            path = "$.inputs.numbers" if kind == "number" else "$.inputs.categories"
            raise ValueError(f"{path}: this monitor has no {kind} {', '.join(missing)}{near}; it has: {has}; {advice}")
        if len(set(wanted)) < len(wanted):
            raise ValueError(f"$.inputs: a {kind} stands there twice")


def _load_named(found: Document, task: config.Task, inputs: Inputs, classes: list[str]) -> Loaded:
    _check_two(found, task, classes)
    model, (form, _, from_names) = config.Model(use=found.use, params=found.params), NAMED[found.use]
    try:
        scoring = make_model(model, task, inputs, 0)
    except ValueError as error:
        raise ValueError(f"$.params: {error}") from None
    state, unknown = from_names(state_as(found, form), found, inputs, classes, scoring.outputs)
    scoring.load(scoring.to_state() | state)  # the counts of class_weight = "balanced" begin anew
    foreign = tuple(text for text in found.classes if text not in classes) if task.type == "multiclass" else ()
    return Loaded(model, scoring, unknown, foreign, _unused(found, inputs), found.about)


def _load_onnx(found: Document, task: config.Task, inputs: Inputs, classes: list[str]) -> Loaded:
    model = config.Model(use="onnx", params=found.params)
    texts = found.classes or (tuple(task.classes or classes) if task.type in CODED else ())
    _check_two(found, task, classes)
    if task.type == "multiclass" and not texts:
        raise ValueError("$.classes: name the classes in the order of the model's probabilities")
    state = {
        "onnx": state_as(found, OnnxState).onnx,
        "numbers": list(found.inputs.numbers),
        "categories": list(found.inputs.categories),
        "classes": list(texts),
        "codes": [classes.index(text) if text in classes else -1 for text in texts],
    }
    scoring = fresh(model, task, inputs, 0)
    scoring.load(state)
    foreign = tuple(text for text in texts if text not in classes)
    return Loaded(model, scoring, {}, foreign, _unused(found, inputs), found.about)


def _load_river(found: Document, task: config.Task, inputs: Inputs, classes: list[str], seed: int) -> Loaded:
    _check_order(found, task, classes)
    model = config.Model(
        use=found.use, params=found.params, categories=found.categories, steps=found.steps, sampling=found.sampling
    )
    try:
        scoring = make_model(model, task, inputs, seed)
    except ValueError as error:
        raise ValueError(f"$.use: {error}") from None
    saved = state_as(found, RiverState)
    if saved.river != _river_version():
        versions = f"the model was saved by river {saved.river}, {_river_version()} is installed"
        raise ValueError(f"$.state.river: {versions}: install river=={saved.river} there and here")
    try:
        scoring.load({"pickle": saved.pickle})
    except ValueError as error:
        raise ValueError(f"$.state.pickle: {error}") from None
    return Loaded(model, scoring, {}, (), _unused(found, inputs), found.about)


def _check_two(found: Document, task: config.Task, classes: list[str]) -> None:
    """ValueError if the two classes are others; which of them comes first does not matter."""
    if task.type == "binary" and found.classes and sorted(found.classes) != sorted(classes):
        here = f"this monitor's are {_some(tuple(classes))}: set task.classes, or train with these labels"
        raise ValueError(f"$.classes: the model tells {_some(found.classes)} apart, {here}")


def _check_order(found: Document, task: config.Task, classes: list[str]) -> None:
    """ValueError if the codes that a river model has learned stand for other classes here."""
    texts = list(found.classes)
    here = classes if task.type == "binary" else classes[: len(texts)]
    if task.type in CODED and texts and texts != here:
        order = f"the model was trained for the classes {_some(found.classes)}, in this order; here they are"
        raise ValueError(f"$.classes: {order} {_some(tuple(here))}: set task.classes alike")


def _unused(found: Document, inputs: Inputs) -> tuple[str, ...]:
    used = {*found.inputs.numbers, *found.inputs.categories}
    return tuple(name for name in (*inputs.numbers, *inputs.categories) if name not in used)


def _some(texts: tuple[str, ...]) -> str:
    """The first of many."""
    return ", ".join(texts[:10]) + (", …" if len(texts) > 10 else "")


def _river_version() -> str:
    return version("river")
