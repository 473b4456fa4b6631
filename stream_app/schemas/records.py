"""The other streams: predictions, outcomes, dead letters, audit, panes, features; and commands, the one fixed input."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from stream_app.schemas.alerts import Closed, Comparison


class Prediction(Closed):
    """What was given out on an event: what the champion said, or with [ab] in arm B the other model."""

    id: Annotated[str, Meta(description="Event id; key of the record.")]
    prediction: Annotated[str | float | None, Meta(description="Class or value; null: none.")]
    score: Annotated[float | None, Meta(description="Probability of the class (binary: of the positive), or value.")]
    model: Annotated[str, Meta(description="Version of the model.")]
    time: Annotated[int, Meta(description="Time of the event, epoch milliseconds.")]
    offset: Annotated[int, Meta(description="Source offset of the event.")]
    arm: Annotated[Literal["A", "B"] | UnsetType, Meta(description="Its arm; absent without [ab].")] = UNSET


class Outcome(Closed):
    """A label that met its event."""

    id: Annotated[str, Meta(description="Event id; key of the record.")]
    label: Annotated[str | float | None, Meta(description="Class, or value.")]
    error: Annotated[float | None, Meta(description="The champion's 0/1 loss or absolute error; null: no prediction.")]
    time: Annotated[int, Meta(description="When the label was known, epoch milliseconds.")]
    delay_ms: Annotated[int, Meta(description="From event to label, in milliseconds.")]
    offset: Annotated[int, Meta(description="Source offset of the event.")]


class DeadLetter(Closed):
    """A record that was refused; it has `raw`, or `raw_base64` if its bytes are not UTF-8."""

    stream: Annotated[Literal["events", "labels", "control"], Meta(description="The input it came from.")]
    offset: Annotated[int, Meta(description="Source offset; of a command, its record number in the shard.")]
    reason: Annotated[str, Meta(description="What is wrong with it.")]
    kind: Annotated[str, Meta(description="Kind of the reject, as in the signal rejects:KIND.")]
    path: Annotated[str, Meta(description="Where in the document: $ or $.FIELD.")]
    raw: Annotated[str | UnsetType, Meta(description="The record as it came.")] = UNSET
    raw_base64: Annotated[str | UnsetType, Meta(description="The record as it came, in base64.")] = UNSET


class Trained(Closed):
    """The labelled events that a model was trained on before it entered the stream."""

    rows: Annotated[int, Meta(description="How many.")]
    passes: Annotated[int, Meta(description="How often over them.")]
    from_offset: Annotated[int | UnsetType, Meta(description="Lowest source offset; absent: no rows.")] = UNSET
    to_offset: Annotated[int | UnsetType, Meta(description="Highest source offset; absent: no rows.")] = UNSET


class ModelVersion(Closed):
    """A model version whose status has changed, with its lineage."""

    version: Annotated[str, Meta(description="Name of the version; key of the record.")]
    status: Annotated[
        Literal["champion", "challenger", "candidate", "proposed", "predecessor", "archived"],
        Meta(description="What it is now."),
    ]
    kind: Annotated[
        Literal["initial", "configured", "reset", "fresh", "fine-tuned", "recurring", "imported"],
        Meta(description="How it came to be."),
    ]
    parent: Annotated[str | None, Meta(description="Version that it began from, or beside; null: none.")]
    use: Annotated[str, Meta(description="What model, as in [model] use.")]
    params: Annotated[dict[str, Any], Meta(description="Its parameters.")]
    categories: Annotated[str, Meta(description="How categories reach it, as in [model] categories.")]
    trained: Annotated[Trained | None, Meta(description="Its training before it entered; null: none.")]
    why: Annotated[str | None, Meta(description="Incident, trigger or reason that it came for; null: none.")]
    config: Annotated[str, Meta(description="SHA-256 of the configuration, in hex.")]
    record: Annotated[int, Meta(description="Records of the shard that had been handled.")]
    time: Annotated[int, Meta(description="Stream time, epoch milliseconds.")]
    steps: Annotated[list[dict[str, Any]] | UnsetType, Meta(description="Steps before it; absent: none.")] = UNSET
    sampling: Annotated[dict[str, Any] | UnsetType, Meta(description="Sampler around it; absent: none.")] = UNSET
    verdict: Annotated[str | UnsetType | None, Meta(description="Why it left: worse, unproven, or in words.")] = UNSET
    evidence: Annotated[Comparison | UnsetType | None, Meta(description="What decided; absent: no comparison did.")] = (
        UNSET
    )


class Artefact(Closed):
    """A part of a trained model as it was when it was promoted or left: an artefact, compressed by zlib.

    Not compared by a replay: pickles of equal models may differ.
    """

    version: Annotated[str, Meta(description="Version of the model; the key is VERSION/PART.")]
    record: Annotated[int, Meta(description="Records of the shard that had been handled.")]
    time: Annotated[int, Meta(description="Stream time, epoch milliseconds.")]
    part: Annotated[int, Meta(description="Number of this part, from 0.")]
    parts: Annotated[int, Meta(description="How many there are; all have the same record.")]
    data: Annotated[bytes, Meta(description="This part of the bytes, in base64.")]
    problem: Annotated[str | UnsetType, Meta(description="Why there is no artefact.")] = UNSET


class Audit(Closed):
    """An act that changed something; each entry holds the hash of the one before."""

    number: Annotated[int, Meta(description="Number of the entry, from 0.")]
    record: Annotated[int, Meta(description="Records of the shard that had been handled.")]
    time: Annotated[int, Meta(description="Stream time, epoch milliseconds.")]
    before: Annotated[str, Meta(description="SHA-256 of the value of the entry before, in hex; empty for the first.")]
    what: Annotated[str, Meta(description="command: one was accepted; else what took effect. Key of the record.")]
    why: Annotated[str | UnsetType | None, Meta(description="Incident, or reason; null: none was given.")] = UNSET
    by: Annotated[str | UnsetType | None, Meta(description="Who; null: not said.")] = UNSET
    version: Annotated[str | UnsetType | None, Meta(description="Model version that it is about.")] = UNSET
    evidence: Annotated[Comparison | UnsetType | None, Meta(description="The comparison that decided it.")] = UNSET
    signal: Annotated[str | UnsetType | None, Meta(description="Signal whose reference was set.")] = UNSET
    command: Annotated[str | UnsetType, Meta(description="The command, if one was accepted.")] = UNSET
    incident: Annotated[str | UnsetType, Meta(description="Incident that it names.")] = UNSET
    artefact: Annotated[str | UnsetType, Meta(description="SHA-256 of the model that came with it, in hex.")] = UNSET
    trigger: Annotated[str | UnsetType, Meta(description="Trigger that the model answers.")] = UNSET
    promote: Annotated[bool | UnsetType, Meta(description="True where it was to be promoted at once.")] = UNSET
    left_out: Annotated[list[str] | UnsetType, Meta(description="What of an added model has no place here.")] = UNSET
    stream: Annotated[str | UnsetType, Meta(description="Input of a gap or a lag.")] = UNSET
    start: Annotated[
        int | UnsetType, Meta(description="First offset of a gap; of a lag: of the record that has waited longest.")
    ] = field(default=UNSET, name="from")
    stop: Annotated[int | UnsetType, Meta(description="Offset behind a gap.")] = field(default=UNSET, name="to")
    seconds: Annotated[float | UnsetType, Meta(description="How long a record has waited in a lag.")] = UNSET
    limit: Annotated[float | UnsetType, Meta(description="What alarms.lag allows, in seconds.")] = UNSET
    records: Annotated[int | UnsetType, Meta(description="Records that wait in a lag.")] = UNSET
    ended: Annotated[bool | UnsetType, Meta(description="True where a lag has ended.")] = UNSET


class Pane(Closed):
    """Mergeable summary of a signal over a stretch of event time; a late part is a record of its own: add them up."""

    signal: Annotated[str, Meta(description="Key of the record.")]
    start: Annotated[int, Meta(description="Begin of the stretch, epoch milliseconds.")]
    width_ms: Annotated[int, Meta(description="Its length in milliseconds.")]
    n: Annotated[int, Meta(description="Observations.")]
    missing: Annotated[int, Meta(description="Missing values beside them.")]
    bins: Annotated[
        list[tuple[int, int]], Meta(description="[bin, count], ascending; see stream_app/flow/panes.py for the bins.")
    ]
    names: Annotated[list[str] | UnsetType, Meta(description="Category of each bin; absent: of numbers.")] = UNSET
    mean: Annotated[float | UnsetType | None, Meta(description="Absent if n is 0; null: not finite.")] = UNSET
    m2: Annotated[float | UnsetType | None, Meta(description="Sum of squared deviations from the mean.")] = UNSET
    min: Annotated[float | UnsetType, Meta(description="Smallest value; absent if n is 0.")] = UNSET
    max: Annotated[float | UnsetType, Meta(description="Largest value; absent if n is 0.")] = UNSET


class FeatureValues(Closed):
    """Newest values of the features of one key."""

    by: Annotated[str, Meta(description="What they are grouped by; empty: by nothing.")]
    key: Annotated[str, Meta(description="Value of it; the record's key is BY=KEY.")]
    time: Annotated[int, Meta(description="Time of the event that they are of, epoch milliseconds.")]
    features: Annotated[dict[str, float | None], Meta(description="By name; null: no value.")]


class Command(Struct):
    """A command; members that are not known are ignored."""

    command: Annotated[
        Literal[
            "acknowledge", "close", "set-reference", "reset", "retrain", "promote", "rollback", "retire", "add",
            "gap", "lag",
        ],
        Meta(description="What to do."),
    ]  # fmt: skip
    incident: Annotated[str | None, Meta(description="For acknowledge and close: which.")] = None
    signal: Annotated[str | None, Meta(description="For set-reference: which.")] = None
    version: Annotated[str | None, Meta(description="For promote and retire: which; for rollback: where to.")] = None
    artefact: Annotated[bytes | None, Meta(description="For add: the artefact, compressed by zlib, in base64.")] = None
    trigger: Annotated[str | None, Meta(description="For add: id of the trigger it answers; added once.")] = None
    promote: Annotated[bool | None, Meta(description="For add: true to promote it without a proof.")] = None
    why: Annotated[str | None, Meta(description="Reason, for the audit.")] = None
    by: Annotated[str | None, Meta(description="Who, for the audit.")] = None
    stream: Annotated[str | None, Meta(description="For gap and lag: the input.")] = None
    start: Annotated[
        int | None, Meta(description="For gap: first offset; for lag: of the record that has waited longest.")
    ] = field(default=None, name="from")
    stop: Annotated[int | None, Meta(description="For gap: offset behind it.")] = field(default=None, name="to")
    seconds: Annotated[float | None, Meta(description="For lag: how long that record has waited.")] = None
    limit: Annotated[float | None, Meta(description="For lag: alarms.lag in seconds.")] = None
    records: Annotated[int | None, Meta(description="For lag: how many wait.")] = None
    ended: Annotated[bool | None, Meta(description="For lag: true where it has ended.")] = None
