"""Detect: which detector each segment has, what it is fed, where an alarm says the change began."""

import numpy as np
import pytest
from chunks import SCHEMA, TIMELESS, config_of, event, through, values
from hypothesis import given
from hypothesis import strategies as st

import detectors
from stream_app.config import arl0_of, signals
from stream_app.flow.chunk import Alarm, Column
from stream_app.flow.detect import Detect, detector_params
from stream_app.flow.segments import Trail
from stream_app.pipeline import Pipeline
from stream_app.texts import Coded

PLAIN = '[[watch]]\nsignal = "feature:a"\ndetector = "adwin"\narl0 = 10000\n'
BY = PLAIN + 'by = "c"\nmax_segments = 2\n'
BUDGET = '[alarms]\nbudget = "1 per 1000 events"\n'


def column(x, codes=None, *, first: int = 0, groups: str = "c") -> Column:
    n = np.arange(len(x)) + first
    codes = np.zeros(len(x), np.int64) if codes is None else np.array(codes, np.int64)
    return Column(np.array(x, float), n, 10 * n, 1000 * n, {groups: codes})


def detect(text: str, vocabulary: tuple[str, ...] = ("x", "y", "z", "w")) -> Detect:
    pipeline = Pipeline(config_of(BUDGET + text))
    pipeline.validate.vocabularies["c"].encode(Coded.of(list(vocabulary)))
    return pipeline.detect


def run(text: str, *columns: Column) -> tuple[list[Alarm], Detect]:
    stage = detect(text)
    return [alarm for part in columns for alarm in stage.monitors[0].run(part)], stage


def shifted(n: int, at: int, *, by: float = 3, seed: int = 1) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=n)
    x[at:] += by
    return x


def test_a_shift_fires_once_with_its_place_and_its_onset() -> None:
    (alarm,), _ = run(PLAIN, column(shifted(1500, at=1000)))

    assert 1000 < alarm.record < 1060
    assert (alarm.offset, alarm.time_ms) == (10 * alarm.record, 1000 * alarm.record)
    assert abs(alarm.onset_offset - 10_000) <= 10 * 32
    assert alarm.onset_time_ms == 100 * alarm.onset_offset
    assert alarm.onset_offset == 10 * (alarm.record - alarm.drift.age + 1)
    assert (alarm.signal, alarm.segment, alarm.detector, alarm.watch) == ("feature:a", "", "adwin", 0)
    assert alarm.drift.direction == 1


@pytest.mark.parametrize(("name", "reference"), [("adwin", 0), ("page_hinkley", 0), ("ks", 1000)])
def test_alarms_are_those_of_the_detector_alone(name: str, reference: int) -> None:
    x = shifted(3000, at=2000)
    x[::7] = np.nan
    text = PLAIN.replace("adwin", name) + (f'reference = "{reference} events"\n' if reference else "")
    found, _ = run(text, column(x[:1234]), column(x[1234:], first=1234))
    alone = detectors.make(name, arl0=10_000, **({"reference": reference} if reference else {})).update_many(x)

    assert alone
    assert [(alarm.record, alarm.drift) for alarm in found] == alone


@pytest.mark.parametrize(("name", "key", "value"), [("adwin", "delta", 0.002), ("psi", "alpha", 1e-5)])
def test_with_parameters_of_the_literature_a_detector_has_no_part_in_the_budget(
    name: str, key: str, value: float
) -> None:
    x = shifted(7000, at=6000)
    watch = f'[[watch]]\nsignal = "feature:a"\ndetector = "{name}"\nparams = {{ {key} = {value} }}\n'
    stream = [event(f"e{i}", i, a=float(value)) for i, value in enumerate(x)]
    chunk, pipeline = through(config_of(BUDGET + watch), stream, closes=True)
    alone = detectors.make(name, **{key: value}).update_many(x)

    assert alone
    assert [(alarm.record, alarm.drift) for alarm in chunk.alarms] == alone
    assert pipeline.detect.expected_false() == 0


def test_the_onset_counts_only_what_was_fed() -> None:
    """Every second observation is missing: so many fed ones back are twice as many records back."""
    x = np.full(4000, np.nan)
    x[::2] = shifted(2000, at=1000)
    (alarm,), stage = run(PLAIN, column(x))
    segment = stage.monitors[0].segments[-2]

    assert alarm.onset_offset == 10 * (alarm.record - 2 * (alarm.drift.age - 1))
    assert abs(alarm.onset_offset - 20_000) <= 10 * 64
    assert segment.detector.missing == 2000
    assert segment.trail.n == 2000


def test_nothing_but_missing_values_feeds_nothing() -> None:
    alarms, stage = run(PLAIN, column([np.nan, np.inf, -np.inf]))

    assert alarms == []
    assert (stage.monitors[0].segments[-2].detector.n, stage.monitors[0].segments[-2].detector.missing) == (0, 3)


def test_each_segment_has_a_detector_of_its_own() -> None:
    codes = np.tile([0, 1], 1500)
    x = np.random.default_rng(2).normal(size=3000)
    x[2001::2] += 3
    alarms, stage = run(BY, column(x, codes))

    assert {alarm.segment for alarm in alarms} == {"c=y"}
    assert 2000 < alarms[0].record < 2100
    assert abs(alarms[0].onset_offset - 20_000) <= 10 * 64
    assert [stage.monitors[0].segments[code].detector.n > 0 for code in (0, 1)] == [True, True]
    assert stage.monitors[0].segments[0].detector.n == 1500


def test_segments_past_the_limit_share_one_in_stream_order() -> None:
    codes = [3, -1, 0, 1, 2, 3, -1, 0]
    _, stage = run(BY, column(np.arange(8), codes))
    fed = {stage.monitors[0].label(code): s.detector.n for code, s in stage.monitors[0].segments.items()}

    assert fed == {"c=w": 2, "c=(missing)": 2, "c=(other)": 4}


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=30), st.integers(0, 30))
def test_which_segments_there_are_does_not_depend_on_the_cut(codes: list[int], cut: int) -> None:
    x = np.arange(len(codes))
    _, whole = run(BY, column(x, codes))
    _, parts = run(BY, column(x[:cut], codes[:cut]), column(x[cut:], codes[cut:], first=min(cut, len(codes))))

    assert dict(whole.figures()).keys() == dict(parts.figures()).keys()
    assert repr(sorted(whole.figures(), key=str)) == repr(sorted(parts.figures(), key=str))


def test_alarms_of_all_segments_come_in_the_order_of_the_stream() -> None:
    x = np.random.default_rng(4).normal(size=4000)
    codes = np.tile([0, 1], 2000)
    x[2000::2] += 3
    x[1000:][codes[1000:] == 1] -= 3
    alarms, _ = run(BY, column(x, codes))

    assert [alarm.segment for alarm in alarms][:2] == ["c=y", "c=x"]
    assert [alarm.record for alarm in alarms] == sorted(alarm.record for alarm in alarms)


def test_many_segments_fire_as_their_detectors_alone_and_keep_no_more_than_they_saw() -> None:
    codes = np.random.default_rng(5).integers(0, 100, 30_000)
    x = np.random.default_rng(6).normal(size=30_000)
    x[15_000:][codes[15_000:] < 30] += 4
    text = BY.replace("max_segments = 2", "max_segments = 100\nparams = { warm_up = 20 }").replace("10000", "1000")
    names = tuple(map(str, range(100)))
    stage = detect(text, names)
    alarms = [a for k in range(0, 30_000, 4096) for a in stage.monitors[0].run(part(column(x, codes), k, k + 4096))]

    expected = []
    for code in range(100):
        mine = np.flatnonzero(codes == code)
        fired = detectors.make("adwin", arl0=1000, warm_up=20).update_many(x[mine])
        expected += [(int(mine[at]), f"c={code}", drift, 10 * int(mine[at - drift.age + 1])) for at, drift in fired]
    assert len(expected) > 20
    assert [(a.record, a.segment, a.drift, a.onset_offset) for a in alarms] == sorted(expected)
    assert sum(segment.trail._places.nbytes for segment in stage.monitors[0].segments.values()) < 4 * 24 * len(x)


def part(whole: Column, start: int, stop: int) -> Column:
    """Some of the rows."""
    columns = (values[start:stop] for values in (whole.x, whole.record, whole.offset, whole.time_ms))
    return Column(*columns, {name: codes[start:stop] for name, codes in whole.groups.items()})


def test_keys_are_segments_of_their_gaps() -> None:
    stage = detect('[[watch]]\nsignal = "key:*"\ndetector = "page_hinkley"\n')
    monitor = stage.monitors[0]
    monitor.names.encode(Coded.of(["ann", "bob"]))
    monitor.run(column([1, 2, 3], [0, 1, -1], groups="key"))

    assert sorted(monitor.label(code) for code in monitor.segments) == ["key=(missing)", "key=ann", "key=bob"]


def test_category_codes_read_as_names_in_the_evidence() -> None:
    text = '[[watch]]\nsignal = "feature:c"\ndetector = "psi"\nreference = "500 events"\narl0 = 10000\n'
    x = np.random.default_rng(5).choice([0, 1, 2], p=[0.6, 0.3, 0.1], size=4000).astype(float)
    x[2500:] = np.random.default_rng(6).choice([0, 1, 3], p=[0.1, 0.3, 0.6], size=1500)
    alarms, _ = run(text, column(x))
    names = [part["category"] for part in alarms[0].detail["bins"]]

    assert set(names) <= {"x", "y", "z", None}
    assert None in names  # what the reference had not seen
    assert {"before", "after"} <= set(alarms[0].detail["bins"][0])
    assert all(isinstance(part["category"], float | int | None) for part in alarms[0].drift.detail["bins"])


def test_a_trail_finds_the_place_of_each_observation() -> None:
    (_, stage) = run(PLAIN, column(np.zeros(700)), column(np.zeros(300), first=700))
    trail = stage.monitors[0].segments[-2].trail

    assert trail.n == 1000
    assert [trail.find(number) for number in (0, 699, 700, 999)] == [
        (0, 0), (6990, 699_000), (7000, 700_000), (9990, 999_000),
    ]  # fmt: skip
    assert trail.find(-5) == (0, 0)  # before the first is the first


def test_a_thinned_trail_is_bounded_and_coarse_but_never_late() -> None:
    monitor = detect(PLAIN).monitors[0]
    for first in range(0, 20_000, 1000):
        monitor.run(column(np.zeros(1000), first=first))
        monitor.segments[-2].trail.thin()
    trail = monitor.segments[-2].trail

    assert len(trail.places) <= Trail.LIMIT
    assert trail.stride == 32
    assert [trail.find(number)[0] for number in (0, 31, 32, 12_345, 19_999)] == [0, 0, 320, 123_200, 199_680]


def test_the_budget_is_shared_by_all_signals_and_segments_do_not_divide_it() -> None:
    config = config_of(
        BUDGET
        + PLAIN.replace("arl0 = 10000\n", 'by = "c"\n')
        + '[[watch]]\nsignal = "missing:*"\ndetector = "page_hinkley"\n'
        + '[[watch]]\nsignal = "rejects"\ndetector = "adwin"\narl0 = 2000\n'
    )
    params = [detector_params(config, signal, arl0_of(config)) for signal in signals(config)]
    stage = Pipeline(config).detect

    assert [p["arl0"] for p in params] == [6000, 6000, 6000, 2000]  # half of 1 per 1000 is left for three
    assert arl0_of(config) == 6000
    assert [m.fresh().detector.params["arl0"] for m in stage.monitors] == [6000, 6000, 6000, 2000]
    assert sum(1000 / p["arl0"] for p in params) == pytest.approx(1)


def test_what_a_detector_is_made_with() -> None:
    config = config_of(
        '[[watch]]\nsignal = "feature:c"\ndetector = "psi"\nreference = "500 events"\nparams = { window = 60 }\n'
        '[[watch]]\nsignal = "feature:a"\ndetector = "ks"\nreference = "rolling 300 events"\narl0 = 1e7\n'
        '[[watch]]\nsignal = "feature:a"\ndetector = "adwin"\nseason = "hour-of-day"\ndependence = "ar"\narl0 = 1e7\n'
    )
    first, second, third = (detector_params(config, signal, 1e6) for signal in signals(config))

    assert {k: first[k] for k in ("reference", "categories", "window")} == {
        "reference": 500, "categories": True, "window": 60,
    }  # fmt: skip
    assert second == {"reference": 300, "rolling": True, "arl0": 1e7}
    assert third == {"arl0": 1e7, "season": "hour-of-day", "dependence": "ar"}


def test_a_heavier_watch_gets_more_of_the_budget() -> None:
    watch = '[[watch]]\nsignal = "feature:{}"\ndetector = "adwin"\nweight = {}\n'
    config = config_of(BUDGET + watch.format("a", 3.0) + watch.format("a", 1.0).replace("adwin", "ks"))
    share = arl0_of(config)
    spent = [1 / detector_params(config, signal, share)["arl0"] for signal in signals(config)]

    assert spent[0] == pytest.approx(3 * spent[1])
    assert sum(spent) == pytest.approx(1 / 1000)


def test_a_season_by_the_clock_is_no_drift() -> None:
    """The mean goes up and down with the hour of the event's time."""
    hour = np.arange(4000) // 10
    x = 3.0 * (hour % 24 >= 12) + np.random.default_rng(2).normal(size=4000)
    stream = [event(f"e{i}", 360_000 * i, a=float(value)) for i, value in enumerate(x)]
    plain, seasonal = (
        through(config_of(BUDGET + f'[[watch]]\nsignal = "feature:a"\ndetector = "adwin"\n{season}'), stream)[0].alarms
        for season in ("", 'season = "hour-of-day"\n')
    )

    assert len(plain) > 3
    assert seasonal == []


@pytest.mark.parametrize("schema", [SCHEMA, TIMELESS])
def test_through_the_pipeline_the_alarm_names_the_record(schema: str) -> None:
    x = shifted(1500, at=1000)
    stream = [event(f"e{i}", 7 * i, a=float(value)) for i, value in enumerate(x)]
    chunk, _ = through(config_of(BUDGET + PLAIN, schema), stream)
    (alarm,) = chunk.alarms

    assert alarm.record == alarm.offset
    assert alarm.time_ms == (7 if schema is SCHEMA else 1) * alarm.offset
    assert abs(alarm.onset_offset - 1000) < 32


def test_figures_of_each_detector_on_the_grid() -> None:
    stream = [event(f"e{i}", i, a=i % 3, c="xy"[i % 2]) for i in range(10)]
    chunk, _ = through(config_of(BUDGET + BY), [*stream, event("m", 10, c="x")], closes=True)
    found = {m["signal"]: m for m in values(chunk.out.messages, "metrics") if m["signal"].startswith("detector")}

    assert found.keys() == {"detector:feature:a/adwin/c=x", "detector:feature:a/adwin/c=y"}
    one = found["detector:feature:a/adwin/c=x"]
    assert (one["n"], one["missing"], one["segment"], one["detector"], one["record"]) == (5, 1, "c=x", "adwin", 11)
    assert {"statistic", "threshold", "estimate"} <= one.keys()


def test_the_level_is_the_segments_mean() -> None:
    _, stage = run(BY, column([1, 10, 3, 20] * 500, [0, 1, 0, 1] * 500))

    mean, n = stage.level(0, "feature:a", "c=y")
    assert mean == pytest.approx(15)
    assert n > 0
    assert repr(stage.level(0, "feature:a", "c=z")) == repr(stage.level(1, "feature:a", "c=y")) == "(nan, 0)"


def test_a_restart_forgets_the_signal_and_only_it() -> None:
    stage = detect(PLAIN + '[[watch]]\nsignal = "rejects"\ndetector = "adwin"\n')
    for monitor in stage.monitors:
        monitor.run(column([1, 2]))
    stage.restart("feature:a")

    assert [len(monitor.segments) for monitor in stage.monitors] == [0, 1]


def test_state_comes_back_in_the_middle_of_a_shift() -> None:
    x, codes = shifted(3000, at=1500), np.random.default_rng(1).integers(-1, 4, 3000)
    whole, _ = run(BY, column(x, codes))
    stage, again = detect(BY), detect(BY)
    before = stage.monitors[0].run(column(x[:1510], codes[:1510]))
    again.load(stage.to_state(np.empty(0, np.int64)))
    after = again.monitors[0].run(column(x[1510:], codes[1510:], first=1510))

    assert whole
    assert before + after == whole


def test_all_features_as_one_signal_name_those_that_moved() -> None:
    watch = '[[watch]]\nsignal = "features"\ndetector = "hotelling"\narl0 = 10000\n'
    schema = SCHEMA.replace("c = {", 'b = { type = "number" }\nc = {')
    x = np.random.default_rng(4).normal(size=(2000, 2))
    x[1500:, 1] += 2
    stream = [event(f"e{i}", 7 * i, a=row[0], b=row[1], c="x") for i, row in enumerate(x.tolist())]
    (alarm,) = through(config_of(BUDGET + watch, schema), stream)[0].alarms

    assert alarm.signal == "features"
    assert alarm.detail["features"][0]["feature"] == "b"
    assert abs(alarm.onset_offset - 1500) < 40
