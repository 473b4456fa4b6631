"""What quality signals learn, and what they say afterwards."""

import numpy as np
import pytest

from detectors import make
from stream_app.config import parse
from stream_app.errors import ConfigError
from stream_app.flow.quality import LEARN, RENOWN, Frozen, Range, Unseen


def in_cuts(memory, values, cuts) -> np.ndarray:
    """The same in parts, through a new memory loaded from the state of the old at each cut."""
    found = []
    for part in np.split(values, cuts):
        fresh = type(memory)(*([8] if not isinstance(memory, Range) else []))
        fresh.load(memory.to_state())
        memory = fresh
        found.append(memory.run(part, np.zeros(len(part), int)) if isinstance(memory, Frozen) else memory.run(part))
    return np.concatenate(found)


def test_an_unseen_category_is_reported_and_becomes_known() -> None:
    codes = np.concatenate([np.arange(LEARN) % 3, [0, -1, 5], np.full(RENOWN, 5), [5, 2]])
    x = Unseen(8).run(codes)

    assert np.isnan(x[:LEARN]).all()
    assert np.array_equal(x[LEARN : LEARN + 3], [0, np.nan, 1], equal_nan=True)
    assert x[LEARN + 3 :].tolist() == [1] * (RENOWN - 1) + [0] * 3


def test_a_sentinel_and_a_wrong_unit_are_out_of_range_and_outliers_in_the_reference_do_not_hide_them() -> None:
    rng = np.random.default_rng(1)
    reference = rng.normal(500, 50, LEARN)
    reference[[7, 100, 2000]] = -999
    x = Range().run(np.concatenate([reference, [np.nan, 500, -999, 1000]]))

    assert np.isnan(x[: LEARN + 1]).all()
    assert x[LEARN + 1 :].tolist() == [0, 1, 1]


def test_the_range_leaves_a_thousandth_of_the_reference_at_each_end_and_holds_its_bounds() -> None:
    reference = np.concatenate([[np.inf, -np.inf], np.random.default_rng(5).permutation(2000)])
    x = Range(2000).run(np.concatenate([reference, [1, 2, 1997, 1998, np.inf]]))

    assert np.isnan(x[:2002]).all()
    assert x[2002:].tolist() == [1, 0, 0, 1, 1]


def test_in_control_few_numbers_are_out_of_range() -> None:
    x = Range().run(np.random.default_rng(2).normal(size=LEARN + 100_000))[LEARN:]

    assert 0.001 < x.mean() < 0.004


@pytest.mark.parametrize("name", ["adwin", "cusum", "ddm", "page_hinkley"])
def test_in_control_a_detector_of_what_was_learned_keeps_its_promise(name) -> None:
    """Signals that are nearly always 0: numbers beyond the learned range, and the tail of a large vocabulary."""
    rng = np.random.default_rng(7)
    n, arl0 = 200_000, 5e3
    share = 1 / np.arange(1, 1001) ** 1.1
    signals = Range().run(rng.normal(size=n)), Unseen(1000).run(rng.choice(1000, n, p=share / share.sum()))

    for x in signals:
        assert len(make(name, arl0=arl0).update_many(x)) <= n / arl0


def met(codes: np.ndarray, learn: int) -> list[float]:
    """`Unseen`, written down slowly."""
    seen: list[int] = []
    known: set[int] = set()
    answers = []
    for code in codes.tolist():
        if code < 0:
            answers.append(np.nan)
            continue
        answers.append(np.nan if len(seen) < learn else float(code not in known and seen[learn:].count(code) < RENOWN))
        if len(seen) < learn:
            known.add(code)
        seen.append(code)
    return answers


def repeated(values: np.ndarray, keys: np.ndarray) -> list[float]:
    """`Frozen`, written down slowly."""
    answers = []
    for i, value in enumerate(values):
        before = [v for v, key in zip(values[:i], keys[:i], strict=True) if key == keys[i] and not np.isnan(v)]
        answers.append(np.nan if np.isnan(value) or not before else float(before[-1] == value))
    return answers


def test_the_compiled_answers_are_those_of_the_slow_twins() -> None:
    rng = np.random.default_rng(4)
    codes = rng.choice(9, 3000, p=[0.4, 0.3, 0.1, 0.1, 0.05, 0.02, 0.01, 0.01, 0.01]) - 1
    values = np.where(rng.random(800) < 0.1, np.nan, rng.integers(0, 3, 800)).astype(float)
    values[[5, 6]] = np.inf
    keys = rng.integers(-1, 8, 800)

    assert np.array_equal(Unseen(8, 20).run(codes), met(codes, 20), equal_nan=True)
    assert np.array_equal(Frozen(8).run(values, keys), repeated(values, keys), equal_nan=True)


@pytest.mark.parametrize("memory", [Unseen(8), Range(), Frozen(8)])
def test_cuts_and_restarts_change_nothing(memory) -> None:
    values = np.random.default_rng(3).integers(-1, 8, LEARN + 3000)
    values = values if isinstance(memory, Unseen) else np.where(values < 0, np.nan, values)
    twin = type(memory)(*([] if isinstance(memory, Range) else [8]))
    whole = in_cuts(memory, values, [])

    assert np.array_equal(in_cuts(twin, values, [1, 1, 900, LEARN, LEARN + 700]), whole, equal_nan=True)


@pytest.mark.parametrize("kind", [Unseen, Frozen])
def test_a_state_is_a_copy(kind) -> None:
    def fed(memory, values):
        return memory.run(values, np.zeros(len(values), int)) if kind is Frozen else memory.run(values)

    values = np.arange(LEARN + 10) % 8
    values = values.astype(float) if kind is Frozen else values
    memory, twin = kind(8), kind(8)
    state = memory.to_state()
    twin.load(state)
    for one in (memory, twin):
        fed(one, values)

    assert np.array_equal(np.hstack(state), np.hstack(kind(8).to_state()), equal_nan=True)


@pytest.mark.parametrize(
    ("signal", "says"),
    [("unseen:a", "c"), ("range:c", "a"), ("frozen:z", "a"), ("rejects:typo", "did you mean")],
)
def test_a_field_without_the_signal_is_refused(signal: str, says: str) -> None:
    text = (
        'name = "x"\n[schema]\nlabel = "y"\n[schema.fields]\na = { type = "number" }\nc = { type = "category" }\n'
        f'[[watch]]\nsignal = "{signal}"\ndetector = "adwin"\n'
    )
    with pytest.raises(ConfigError, match=says):
        parse(text, "x.toml", {})
