"""Window and reference in bins, through psi: the kinds of reference, rare and unseen categories, evidence."""

import json
import math
import time

import numpy as np
import pytest

from detectors import make
from detectors._sketch import Sketch
from tests.naive import twin


def rng(seed=0):
    return np.random.default_rng(seed)


def cut_in_three(make_one, x, time_ms=None):
    """What a detector finds, fed whole and in uneven parts, which must be the same."""
    whole = make_one().update_many(x, time_ms)
    parts, found = make_one(), []
    for low, high in ((0, 17), (17, 1403), (1403, len(x))):
        times = None if time_ms is None else time_ms[low:high]
        found += [(low + at, drift) for at, drift in parts.update_many(x[low:high], times)]
    assert found == whole
    return whole


def test_a_reference_of_seconds_ends_with_its_time():
    x, time_ms = rng().normal(size=6000), np.cumsum(rng(1).exponential(100.0, 6000))
    x[4000:] += 1
    params = {"reference_s": 200.0, "window": 300}
    ((at, drift),) = cut_in_three(lambda: make("psi", **params), x, time_ms)[:1]
    same_length = int(np.sum(time_ms <= time_ms[0] + 200_000))
    counted = make("psi", reference=same_length, window=300)

    assert counted.update_many(x)[0][0] == at
    assert drift.before == pytest.approx(x[:same_length].mean())
    assert abs(at - drift.age - 4000) < 60


def test_a_reference_of_seconds_has_enough_and_needs_times():
    detector = make("psi", reference_s=0.001, window=10, arl0=100)
    detector.update_many(np.arange(25.0), 60_000.0 * np.arange(25))

    assert detector.sketch.n == 20
    with pytest.raises(ValueError, match="reference_s counts event time, so update_many needs time_ms"):
        make("psi", reference_s=5.0).update_many(np.ones(3))


def test_a_rolling_reference_forgets():
    """A slow trend: a fixed reference is left behind, a rolling one follows; a jump is found by both."""
    x = rng().normal(size=60_000) + np.linspace(0, 1.5, 60_000)
    x[55_000:] += 1.5
    fixed, rolling = (make("psi", rolling=r, reference=2000).update_many(x) for r in (False, True))

    assert fixed[0][0] < 50_000
    assert 55_000 <= rolling[0][0] < 55_400


@pytest.mark.parametrize("categories", [False, True])
def test_rolling_agrees_with_its_slow_twin(categories):
    x = rng().normal(size=1500) + np.repeat([0.0, 1.5], [900, 600])
    x = np.round(2 * x) if categories else x
    params = {"arl0": 1e3, "reference": 123, "window": 60, "rolling": True, "categories": categories, "bins": 6}
    found = [(at, drift.statistic, drift.threshold) for at, drift in make("psi", **params).update_many(x)]
    expected = twin("psi")(x, **params)

    assert expected
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_the_reference_has_edges_that_follow_it():
    x = np.concatenate([rng().normal(size=3000), np.linspace(0, 500, 60_000) + rng(1).normal(size=60_000)])
    detector = make("psi", rolling=True, reference=1000, window=1000, arl0=1e12)
    detector.update_many(x)
    shares = detector.sketch.counts / detector.sketch.n

    assert detector.sketch.n == 1000
    assert shares.max() < 0.5


def test_a_profile_is_a_reference():
    old, new = rng().normal(size=20_000), rng(1).normal(size=3000)
    new[1000:] += 0.5
    profile = json.loads(json.dumps(Sketch.of(old).to_dict()))
    found = cut_in_three(lambda: make("psi", profile=profile), new)

    assert 1000 <= found[0][0] < 1600
    assert found[0][1].before == pytest.approx(old.mean())
    assert found[1][0] - found[0][0] < 600  # the profile stays the reference: the next window alarms as well


def test_a_detector_gives_its_reference_as_a_profile():
    for params in ({}, {"categories": True}, {"rolling": True}):
        x = np.round(2 * rng().normal(size=9000))
        first = make("psi", **params)
        first.update_many(x)
        second = make("psi", profile=first.sketch.to_dict(), categories="categories" in params)

        assert second.sketch.edges.tolist() == first.sketch.edges.tolist()
        assert second.sketch.counts.tolist() == first.sketch.counts.tolist()
        assert second.update_many(x) == []


@pytest.mark.parametrize("params", [{}, {"reference_s": 500.0}])
def test_many_drifts_in_one_call_take_no_longer_than_in_many(params):
    x = rng().normal(size=400_000) + np.arange(400_000) // 2000 * 3.0
    seconds = {}
    for size in (len(x), 4000):
        detector = make("ks", reference=500, window=100, **params)
        runs = []
        for _ in range(4):
            began = time.perf_counter()
            parts = range(0, len(x), size)
            found = sum(len(detector.update_many(x[at : at + size], 1000.0 * np.arange(at, at + size))) for at in parts)
            runs.append(time.perf_counter() - began)
        assert found > 150
        seconds[size] = min(runs)
    assert seconds[len(x)] < 3 * seconds[4000]


def test_a_sketch_itself_is_a_profile():
    sketch = Sketch.of(rng().normal(size=500))
    detector = make("ks", profile=sketch)

    assert detector.params == make("ks", profile=sketch.to_dict()).params
    assert detector.params["profile"] == sketch.to_dict()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bins", "x"), ("bins", 0), ("edges", "x"), ("edges", [[1.0]]), ("edges", [1.0, math.inf]), ("counts", None),
        ("mean", "x"), ("mean", math.nan), ("m2", -1.0), ("lowest", None), ("highest", math.inf), ("missing", 0.5),
        ("categories", 1),
    ],
)  # fmt: skip
def test_a_profile_with_a_wrong_value_is_refused(key, value):
    with pytest.raises(ValueError, match="profile: "):
        make("psi", profile=Sketch.of(np.arange(50.0)).to_dict() | {key: value})


def test_wrong_references_are_refused():
    with pytest.raises(ValueError, match=r"profile: expected what Sketch.to_dict\(\) gives"):
        make("psi", profile=5)
    profile = Sketch.of(np.arange(50.0)).to_dict()
    for params in ({"rolling": True, "reference_s": 5.0}, {"profile": profile, "rolling": True}):
        with pytest.raises(ValueError, match="at most one of them"):
            make("psi", **params)
    with pytest.raises(ValueError, match="profile: expected categories = True"):
        make("psi", profile=profile, categories=True)
    with pytest.raises(ValueError, match="at least 20 observations"):
        make("psi", profile=Sketch.of(np.arange(9.0)).to_dict())


def test_an_unseen_category_is_found():
    codes = rng().integers(0, 5, 7000).astype(float)
    codes[6500:][rng(1).random(500) < 0.3] = 17
    (at, found), *_ = make("psi", categories=True).update_many(codes)
    top = found.detail["bins"][0]

    assert 6500 < at < 6600
    assert abs(at - found.age + 1 - 6500) < 60
    assert (top["category"], top["before"], found.direction) == (None, 0, 0)
    assert top["after_interval"][0] < top["after"] < top["after_interval"][1]


def test_one_of_a_thousand_rare_categories_is_found_when_it_grows():
    codes = rng().integers(0, 1000, 9000).astype(float)
    codes[8000:][rng(1).random(1000) < 0.25] = 123
    (at, _), *_ = make("psi", categories=True).update_many(codes)

    assert 8000 < at < 8300


def test_a_rare_class_that_doubles_is_found_by_a_long_window():
    codes = (rng().random(160_000) < 0.002).astype(float)
    codes[130_000:][rng(1).random(30_000) < 0.002] = 1.0
    (at, found), *_ = make("psi", categories=True, reference=100_000, window=30_000).update_many(codes)

    assert 130_000 < at < 160_000
    assert found.detail["bins"][0]["category"] == 1


def test_only_the_most_frequent_categories_have_a_bin():
    sizes = {7: 100, 3: 50, 1: 50, 9: 200, 5: 50}
    codes = rng().permutation(np.repeat(list(sizes), list(sizes.values()))).astype(float)
    detector = make("psi", categories=True, reference=450, window=100, bins=3)
    detector.update_many(codes)

    assert detector.sketch.edges.tolist() == [1, 7, 9]
    assert detector.sketch.counts.tolist() == [50, 100, 200, 100]


def test_the_bin_that_changed_comes_first():
    x = np.concatenate([rng().random(6000), 0.95 + 0.05 * rng().random(400)])
    (_, found), *_ = make("psi").update_many(x)
    top = found.detail["bins"][0]

    assert top["above"] == pytest.approx(0.9, abs=0.03)
    assert top["to"] is None
    assert top["after"] > top["before_interval"][1] > top["before"] > top["before_interval"][0]
    assert found.direction == 1
    assert found.after_interval[0] > found.before_interval[1]
