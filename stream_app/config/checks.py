"""What must hold across the tree of a configuration, beyond the type of each value: references, units, fits.

Each check yields (path, what is wrong and what to do) and goes on; none raises, whatever the tree holds.
"""

import re
from typing import TYPE_CHECKING

from stream_app.config.ab import check_ab
from stream_app.config.reading import child, nearest, quoted, unknown
from stream_app.config.retraining import check_retrain
from stream_app.config.watched import Signal
from stream_app.config.watches import Found, check_grouping, check_unique, check_watches

if TYPE_CHECKING:  # the package imports this file
    from stream_app.config import Config, Feature, Model

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_MODEL_PATH = re.compile(r"river(\.[A-Za-z_][A-Za-z0-9_]*){2,}")
_CLASSIFIERS = ("naive_bayes", "hoeffding_tree")  # compiled
TOPICS = (
    *("events", "labels", "control", "predictions", "outcomes", "metrics", "alerts", "triggers", "features"),
    *("dead-letters", "models", "archive", "audit", "panes", "commits", "snapshots"),
    "undelivered",  # only where there are receivers
)
_NO_SOURCE_OF = ("count", "rate", "target_mean")  # statistics that need no `of`


def check(config: "Config", watched: list[Signal]) -> Found:
    """Every problem of a tree that was read, in the order of its sections."""
    yield from _named("$.name", config.name)
    yield from _sources(config)
    yield from _kafka(config)
    yield from _roles(config)
    yield from _fields(config)
    yield from _task(config)
    yield from _features(config)
    yield from _models(config)
    yield from check_watches(config, watched)
    yield from _numbers(config)
    yield from check_retrain(config, watched)
    yield from check_ab(config)


def _named(path: str, name: str) -> Found:
    if not _NAME.fullmatch(name):
        yield path, f"bad name {quoted(name)}; use letters, digits, _ . and - only"


def _sources(config: "Config") -> Found:
    source = config.source
    if source is None:
        return
    if source.labels is not None and config.schema.id is None:
        yield "$.source.labels", "labels from a second stream need schema.id, which says to which event a label belongs"
    if source.labels == "-":
        yield "$.source.labels", 'only events can come from standard input ("-"); name a file'
    if source.delimiter is not None and (len(source.delimiter) != 1 or source.delimiter in '\r\n"'):
        yield "$.source.delimiter", f"expected one character, got {quoted(source.delimiter)}"
    if source.max_record_bytes <= 0:
        yield "$.source.max_record_bytes", "must be more than 0"


def _kafka(config: "Config") -> Found:
    kafka = config.kafka
    if kafka is None:
        return
    for stream, topic in kafka.topics.items():
        path = child("$.kafka.topics", stream)
        if stream not in TOPICS:
            yield path, unknown("stream", stream, TOPICS)
        if not _NAME.fullmatch(topic) or len(topic) > 249:
            yield path, f"bad topic {quoted(topic)}; use up to 249 letters, digits, _ . and -"
    yield from check_unique("$.kafka.topics[{}]", kafka.topics.values())
    if kafka.labels and config.schema.id is None:
        yield "$.kafka.labels", "labels in a topic of their own need schema.id, which says to which event one belongs"
    if kafka.labels and config.schema.label is None:
        yield "$.kafka.labels", "there is no schema.label for labels to bring"
    for name in ("partitions", "replication", "retention_ms", "snapshot_ms", "max_wait_ms", "session_ms"):
        if getattr(kafka, name) <= 0:
            yield f"$.kafka.{name.removesuffix('_ms')}", "must be more than 0"
    security = kafka.security
    if security is not None and security.protocol != "SSL" and not (security.username and security.password):
        yield "$.kafka.security", f"{security.protocol} needs a username and a password"
    if security is not None and (security.cert_file is None) != (security.key_file is None):
        yield "$.kafka.security", "cert_file and key_file belong together: name both or neither"


def _roles(config: "Config") -> Found:
    schema = config.schema
    roles = {"id": schema.id, "time": schema.time, "key": schema.key, "label": schema.label}
    roles["label_time"] = schema.label_time
    for role, column in roles.items():
        if column == "":
            yield f"$.schema.{role}", "is empty; name a column or leave it out"
    if schema.label is not None:
        for role in ("id", "time", "key"):
            if roles[role] == schema.label:
                yield "$.schema.label", f"{quoted(schema.label)} is also schema.{role}; the model would see the answer"
    if schema.label_time is not None and schema.label is None:
        yield "$.schema.label_time", "there is no schema.label whose time it could be"
    if schema.label_time is not None and schema.time is None:
        yield "$.schema.label_time", "no time: the time of a label needs schema.time, the time of its event"
    key = schema.fields.get(schema.key or "")
    if key is not None and key.type == "number":
        yield "$.schema.key", f"{quoted(schema.key)} is a number field; it must be a category"


def _fields(config: "Config") -> Found:
    schema = config.schema
    if not schema.fields:
        yield "$.schema.fields", "is empty; name at least one column"
    for name, field in schema.fields.items():
        path = child("$.schema.fields", name)
        if name in ("", "*"):
            yield path, "a field needs a name other than * and the empty one"
        if name == schema.label and field.input:
            yield path, "is the label: the model would see the answer; leave it out or set input = false"
        if field.min is not None and field.max is not None and field.min > field.max:
            yield f"{path}.min", f"{field.min:g} is more than max, {field.max:g}"
        if field.type == "category" and (field.min is not None or field.max is not None):
            yield f"{path}.{'min' if field.min is not None else 'max'}", "a category has no range; use values"
        if field.values is not None:
            if field.type == "number":
                yield f"{path}.values", "a number has no list of values; use min and max"
            if not field.values:
                yield f"{path}.values", "is empty, so every record would be a dead letter; leave it out to allow all"
            yield from check_unique(f"{path}.values[{{}}]", field.values)
    if schema.fields and not any(field.input for field in schema.fields.values()) and not config.features:
        yield "$.schema.fields", "every field has input = false: nothing is left for the model"


def _task(config: "Config") -> Found:
    task = config.task
    if config.schema.label is None and task.type != "anomaly":
        yield "$.schema.label", f'missing: a {task.type} task needs labels; without them use task.type = "anomaly"'
    if task.classes and task.type in ("regression", "anomaly"):
        yield "$.task.classes", f"a {task.type} task has no classes; remove them"
    if task.classes and task.type == "binary" and len(task.classes) != 2:
        yield "$.task.classes", f"a binary task has two, (negative, positive), got {len(task.classes)}"
    if len(task.classes) > task.max_classes:
        yield "$.task.classes", f"{len(task.classes)} classes are more than max_classes, {task.max_classes}"
    yield from check_unique("$.task.classes[{}]", task.classes)
    if task.max_classes < 2:
        yield "$.task.max_classes", "must be at least 2"
    if task.label_timeout_ms <= 0:
        yield "$.task.label_timeout", "must be more than 0"


def _features(config: "Config") -> Found:
    for i, feature in enumerate(config.features):
        path = f"$.features[{i}]"
        yield from _named(f"{path}.name", feature.name)
        if feature.name in config.schema.fields:
            yield f"{path}.name", f"{quoted(feature.name)} is already a field; choose another name"
        if feature.over.rolling:
            yield f"{path}.over", 'rolling is for watch.reference; a feature\'s window always moves, write "500 events"'
        if not 0 < feature.q < 1:
            yield f"{path}.q", f"expected a number between 0 and 1, got {feature.q:g}"
        yield from _feature_source(config, feature, path)
        if feature.by != config.schema.key:
            yield from check_grouping(config, feature.by, f"{path}.by")
        if config.schema.time is None and (feature.over.duration_ms or feature.stat == "rate"):
            why = "a rate needs schema.time" if feature.stat == "rate" else "use N events, or name schema.time"
            yield f"{path}.{'stat' if feature.stat == 'rate' else 'over'}", f"no time: {why}"
    yield from check_unique("$.features[{}].name", (feature.name for feature in config.features))


def _feature_source(config: "Config", feature: "Feature", path: str) -> Found:
    fields = config.schema.fields
    if feature.stat == "target_mean":
        if config.schema.label is None or config.task.type not in ("binary", "regression"):
            yield f"{path}.stat", "target_mean needs a label that is binary or a number"
        if feature.of is not None:
            yield f"{path}.of", "target_mean is the mean of the label; remove of"
    elif feature.of is None:
        if feature.stat not in _NO_SOURCE_OF:
            yield f"{path}.of", f"missing: of which field is it the {feature.stat}?"
    elif fields and feature.of not in fields:
        yield f"{path}.of", unknown("field", feature.of, fields)
    elif feature.of == config.schema.label:
        yield f"{path}.of", "is the label, which is not known yet when the event comes; use target_mean"
    elif fields and fields[feature.of].type == "category" and feature.stat not in ("unique", *_NO_SOURCE_OF):
        yield f"{path}.of", f"{quoted(feature.of)} is a category field; {feature.stat} needs a number field"


def _models(config: "Config") -> Found:
    yield from _model(config, config.model, "$.model")
    yield from _preparation(config, config.model, "$.model")
    for i, challenger in enumerate(config.challengers):
        yield from _named(f"$.challengers[{i}].name", challenger.name)
        yield from _model(config, challenger, f"$.challengers[{i}]")
        yield from _preparation(config, challenger, f"$.challengers[{i}]")
    yield from check_unique("$.challengers[{}].name", (challenger.name for challenger in config.challengers))


def _model(config: "Config", model: "Model", path: str) -> Found:
    task, path = config.task.type, f"{path}.use"
    if model.use == "auto":
        yield from _auto(config, model, path.removesuffix("use") + "params")
        return
    if model.use == "linear":
        if task == "anomaly":
            yield path, 'linear finds no anomalies; use for example "river.anomaly.HalfSpaceTrees"'
        return
    if model.use in _CLASSIFIERS:
        if task not in ("binary", "multiclass"):
            yield path, f"{model.use} tells classes apart; it does not fit task.type = {quoted(task)}"
        return
    steps = [step.strip() for step in model.use.split("|")]
    for step in steps:
        if not _MODEL_PATH.fullmatch(step):
            river = '"river.tree.HoeffdingTreeClassifier", or "river.a.B | river.c.D"'
            names = ["linear", *_CLASSIFIERS, "auto"]
            known = f"write {', '.join(map(quoted, names))}, a river class such as {river}"
            yield path, f"unknown model {quoted(step)}; {known}{nearest(step, names)}"
            return
    name = steps[-1].rpartition(".")[2]
    if (task == "anomaly") != steps[-1].startswith("river.anomaly."):
        yield path, f"{quoted(steps[-1])} does not fit task.type = {quoted(task)}"
    elif (task == "regression" and name.endswith(("Classifier", "LogisticRegression", "SoftmaxRegression"))) or (
        task in ("binary", "multiclass") and (name.endswith("Regressor") or name == "LinearRegression")
    ):
        yield path, f"{name} does not fit task.type = {quoted(task)}"


def _preparation(config: "Config", model: "Model", path: str) -> Found:
    """Steps and sampling; whether river has the classes is known only where they are made."""
    if not model.use.startswith("river."):
        if model.steps:
            why = ", which scales and one-hot encodes by itself" if model.use == "linear" else ""
            yield f"{path}.steps", f"steps are for river models, not for {model.use}{why}; remove them"
        if model.sampling is not None:
            way = '; write params = { class_weight = "balanced" }' if model.use == "linear" else ""
            yield f"{path}.sampling", f"sampling is for river models, not for {model.use}{way}"
        return
    fields = {name: field for name, field in config.schema.fields.items() if field.input}
    columns = [*fields, *(feature.name for feature in config.features)]
    for i, step in enumerate(model.steps):
        yield from _class_path(step.use, f"{path}.steps[{i}].use", "river.preprocessing.StandardScaler")
        for j, name in enumerate(step.only):
            if name not in ("number", "category", *columns):
                known = unknown("column", name, ["number", "category", *columns])
                yield f"{path}.steps[{i}].only[{j}]", known
    if model.sampling is not None:
        yield from _class_path(model.sampling.use, f"{path}.sampling.use", "river.imblearn.RandomUnderSampler")


def _class_path(use: str, path: str, example: str) -> Found:
    if not _MODEL_PATH.fullmatch(use):
        yield path, f"bad class {quoted(use)}; write the path of one river class, such as {quoted(example)}"


def _auto(config: "Config", model: "Model", path: str) -> Found:
    from stream_app.config.choice import choice_of  # noqa: PLC0415  (it imports the package)

    choice, problems = choice_of(model.params, config.task.type, path)
    yield from problems
    for i, candidate in enumerate(choice.models if "models" in model.params else ()):
        if candidate.use != "auto" and candidate.use:
            yield from _model(config, candidate, f"{path}.models[{i}]")
            yield from _preparation(config, candidate, f"{path}.models[{i}]")


def _numbers(config: "Config") -> Found:
    engine, measure = config.engine, config.measure
    positive = {
        "engine.epoch": engine.epoch,
        "engine.remember": engine.remember,
        "engine.max_keys": engine.max_keys,
        "engine.max_values": engine.max_values,
        "engine.max_categories": engine.max_categories,
        "measure.window": measure.window,
        "measure.every": measure.every,
        "panes.width": config.panes.width_ms,
    }
    for name, number in positive.items():
        if number <= 0:
            yield f"$.{name}", "must be more than 0"
    if engine.seed < 0:
        yield "$.engine.seed", "must not be negative"
    if engine.epoch > 0 and measure.every % engine.epoch:
        near = max(1, round(measure.every / engine.epoch)) * engine.epoch
        yield "$.measure.every", f"must be a multiple of engine.epoch, {engine.epoch}; the nearest is {near}"
