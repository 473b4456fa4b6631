"""A made stream through a throw-away pipeline: whatever a run would compile is compiled before its first record.

The pipeline is that of the configuration with short windows, so that some hundred records take it through references,
alarms, incidents, trainings, promotions, expired labels, and a restart. Nothing of it is kept: no log, no state.
"""

import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import msgspec
import numpy as np
from msgspec.structs import replace

import detectors
from stream_app.config import Alarms, Budget, Config, Field, Model, Task, Watch, Window, signals
from stream_app.edges import snapshots
from stream_app.flow.decode import Decoder
from stream_app.flow.detect import detector_params
from stream_app.messages import EVENT, LABEL, Outputs, Tape
from stream_app.pipeline import Pipeline
from stream_app.runners.weaver import Weaver

GRID = 256  # records of an epoch: so many go through the stages at once, some kernels are for many
EVENTS = 4 * GRID  # half of them before everything changes
CUTS = (0, 200, 500, 800, EVENTS - 1)  # where the stream is cut; a single record may be read in another way
ALIKE = 4  # columns of one type, and watches that differ in their signal only: a thousand are compiled as four are
STEP_MS = 1000  # from event to event
FIRST_MS = 1_700_000_000_000
SHORT = {"warm_up": 50, "reference": 100, "window": 50}  # parameters of detectors that have them
ARL0 = 1e6  # what changes does so beyond doubt; a false alarm takes as long as a true one
QUICK = {
    "binary": "river.dummy.PriorClassifier",
    "multiclass": "river.dummy.PriorClassifier",
    "regression": "river.linear_model.LinearRegression",
}
KEY = b"nothing of a rehearsal is kept"
RESTART = 2  # the cut behind which a snapshot is taken and restored
# before each cut, a command; where it cannot be obeyed it is refused, as anybody's would be
COMMANDS = tuple(msgspec.json.encode({"command": what, "version": "v2"}) for what in ("retrain", "promote", "rollback"))

ModelType = TypeVar("ModelType", bound=Model)
Form = tuple[tuple[str, ...], str] | None  # of a source: the header of its CSV and the delimiter; None: JSON
JSON: tuple[Form, Form] = (None, None)


def rehearse(
    config: Config, forms: Sequence[Form] = JSON, written: Callable[[Outputs], object] = lambda _: None
) -> None:
    """Compiles what a run of the configuration needs; `forms` are those of its events and, if apart, its labels.

    `written` does with the outputs what will be done with them.
    """
    short = shortened(config)
    pipeline = Pipeline(short, key=KEY)
    for number, tape in enumerate(_tapes(short, forms)):
        written(pipeline.handle(tape.led_by(list(COMMANDS[number - 1 : number]))))
        if number == RESTART:
            state = snapshots.encode(pipeline.snapshot(), config_digest="", key=KEY)
            pipeline = Pipeline(short, key=KEY)
            pipeline.restore(snapshots.decode(state, config_digest="", key=KEY))
    pipeline.figures()


def _tapes(config: Config, forms: Sequence[Form]) -> Iterator[Tape]:
    """The made stream in cuts; where labels come apart, every other one does."""
    apart, both = len(forms) > 1, (*forms, None)
    events = Decoder(config, "events", *(both[EVENT] or (None, ",")))
    labels = Decoder(config, "labels", *(both[LABEL] or (None, ",")))
    weaver, rows = Weaver(events(0, []), labels(0, []), config.engine.ahead_ms), _made(config)
    for begin, end in pairwise((*CUTS, EVENTS)):
        some = rows[begin:end]
        weaver.push(EVENT, events(begin, _records(some, both[EVENT])))
        late = [row for row in some[::2] if apart and config.schema.label in row]
        weaver.push(LABEL, labels(begin, _records(late, both[LABEL])))
        yield weaver.pull(events_ended=True, labels_ended=True)


def shortened(config: Config) -> Config:
    """The same configuration with windows that some hundred records fill."""
    few, config = Window(events=20), _fewer(config)
    return replace(
        config,
        model=_quick(config.model, config.task),
        challengers=tuple(_quick(each, config.task) for each in config.challengers),
        task=replace(config.task, label_timeout_ms=40 * STEP_MS),
        watch=tuple(_shortened(config, i) for i in range(len(config.watch))),
        alarms=Alarms(budget=Budget(1.0, 10), cooldown=few, group=Window(events=5), tolerance=config.alarms.tolerance),
        retrain=replace(
            config.retrain, cooldown=few, limit=None, memory=200, least=20, passes=1, pace=2.0, trial=100,
            confidence=0.5, proof=10,
        ),
        measure=replace(config.measure, window=50, every=GRID),
        panes=replace(config.panes, width_ms=50 * STEP_MS),
        engine=replace(config.engine, epoch=GRID, remember=1024, max_values=128),
    )  # fmt: skip


def _fewer(config: Config) -> Config:
    """Without most of the watches that are alike, and of the columns that nothing names."""
    watches: dict[bytes, list[Watch]] = {}
    for watch in config.watch:
        kind = msgspec.json.encode(replace(watch, signal=watch.signal.partition(":")[0]))
        watches.setdefault(kind, []).append(watch)
    config = replace(config, watch=tuple(watch for alike in watches.values() for watch in alike[:ALIKE]))
    rest = msgspec.json.encode(replace(config, schema=replace(config.schema, fields={})))
    fields, counts = {}, Counter[str]()
    for name, field in config.schema.fields.items():
        counts[field.type] += 1
        quoted = msgspec.json.encode(name)
        if counts[field.type] <= ALIKE or quoted in rest or b":" + quoted[1:] in rest:
            fields[name] = field
    return replace(config, schema=replace(config.schema, fields=fields))


def _shortened(config: Config, number: int) -> Watch:
    """A watch with short windows; as it is, where its detector does not take them."""
    watch = config.watch[number]
    takes, reference = detectors.parameters(watch.detector), watch.reference
    if reference is not None and reference.duration_ms:
        reference = replace(reference, duration_ms=SHORT["reference"] * STEP_MS)
    elif reference is not None:
        reference = replace(reference, events=SHORT["reference"])
    names = [name for name in SHORT if name in takes and (name != "reference" or reference is None)]
    params = watch.params | {name: SHORT[name] for name in names}
    short = replace(watch, reference=reference, params=params, arl0=ARL0)
    config = replace(config, watch=(short,))
    try:
        for signal in signals(config)[:1]:
            detectors.make(short.detector, **detector_params(config, signal, ARL0))
    except ValueError:
        return watch
    return short


def _quick(model: ModelType, task: Task) -> ModelType:
    """A model of river, where nothing is compiled, may take milliseconds an event: a quick one stands for it."""
    use = QUICK.get(task.type)
    if not model.use.startswith("river.") or use is None:
        return model
    return replace(model, use=use, params={}, steps=(), sampling=None)


def _made(config: Config) -> list[dict[str, Any]]:
    """Events with their labels, all of whose columns change in the middle; seeded."""
    rng, schema = np.random.default_rng(0), config.schema
    rows = []
    for i in range(EVENTS):
        late = i >= EVENTS // 2
        row = {name: _cell(field, rng, late=late) for name, field in schema.fields.items()}
        known = {schema.id: f"e{i}", schema.time: FIRST_MS + i * STEP_MS, schema.key: _one_of("abc", rng)}
        if i % 7:  # the others never get their label
            known |= {schema.label: _label(config, rng, late=late), schema.label_time: FIRST_MS + (i + 3) * STEP_MS}
        rows.append(row | {name: value for name, value in known.items() if name is not None})
    return rows


def _cell(field: Field, rng: np.random.Generator, *, late: bool) -> Any:
    if not field.required and rng.random() < 0.1:
        return None
    if field.type == "category":
        names = field.values or ("a", "b", "c", "d")
        half = max(1, len(names) // 2)
        return _one_of(names[half:] or names if late else names[:half], rng)
    low = -math.inf if field.min is None else field.min
    high = math.inf if field.max is None else field.max
    if math.isinf(low) and math.isinf(high):
        return round(rng.normal(50 if late else 0, 1), 4)
    low, high = (high - 100 if math.isinf(low) else low), (low + 100 if math.isinf(high) else high)
    return low + (high - low) * (0.5 * late + 0.5 * rng.random())


def _one_of(names: Sequence[str], rng: np.random.Generator) -> str:
    return names[int(rng.integers(len(names)))]


def _label(config: Config, rng: np.random.Generator, *, late: bool) -> Any:
    """All but one and the same before, drawn by chance after."""
    if config.task.type == "regression":
        return round(rng.normal(50, 20) if late else rng.normal(0, 1), 4)
    names = config.task.classes or ("0", "1")
    return _one_of(names, rng) if late or rng.random() < 0.05 else names[0]


def _records(rows: Sequence[dict[str, Any]], form: Form) -> list[bytes]:
    if form is None:
        return [msgspec.json.encode(row) for row in rows]
    header, delimiter = form
    out = io.StringIO()
    csv.DictWriter(out, header, extrasaction="ignore", delimiter=delimiter, lineterminator="\n").writerows(rows)
    return out.getvalue().encode().splitlines()
