"""Online features against their slow twin; cuts, resumption, eviction, bounds."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.config import Config, Engine, Feature, Field, Schema, Window
from stream_app.flow.features import Features
from tests.naive_features import NaiveFeatures

PREDICT, LEARN, FORGET = 0, 1, 2
SCHEMA = Schema(
    key="key",
    fields={"colour": Field(type="category"), "x": Field(type="number"), "y": Field(type="number")},
)
OF = {"target_mean": [None], "count": [None, "x", "colour"], "rate": [None, "x"], "unique": ["x", "colour"]}


class Stream:
    """A tape of m operations over n events, to be run whole or in parts."""

    def __init__(self, operations, events):
        self.operations = operations  # (kind, slot, row or 0, target)
        self.time, self.x, self.y, self.colour, self.key = (
            (list(column) for column in zip(*events, strict=True)) if events else ([],) * 5
        )

    def part(self, start, stop, slots=None):
        """The arguments of `run` for operations start..stop; `slots` renames slots."""
        part = self.operations[start:stop]
        rows = [row for kind, _, row, _ in part if kind == PREDICT]
        first, last = (rows[0], rows[-1] + 1) if rows else (0, 0)
        names = slots or {}
        return (
            np.array([kind for kind, *_ in part], np.uint8),
            np.array([names.get(slot, slot) for _, slot, *_ in part], np.int64),
            np.array([row - first if kind == PREDICT else 0 for kind, _, row, _ in part], np.int64),
            np.array([target for *_, target in part], np.float64),
            np.array(self.time[first:last], np.int64),
            np.array([self.x[first:last], self.y[first:last]], np.float64).T.reshape(-1, 2),
            [self.colour[first:last]],
            self.key[first:last],
        )

    def __len__(self):
        return len(self.operations)


numbers = st.one_of(
    st.just(np.nan), st.sampled_from([0.0, -0.0, 1.0, 2.0, 0.1]), st.floats(-1e6, 1e6, allow_nan=False, width=32)
)
texts = st.one_of(st.none(), st.sampled_from(["", "a", "b", "c", "d", "ü"]))
event = st.tuples(st.integers(-50, 300), numbers, numbers, texts, texts)
whole_window = st.one_of(
    st.builds(Window, events=st.integers(1, 12)), st.builds(Window, duration_ms=st.integers(1, 200))
)


@st.composite
def features(draw, stats=tuple(Feature.__annotations__["stat"].__args__)):
    stat = draw(st.sampled_from(stats))
    of = draw(st.sampled_from(OF.get(stat, ["x", "y"])))
    by = draw(st.sampled_from([None, "colour", "key"]))
    return Feature(name="", stat=stat, of=of, by=by, over=draw(whole_window), q=draw(st.floats(0, 1)))


SMALL = st.one_of(
    st.just(Engine()), st.builds(Engine, max_keys=st.integers(1, 5)), st.builds(Engine, max_values=st.integers(1, 9))
)


@st.composite
def configs(draw):
    drawn = draw(st.lists(features(), min_size=1, max_size=5))
    named = tuple(Feature(name=f"f{i}", stat=f.stat, of=f.of, by=f.by, over=f.over, q=f.q) for i, f in enumerate(drawn))
    return Config(name="test", schema=SCHEMA, features=named, engine=draw(SMALL))


@st.composite
def streams(draw, max_events=40):
    """Events in any order of time, labels after their event, some slots forgotten; slots are not reused."""
    events = draw(st.lists(event, max_size=max_events))
    operations, waiting = [], []
    for row in range(len(events)):
        operations.append((PREDICT, row, row, 0.0))
        waiting.append(row)
        for _ in range(draw(st.integers(0, 2))):
            if waiting:
                slot = waiting.pop(draw(st.integers(0, len(waiting) - 1)))
                kind = draw(st.sampled_from([LEARN, LEARN, FORGET]))
                operations.append((kind, slot, 0, draw(st.sampled_from([0.0, 1.0, 2.5, np.nan]))))
    return Stream(operations, events)


def assert_same_news(expected, actual):
    assert [group[:3] for group in expected] == [group[:3] for group in actual]
    for (*_, wanted), (*_, given_) in zip(expected, actual, strict=True):
        assert wanted.keys() == given_.keys()
        for name, value in wanted.items():
            assert given_[name] == (None if value is None else pytest.approx(value, rel=1e-9, abs=1e-6))


@settings(max_examples=300, deadline=None)
@given(configs(), streams(), st.data())
def test_agrees_with_the_slow_twin(config, stream, data):
    ours, twin = Features(config), NaiveFeatures(config)
    cut = data.draw(st.integers(0, len(stream)))

    for start, stop in ((0, cut), (cut, len(stream))):
        part = stream.part(start, stop)

        np.testing.assert_allclose(ours.run(*part), twin.run(*part), rtol=1e-9, atol=1e-6)
        assert_same_news(twin.newest(), ours.newest())


@settings(max_examples=150, deadline=None)
@given(configs(), streams(), st.data())
def test_the_cut_changes_no_bit(config, stream, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    whole, parts = Features(config), Features(config)
    expected = whole.run(*stream.part(0, len(stream)))

    actual = [parts.run(*stream.part(a, b)) for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    assert expected.tobytes() == np.concatenate(actual).tobytes()
    live = np.arange(len(stream.time))
    assert flat(whole.to_state(live)) == flat(parts.to_state(live))
    assert whole.newest() == parts.newest()


def flat(state):
    """A state as nested plain values that compare by bits."""
    if isinstance(state, dict):
        return {name: flat(part) for name, part in state.items()}
    if isinstance(state, list):
        return [flat(part) for part in state]
    return (state.dtype.str, state.shape, state.tobytes()) if isinstance(state, np.ndarray) else state


@settings(max_examples=40, deadline=None)
@given(configs(), streams(max_events=20), st.booleans())
def test_resumes_at_every_operation_to_the_bit(config, stream, looked):
    whole = Features(config)
    expected = whole.run(*stream.part(0, len(stream)))
    news = whole.newest()
    for cut in range(len(stream) + 1):
        before = Features(config)
        first = before.run(*stream.part(0, cut))
        if looked:
            before.newest()
        live, names = waiting(stream, cut)

        after = Features(config)
        after.load(before.to_state(live))
        second = after.run(*stream.part(cut, len(stream), names))

        assert expected.tobytes() == first.tobytes() + second.tobytes()
        ours = after.newest()
        assert ours == (news if not looked else [group for group in news if group in ours])


def waiting(stream, cut):
    """The slots that wait at `cut`, and the names that slots have after a load."""
    live = {}
    for kind, slot, *_ in stream.operations[:cut]:
        if kind == PREDICT:
            live[slot] = None
        else:
            del live[slot]
    names = {slot: i for i, slot in enumerate(live)}
    later = [slot for kind, slot, *_ in stream.operations[cut:] if kind == PREDICT]
    return np.array(list(live), np.int64), names | {slot: len(live) + i for i, slot in enumerate(later)}


def config_of(*features_, **engine):
    return Config(name="test", schema=SCHEMA, features=features_, engine=Engine(**engine))


def run(config, xs, times=None, keys=None):
    """Events only: column by column of features."""
    n = len(xs)
    stream = Stream(
        [(PREDICT, i, i, 0.0) for i in range(n)],
        list(zip(times or range(n), xs, xs, [None] * n, keys or [None] * n, strict=True)),
    )
    ours = Features(config)
    return ours, ours.run(*stream.part(0, n)).T.tolist()


def test_an_event_does_not_see_itself():
    _, (mean, count) = run(
        config_of(
            Feature(name="m", stat="last", of="x", over=Window(events=1)),
            Feature(name="c", stat="count", over=Window(duration_ms=10)),
        ),
        [7.0, 8.0, 9.0],
    )

    assert str(mean) == "[nan, 7.0, 8.0]"
    assert count == [0.0, 1.0, 2.0]


def test_a_duration_is_open_at_its_start_and_time_never_goes_back():
    _, (count,) = run(
        config_of(Feature(name="c", stat="count", over=Window(duration_ms=10))), [0.0] * 5, times=[0, 10, 9, 19, 20]
    )

    assert count == [0.0, 0.0, 1.0, 2.0, 1.0]  # 9 is taken as 10; (10, 20] holds 19 alone


def test_a_missing_value_leaves_a_gap_in_a_window_of_events():
    _, (total,) = run(
        config_of(Feature(name="s", stat="sum", of="x", over=Window(events=2))), [1.0, 2.0, np.nan, 4.0, 8.0]
    )

    assert total == [0.0, 1.0, 3.0, 2.0, 4.0]


@pytest.mark.parametrize("stat", ["sum", "mean", "var", "min", "max", "quantile", "last", "unique"])
def test_huge_and_infinite_values_neither_raise_nor_stay(stat):
    config = config_of(Feature(name="f", stat=stat, of="x", over=Window(events=3)))
    tail = [1.0, 2.0, 4.0, 0.0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, (values,) = run(config, [1e308, 1e308, -1e308, np.inf, -np.inf, np.nan, -1.7e308, 1.7e308, 1e-320, *tail])
        _, (expected,) = run(config, tail)

    assert values[-1] == pytest.approx(expected[-1], rel=1e-15)


def test_the_mean_of_finite_values_is_finite_and_a_constant_has_no_variance():
    _, (mean, var) = run(
        config_of(
            Feature(name="m", stat="mean", of="x", over=Window(events=4)),
            Feature(name="v", stat="var", of="x", over=Window(events=4)),
        ),
        [1.7e308, -1.7e308, 1.7e308] + [0.1] * 40,
    )

    assert np.isfinite(mean[1:]).all()
    assert mean[-9:] == [0.1] * 9
    assert var[-9:] == [0.0] * 9


def test_a_spike_is_forgotten_to_the_last_bit():
    """Running sums by subtraction keep the error of a large value for ever."""
    config = config_of(Feature(name="s", stat="sum", of="x", over=Window(events=10)))
    _, (total,) = run(config, [0.1] * 5 + [1e17] + [0.25] * 30)

    assert total[-1] == 2.5


@pytest.mark.parametrize("stat", ["mean", "quantile", "unique"])
def test_memory_is_bounded(stat):
    config = config_of(
        Feature(name="f", stat=stat, of="x", by="key", over=Window(duration_ms=10**9)), max_values=100, max_keys=16
    )
    rng = np.random.default_rng(3)
    ours, _ = run(config, rng.normal(size=20_000).tolist(), keys=[str(k) for k in rng.integers(0, 300, 20_000)])
    store = ours._windows[0].store

    assert len(store.pool) == 101
    assert len(store.ranks) <= 101
    assert len(store.groups) <= 32
    assert len(ours.to_state(np.zeros(0, np.int64))["windows"][0]["entries"]["value"]) <= 100


def test_a_label_for_an_earlier_life_of_a_key_is_dropped():
    config = config_of(Feature(name="t", stat="target_mean", by="key", over=Window(events=9)), max_keys=1)
    events = [(0, 0.0, 0.0, None, key) for key in "abaa"]
    operations = [(PREDICT, i, i, 0.0) for i in range(3)] + [
        (LEARN, 0, 0, 5.0),
        (LEARN, 2, 0, 1.0),
        (PREDICT, 3, 3, 0.0),
    ]

    values = Features(config).run(*Stream(operations, events).part(0, 6))

    assert values[3, 0] == 1.0


def test_rows_that_the_tape_skips_are_nan_and_leave_no_trace():
    config = config_of(
        Feature(name="c", stat="count", over=Window(events=9)), Feature(name="u", stat="unique", of="colour")
    )
    ours = Features(config)
    rows = np.array([0, 2])

    values = ours.run(
        np.zeros(2, np.uint8), rows, rows, np.zeros(2), np.arange(3), np.zeros((3, 2)), [["a", "b", "c"]], [None] * 3
    )

    assert str(values.tolist()) == "[[0.0, 0.0], [nan, nan], [1.0, 1.0]]"


def test_times_at_the_edge_of_the_range_do_not_overflow():
    edge = np.iinfo(np.int64)
    _, (count,) = run(
        config_of(Feature(name="c", stat="count", over=Window(duration_ms=10))),
        [0.0] * 4,
        times=[edge.min, edge.min, 0, edge.max],
    )

    assert count == [0.0, 1.0, 0.0, 0.0]


def test_a_label_arrives_at_the_largest_event_time_seen_also_after_a_load():
    config = config_of(Feature(name="t", stat="target_mean", by="key", over=Window(duration_ms=10)))
    events = [(time, 0.0, 0.0, None, key) for time, key in [(0, "a"), (100, "b"), (105, "a")]]
    stream = Stream([(PREDICT, 0, 0, 0.0), (PREDICT, 1, 1, 0.0), (LEARN, 0, 0, 1.0), (PREDICT, 2, 2, 0.0)], events)
    before, after = Features(config), Features(config)
    before.run(*stream.part(0, 2))

    after.load(before.to_state(np.arange(2)))

    assert after.run(*stream.part(2, 4)).tolist() == [[1.0]]
