"""Alerts and triggers: CloudEvents 1.0 in structured mode, and the evidence they carry."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Severity = Literal["info", "warning", "critical"]
Interval = tuple[float | None, float | None]
OffsetInterval = tuple[int, int]


class Closed(Struct, forbid_unknown_fields=True):
    """A document that has the members listed here and no others."""


class Evidence(Closed):
    """One alarm of one detector."""

    watch: Annotated[int, Meta(description="Number of the [[watch]], from 0; -1: raised by no detector.")]
    signal: Annotated[str, Meta(description="Watched signal: feature:NAME, missing:NAME, prediction, error, …")]
    segment: Annotated[str, Meta(description="FIELD=VALUE; empty: the whole signal.")]
    detector: Annotated[str, Meta(description="Name of the detector.")]
    statistic: Annotated[float | None, Meta(description="Detector's statistic at the alarm; null: not finite.")]
    threshold: Annotated[float | None, Meta(description="What it had to exceed, in the statistic's unit.")]
    n: Annotated[int, Meta(description="Observations that the detector had seen since it began.")]
    before: Annotated[float | None, Meta(description="Mean before the change, in the signal's unit; null: unknown.")]
    after: Annotated[float | None, Meta(description="Mean after the change, in the signal's unit; null: unknown.")]
    before_interval: Annotated[Interval | None, Meta(description="Interval of `before`; null: not known.")]
    after_interval: Annotated[Interval | None, Meta(description="Interval of `after`; null: not known.")]
    direction: Annotated[int, Meta(description="1: rose, -1: fell, 0: changed otherwise.")]
    severity: Annotated[Severity, Meta(description="How bad this alarm is by itself.")]
    worse: Annotated[bool, Meta(description="False if the change is good news, as less error is.")]
    suppressed: Annotated[str | None, Meta(description="Why it calls nobody, by [[alarms.suppress]]; null: it does.")]
    offset: Annotated[int, Meta(description="Source offset of the event at which it alarmed.")]
    time: Annotated[int, Meta(description="Stream time of the alarm, epoch milliseconds.")]
    onset_offset: Annotated[int, Meta(description="Source offset at which the change is estimated to have begun.")]
    onset_time: Annotated[int, Meta(description="Stream time of the onset, epoch milliseconds.")]
    onset_interval: Annotated[OffsetInterval | None, Meta(description="Offsets between which it began; null: unknown.")]
    detail: Annotated[dict[str, Any], Meta(description="What else this detector tells; see its documentation.")]


class Effect(Closed):
    """What the leading signal did."""

    before: Annotated[float | None, Meta(description="Mean before, in the signal's unit; null: unknown.")]
    after: Annotated[float | None, Meta(description="Mean after, in the signal's unit; null: unknown.")]
    before_interval: Annotated[Interval | None, Meta(description="Interval of `before`; null: not known.")]
    after_interval: Annotated[Interval | None, Meta(description="Interval of `after`; null: not known.")]
    direction: Annotated[int, Meta(description="1: rose, -1: fell, 0: changed otherwise.")]
    n: Annotated[int, Meta(description="Observations that the detector had seen.")]


class Cause(Closed):
    """What may have begun it."""

    signal: Annotated[str, Meta(description="The most telling signal of this cause.")]
    segment: Annotated[str, Meta(description="FIELD=VALUE; empty: the whole signal.")]
    what: Annotated[str, Meta(description="What happened, in words.")]
    kind: Annotated[str | None, Meta(description="Kind of the column's change; null: its values did not evidently.")]


class Bin(Closed):
    """Share of a column's values that are a category, a single value, or in an interval (above, to]."""

    before: Annotated[float, Meta(description="Share before the onset, 0 to 1.")]
    after: Annotated[float, Meta(description="Share after the onset, 0 to 1.")]
    category: Annotated[str | UnsetType | None, Meta(description="The category.")] = UNSET
    value: Annotated[float | UnsetType, Meta(description="The value, in the column's unit.")] = UNSET
    above: Annotated[float | UnsetType | None, Meta(description="Lower edge, excluded; null: none.")] = UNSET
    to: Annotated[float | UnsetType | None, Meta(description="Upper edge, included; null: none.")] = UNSET


class Change(Closed):
    """A column whose values before and after the onset differ beyond chance."""

    feature: Annotated[str, Meta(description="Field or feature.")]
    kind: Annotated[str, Meta(description="missing, frozen, unit, shifted, spread, distribution, renamed, new, …")]
    text: Annotated[str, Meta(description="The change in words.")]
    log10_p: Annotated[float | None, Meta(description="Decimal logarithm of the p-value, rows taken as independent.")]
    effect: Annotated[float, Meta(description="Distance of the two distributions, 0 to 1.")]
    effect_interval: Annotated[Interval, Meta(description="95 % interval of the effect.")]
    before: Annotated[float | None, Meta(description="Mean, share of the category that changed most, or missing rate.")]
    after: Annotated[float | None, Meta(description="The same after the onset.")]
    missing_before: Annotated[float, Meta(description="Share of missing values before, 0 to 1.")]
    missing_after: Annotated[float, Meta(description="Share of missing values after, 0 to 1.")]
    n_before: Annotated[int, Meta(description="Rows looked at before the onset.")]
    n_after: Annotated[int, Meta(description="Rows looked at after it.")]
    bins: Annotated[list[Bin], Meta(description="Up to five that changed most, the largest change first.")]
    detail: Annotated[dict[str, Any], Meta(description="Figures of this kind of change: factor, shift, from, to, …")]


class Rise(Closed):
    """Mean loss per event before and after; 0/1 loss, or absolute error."""

    before: Annotated[float, Meta(description="Mean loss before the onset.")]
    after: Annotated[float, Meta(description="Mean loss after it.")]
    change: Annotated[float, Meta(description="after - before.")]
    interval: Annotated[Interval, Meta(description="95 % interval of the change.")]


class Harm(Closed):
    """What the change costs per event."""

    basis: Annotated[
        Literal["realised", "estimated", "unknown"], Meta(description="Which of the two `excess_per_event` is from.")
    ]
    excess_per_event: Annotated[float | None, Meta(description="Rise of the mean loss; null: not known yet.")]
    interval: Annotated[Interval | None, Meta(description="95 % interval of it; null: not known yet.")]
    benign: Annotated[bool | None, Meta(description="True: costs nothing; false: costs for sure; null: not clear.")]
    estimated: Annotated[Rise | None, Meta(description="Estimated before the labels; null: no estimate.")]
    realised: Annotated[Rise | None, Meta(description="From labels that have come; null: too few.")]
    labels_before: Annotated[int, Meta(description="Labels known of the rows before the onset.")]
    labels_after: Annotated[int, Meta(description="Labels known of the rows after it.")]


class Segment(Closed):
    """A part of the events in which the loss rose beyond chance."""

    segment: Annotated[str, Meta(description="FIELD=VALUE, or a quarter of a number: LOW<FIELD<=HIGH.")]
    basis: Annotated[Literal["realised", "estimated"], Meta(description="Which loss is compared.")]
    before: Annotated[float, Meta(description="Mean loss before the onset.")]
    after: Annotated[float, Meta(description="Mean loss after it.")]
    change: Annotated[float, Meta(description="after - before.")]
    interval: Annotated[Interval, Meta(description="95 % interval of the change.")]
    share: Annotated[float, Meta(description="Share of the events after the onset, 0 to 1.")]
    excess: Annotated[float, Meta(description="share times change: its part of the rise of the whole.")]
    n_before: Annotated[int, Meta(description="Rows with a loss before the onset.")]
    n_after: Annotated[int, Meta(description="Rows with a loss after it.")]
    log10_p: Annotated[float | None, Meta(description="Decimal logarithm of the one-sided p-value of the rise.")]
    stands_out: Annotated[bool, Meta(description="Whether it rose by more than elsewhere, beyond chance.")]


class Contribution(Closed):
    """What the model makes of one input."""

    feature: Annotated[str, Meta(description="Input of the model.")]
    before: Annotated[float | None, Meta(description="Mean contribution to the score before; null: no rows.")]
    after: Annotated[float | None, Meta(description="Mean contribution to the score after; null: no rows.")]
    change: Annotated[float | None, Meta(description="after - before; null: one of them is not known.")]
    method: Annotated[str, Meta(description="linear, tree path or permutation.")]
    output: Annotated[int, Meta(description="Code of the class, for multiclass; else 0.")]


class Budget(Closed):
    """The budget of false alarms."""

    per_events: Annotated[float, Meta(description="Events per false alarm allowed.")]
    allowed: Annotated[float, Meta(description="False alarms allowed up to here.")]
    spent: Annotated[float, Meta(description="False alarms that the detectors may have raised, by their arl0.")]
    left: Annotated[float, Meta(description="What is left of those allowed.")]
    alarms: Annotated[int, Meta(description="Alarms raised up to here, true and false.")]


class Incident(Closed):
    """An incident as it stands."""

    incident: Annotated[str, Meta(description="Id of the incident; the key of the record.")]
    status: Annotated[Literal["opened", "updated", "acknowledged", "recovered"], Meta(description="What is new.")]
    severity: Annotated[Severity, Meta(description="By the alarms and the harm; never falls.")]
    signal: Annotated[str, Meta(description="Leading signal: the first of the highest severity.")]
    segment: Annotated[str, Meta(description="Its segment, FIELD=VALUE; empty: the whole signal.")]
    detector: Annotated[str, Meta(description="Its detector.")]
    statistic: Annotated[float | None, Meta(description="Its statistic; null: not finite.")]
    threshold: Annotated[float | None, Meta(description="Its threshold; null: not finite.")]
    offset: Annotated[int, Meta(description="Source offset at which it alarmed.")]
    time: Annotated[int, Meta(description="Stream time at which it alarmed, epoch milliseconds.")]
    onset_offset: Annotated[int, Meta(description="Source offset at which the incident is estimated to have begun.")]
    onset_time: Annotated[int, Meta(description="Stream time of the onset, epoch milliseconds.")]
    onset_interval: Annotated[OffsetInterval | None, Meta(description="Offsets between which it began; null: unknown.")]
    effect: Annotated[Effect, Meta(description="What the leading signal did.")]
    causes: Annotated[list[Cause], Meta(description="Most likely first.")]
    signals: Annotated[int, Meta(description="Signals and segments that alarmed.")]
    contributions: Annotated[list[Evidence], Meta(description="Newest alarm of each, at most 50, the clearest first.")]
    changes: Annotated[list[Change], Meta(description="Columns that changed, the largest effect first, at most 20.")]
    segments: Annotated[list[Segment], Meta(description="Where the loss rose most, at most five.")]
    harm: Annotated[Harm | None, Meta(description="What it costs; null: nothing was compared.")]
    explanation: Annotated[list[Contribution] | None, Meta(description="The model's view; null: not asked yet.")]
    examples: Annotated[list[str], Meta(description="Ids of events that show it, at most five.")]
    benign: Annotated[bool | None, Meta(description="True: known to cost nothing; null: not clear, or no matter.")]
    flapping: Annotated[
        int, Meta(description="How often the signal's incidents had recovered lately; 0: not flapping.")
    ]
    returns: Annotated[
        str | None, Meta(description="Incident before which the signal was where it now is; null: none.")
    ]
    suppressed: Annotated[str | None, Meta(description="Why it calls nobody; null: it does.")]
    alarms: Annotated[int, Meta(description="Alarms so far.")]
    budget: Annotated[Budget, Meta(description="The budget of false alarms at this point.")]
    acknowledged_by: Annotated[str | None, Meta(description="Who looks after it; null: nobody said so.")]
    outcome: Annotated[str | None, Meta(description="returned, settled, quiet, ended or closed; null: it is open.")]
    message: Annotated[str, Meta(description="The incident in one plain sentence.")]


class Comparison(Closed):
    """What is known of two models on the same labelled events, whenever it is looked at."""

    labels: Annotated[int, Meta(description="Labels of events that both had predicted.")]
    loss_champion: Annotated[float | None, Meta(description="Mean loss of the champion; null: no label.")]
    loss: Annotated[float | None, Meta(description="Mean loss of this model; null: no label.")]
    gain: Annotated[float | None, Meta(description="Mean difference as it is judged: 0/1, or clipped; null: no label.")]
    interval: Annotated[tuple[float, float], Meta(description="Ends of the gain, each at the level of `confidence`.")]
    confidence: Annotated[float, Meta(description="Level of each end and of the proof, 0 to 1, whenever one looks.")]


class Train(Closed):
    """What to train on."""

    stream: Annotated[Literal["events"], Meta(description="The stream that the offsets are of.")]
    from_offset: Annotated[int, Meta(description="First source offset.")]
    to_offset: Annotated[int, Meta(description="Last source offset.")]


class Cost(Closed):
    """What waiting costs."""

    excess_error_per_event: Annotated[float | None, Meta(description="Loss that the change costs; null: not known.")]
    labels_since_onset: Annotated[int, Meta(description="Observations since the onset.")]
    avoided: Annotated[float | None, Meta(description="Loss that a retraining may avoid; null: not known.")]
    horizon: Annotated[int, Meta(description="Events over which that is counted: retrain.horizon.")]
    training: Annotated[float, Meta(description="What a retraining costs, in the same unit: retrain.cost.")]


class Retrain(Closed):
    """A request to train a model anew."""

    model: Annotated[str, Meta(description="Which model; the key of the record.")]
    version: Annotated[str, Meta(description="Its version now.")]
    action: Annotated[str, Meta(description="[retrain] action of the configuration.")]
    reason: Annotated[str, Meta(description="Why, in words.")]
    reasons: Annotated[list[str], Meta(description="Signals of retrain.on that changed in this incident.")]
    incident: Annotated[str, Meta(description="Id of the incident.")]
    evidence: Annotated[Evidence, Meta(description="The alarm that asks for it.")]
    train: Annotated[Train, Meta(description="What to train on.")]
    cost: Annotated[Cost, Meta(description="What waiting costs.")]
    deadline: Annotated[str, Meta(description="RFC 3339; until then no further request of this signal comes.")]


class CloudEvent(Closed):
    """CloudEvents 1.0, structured mode."""

    specversion: Annotated[Literal["1.0"], Meta(description="Version of CloudEvents.")]
    id: Annotated[str, Meta(description="Unique; the same if the record is written again.")]
    source: Annotated[str, Meta(description="driftline/NAME/SHARD.")]
    subject: Annotated[str, Meta(description="Key of the record.")]
    time: Annotated[str, Meta(description="Stream time, RFC 3339.", extra_json_schema={"format": "date-time"})]
    datacontenttype: Annotated[Literal["application/json"], Meta(description="Of `data`.")]


AlertType = Literal[
    "driftline.alert.opened", "driftline.alert.updated", "driftline.alert.acknowledged", "driftline.alert.recovered"
]


class Alert(CloudEvent, kw_only=True):
    """An incident opened, was updated, acknowledged, or has recovered."""

    type: Annotated[AlertType, Meta(description="What happened.")]
    data: Annotated[Incident, Meta(description="The incident.")]


class Trigger(CloudEvent, kw_only=True):
    """A retraining is asked for."""

    type: Annotated[Literal["driftline.trigger.retrain"], Meta(description="What happened.")]
    data: Annotated[Retrain, Meta(description="The request.")]


class Proposal(Closed):
    """A model that is proven better than the champion, and waits for the promotion gate."""

    model: Annotated[str, Meta(description="Whose place it asks for; the key of the record.")]
    version: Annotated[str, Meta(description="The proven version.")]
    against: Annotated[str, Meta(description="The champion that it was compared with.")]
    evidence: Annotated[Comparison, Meta(description="The proof.")]


class Promotion(CloudEvent, kw_only=True):
    """A promotion is proposed."""

    type: Annotated[Literal["driftline.trigger.promotion"], Meta(description="What happened.")]
    data: Annotated[Proposal, Meta(description="The proposal.")]
