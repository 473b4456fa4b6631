"""Metrics: the figures of one signal as they stood on a line of the metrics grid."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from stream_app.schemas.alerts import Budget, Closed, Comparison

Interval = tuple[float | None, float | None]
Figures = dict[str, float | None]


class Figure(Closed):
    """What each record of the stream has."""

    record: Annotated[int, Meta(description="Records of the shard that had been handled.")]
    time: Annotated[int, Meta(description="Stream time, epoch milliseconds.")]


class Stream(Figure, kw_only=True):
    """Counts since the start."""

    signal: Annotated[Literal["stream"], Meta(description="Key of the record.")]
    records: Annotated[int, Meta(description="Records taken, of all inputs.")]
    events: Annotated[int, Meta(description="Events accepted.")]
    labels: Annotated[int, Meta(description="Labels that met their event.")]
    expired: Annotated[int, Meta(description="Events whose label did not come in time.")]
    rejected: Annotated[int, Meta(description="Records that became dead letters.")]


class Performance(Figure, kw_only=True):
    """Performance of a model or a baseline."""

    signal: Annotated[str, Meta(pattern="^performance:", description="performance:MODEL; key of the record.")]
    labels: Annotated[int, Meta(description="Labels since the start.")]
    rolling: Annotated[Figures, Meta(description="Figures over the last measure.window labels; null: undefined.")]
    since_start: Annotated[Figures, Meta(description="The same figures over all labels.")]
    failures: Annotated[int, Meta(description="Events that the model raised an error on.")]
    last_failure: Annotated[str, Meta(description="The last such error; empty: none.")]
    version: Annotated[str | UnsetType, Meta(description="Version of the model; absent for baselines.")] = UNSET


class Trial(Figure, kw_only=True):
    """A model on trial beside the champion."""

    signal: Annotated[str, Meta(pattern="^trial:", description="trial:LANE; key of the record.")]
    version: Annotated[str, Meta(description="Version of the model.")]
    against: Annotated[str, Meta(description="Version of the champion.")]
    comparison: Annotated[Comparison, Meta(description="What is known so far.")]


class Labels(Figure, kw_only=True):
    """How labels arrive."""

    signal: Annotated[Literal["labels"], Meta(description="Key of the record.")]
    delay_median_s: Annotated[float | None, Meta(description="Median delay in seconds; null: no label yet.")]
    delay_p95_s: Annotated[float | None, Meta(description="95 % quantile of the delay in seconds; null: no label.")]
    coverage: Annotated[float | None, Meta(description="Labelled share of all resolved events; null: none resolved.")]
    pending: Annotated[int, Meta(description="Events that wait for their label.")]


class Incidents(Figure, kw_only=True):
    """What became of all alarms since the start."""

    signal: Annotated[Literal["incidents"], Meta(description="Key of the record.")]
    open: Annotated[int, Meta(description="Incidents open now.")]
    opened: Annotated[int, Meta(description="Incidents ever opened.")]
    alarms: Annotated[int, Meta(description="Alarms of all detectors.")]
    suppressed: Annotated[int, Meta(description="Of them in windows of [[alarms.suppress]].")]
    flapping: Annotated[int, Meta(description="Incidents that came and went.")]
    benign: Annotated[int, Meta(description="Incidents that cost nothing.")]
    triggers_held: Annotated[int, Meta(description="Retraining requests held back.")]
    triggers_unpaid: Annotated[int, Meta(description="Of them those that would not have paid.")]
    budget: Annotated[Budget, Meta(description="The budget of false alarms.")]


class Detector(Figure, kw_only=True):
    """A detector as it stands."""

    signal: Annotated[str, Meta(pattern="^detector:", description="detector:SIGNAL/DETECTOR[/SEGMENT]; the key.")]
    segment: Annotated[str, Meta(description="FIELD=VALUE; empty: the whole signal.")]
    detector: Annotated[str, Meta(description="Name of the detector.")]
    statistic: Annotated[float | None, Meta(description="Its statistic; null: none yet.")]
    threshold: Annotated[float | None, Meta(description="Its threshold; null: none yet.")]
    n: Annotated[int, Meta(description="Observations since it began.")]
    missing: Annotated[int, Meta(description="Missing values, counted and not fed.")]
    estimate: Annotated[float | None, Meta(description="Mean of the signal since it began; null: none yet.")]


class Estimate(Figure, kw_only=True):
    """The champion's mean loss, estimated before the labels come, and as far as labels are there."""

    signal: Annotated[str, Meta(pattern="^estimate:", description="estimate:MODEL; key of the record.")]
    level: Annotated[float, Meta(description="Level of the intervals, 0 to 1.")]
    window: Annotated[int, Meta(description="Newest events that are meant.")]
    estimated: Annotated[float | None, Meta(description="Estimated mean loss; null: no estimate.")]
    interval: Annotated[Interval | None, Meta(description="Interval of it; null: not known yet.")]
    labels: Annotated[int, Meta(description="Of these events, those whose label is there.")]
    realised: Annotated[float | None, Meta(description="Their mean loss; null: no label.")]
    realised_interval: Annotated[Interval | None, Meta(description="Interval of it; null: not known yet.")]
    calibrated_on: Annotated[int, Meta(description="Labels that the estimate has learned from.")]
    fused: Annotated[float | None, Meta(description="Both together: labels where they are there, else the estimate.")]
    fused_interval: Annotated[Interval | None, Meta(description="Interval of it; null: not known yet.")]


class Mean(Closed):
    """A mean with an interval that holds whenever it is looked at."""

    n: Annotated[int, Meta(description="Labels that it is of.")]
    mean: Annotated[float | None, Meta(description="The mean; null: no label.")]
    interval: Annotated[Interval | None, Meta(description="Confidence sequence of it; null: not known yet.")]


class Gap(Closed):
    """What the mean of arm B differs by from that of A."""

    mean: Annotated[float | None, Meta(description="B - A; null: not known yet.")]
    interval: Annotated[Interval | None, Meta(description="Confidence sequence of it; null: not known yet.")]


class Arm(Closed):
    """One arm of an A/B comparison."""

    version: Annotated[str | None, Meta(description="Version of its model; null: none stands there.")]
    events: Annotated[int, Meta(description="Events predicted.")]
    fallback: Annotated[int, Meta(description="Of them in arm B those that got the champion's prediction.")]
    labels: Annotated[int, Meta(description="Of them those that have their label.")]
    loss: Annotated[Mean | None, Meta(description="0/1 loss or absolute error of what was given out; null: no loss.")]
    champion_loss: Annotated[Mean | None, Meta(description="The champion's on the same events; null: no loss.")]
    label: Annotated[Mean | None, Meta(description="The label: positive rate, or mean; null: several classes.")]


class Arms(Closed):
    """Both arms."""

    A: Annotated[Arm, Meta(description="Those who get the champion's predictions.")]
    B: Annotated[Arm, Meta(description="Those who get the other lane's.")]


class Gaps(Closed):
    """What B differs by."""

    loss: Annotated[Gap | None, Meta(description="In the loss of what was given out; null: no loss.")]
    champion_loss: Annotated[Gap | None, Meta(description="In the champion's: what the keys differ by; null: no loss.")]
    label: Annotated[Gap | None, Meta(description="In the label; null: several classes.")]


class Ab(Figure, kw_only=True):
    """The A/B comparison that goes on."""

    signal: Annotated[Literal["ab"], Meta(description="Key of the record.")]
    lane: Annotated[str, Meta(description="Lane whose model arm B gets.")]
    share: Annotated[float, Meta(description="Share of the keys in arm B.")]
    by: Annotated[Literal["key", "id"], Meta(description="What is shared out.")]
    level: Annotated[float, Meta(description="Level of each interval, 0 to 1.")]
    sequence: Annotated[Literal["bounded", "asymptotic"], Meta(description="Kind of the confidence sequences.")]
    since: Annotated[int, Meta(description="Records of the shard that had been handled when it began.")]
    arms: Annotated[Arms, Meta(description="Both arms.")]
    difference: Annotated[Gaps, Meta(description="Arm B - arm A.")]
    better: Annotated[Literal["A", "B"] | None, Meta(description="The arm with less loss; null: not decided.")]
    labels_more: Annotated[int | None, Meta(description="About how many labels decide it; null: not to be seen.")]


class Dropped(Closed, kw_only=True):
    """When and why a model of a set was dropped."""

    rung: Annotated[int, Meta(description="At the end of which rung.")]
    events: Annotated[int, Meta(description="Events that had been tried since the choice began.")]
    labels: Annotated[int, Meta(description="Labels that had been counted.")]
    loss: Annotated[float | None, Meta(description="Its fading loss then; null: no label yet.")]
    worst_kept: Annotated[float | None, Meta(description="The largest of those that went on; null: no label yet.")]


class Candidate(Closed, kw_only=True):
    """A model of a set."""

    model: Annotated[str, Meta(description="Class and parameters.")]
    loss: Annotated[float | None, Meta(description="Fading loss, as it is or was last counted; null: no label yet.")]
    failures: Annotated[int, Meta(description="Operations that it raised an error on.")]
    dropped: Annotated[Dropped | None, Meta(description="null: it is still tried, or in use.")]


class Choice(Figure, kw_only=True):
    """Which model of its set a model with `use = "auto"` uses, and why."""

    signal: Annotated[str, Meta(pattern="^choice:", description="choice:MODEL; key of the record.")]
    chosen: Annotated[str, Meta(description="The one in use.")]
    why: Annotated[str, Meta(description="Why, as a sentence.")]
    decided: Annotated[bool, Meta(description="All others have been dropped.")]
    choice: Annotated[int, Meta(description="1, and one more after each reset.")]
    budget: Annotated[int, Meta(description="Model-events that may be spent on models beyond the one in use.")]
    spent: Annotated[int, Meta(description="Model-events spent on them in this choice.")]
    events: Annotated[int, Meta(description="Events predicted in this choice.")]
    labels: Annotated[int, Meta(description="Labels counted in it while there was more than one model.")]
    candidates: Annotated[list[Candidate], Meta(description="The whole set, in its order.")]


METRICS = (Stream, Performance, Trial, Labels, Incidents, Detector, Estimate, Choice, Ab)
