"""The contract, checked for every detector found in the folder, whoever wrote it."""

import copy
import inspect
import math
import re
import subprocess
import sys

import numpy as np
import pytest
from waiting import TIMEOUT_S

import detectors
from detectors import Detector, Drift, get, make, names, parameters
from detectors._base import register
from tests.detecting import EVERY_WAY, same_state, shaped, small, stream, variants
from tests.naive import twin

EVERY = pytest.mark.parametrize("name", names())
ALL_WAYS = pytest.mark.parametrize(("name", "way"), EVERY_WAY)


@ALL_WAYS
def test_batch_blind(name, way):
    for seed in range(2):
        x = stream(name, seed, way=way)
        whole, one, cut = small(name, way), small(name, way), small(name, way)
        expected = whole.update_many(x)
        assert expected or way == "published", "the stream has jumps to find"

        assert [(i, drift) for i, value in enumerate(x) if (drift := one.update(value))] == expected
        found, start = [], 0
        for stop in [*np.sort(np.random.default_rng(seed).integers(0, len(x), 40)), len(x)]:
            found += [(start + i, drift) for i, drift in cut.update_many(x[start:stop])]
            start = stop
        assert found == expected
        same_state(one.to_state(), whole.to_state())
        same_state(cut.to_state(), whole.to_state())


@ALL_WAYS
def test_resumes_at_every_observation(name, way):
    x = stream(name, n=1500, way=way)
    expected = small(name, way).update_many(x)
    running, resumed = small(name, way), small(name, way)
    found = []
    for k in range(len(x)):
        resumed.load(running.to_state())
        running, resumed = resumed, running
        if drift := running.update(x[k]):
            found.append((k, drift))
        if k % 97 == 0:
            after = small(name, way)
            after.load(running.to_state())
            assert [(k + 1 + i, drift) for i, drift in after.update_many(x[k + 1 :])] == [
                d for d in expected if d[0] > k
            ]
    assert found == expected


@ALL_WAYS
def test_state_is_plain_and_bounded(name, way):
    def size(detector):
        return sum(getattr(value, "nbytes", 0) for value in detector.to_state().values())

    detector = small(name, way, arl0=1e9, window=200) if way != "published" else small(name, way)
    at_first = size(detector)
    detector.update_many(stream(name, n=100_000, shifts=(0.0,), way=way))

    assert size(detector) == at_first < 200_000
    assert all(
        isinstance(key, str) and isinstance(value, str | np.ndarray) for key, value in detector.to_state().items()
    )


@EVERY
def test_state_of_another_is_refused(name):
    with pytest.raises(ValueError, match="cannot be loaded"):
        small(name).load({"detector": "other"})
    with pytest.raises(ValueError, match="does not fit"):
        small(name).load({"detector": name})


@pytest.mark.parametrize(
    ("name", "theirs", "mine", "wrong"),
    [
        ("glr", {"direction": "up"}, {}, "glr' was made with another direction"),
        ("ecdd", {"memory": 100}, {"memory": 1000}, "another memory"),
        ("ks", {"arl0": 1e3}, {"arl0": 1e6}, "another arl0"),
        ("ks", {"season": 24, "arl0": 1e3}, {"season": 24}, "another arl0"),
        ("ks", {"season": 24}, {"dependence": "ar"}, "another dependence, another season"),
        ("ks", {"season": 24}, {}, "does not fit at 'params'"),
        ("psi", {"categories": True}, {}, "another bins, another categories"),
        ("cusum", {"h": 5.0}, {"delta": 0.005}, "does not fit at 'params'"),
    ],
)
def test_state_of_other_parameters_is_refused(name, theirs, mine, wrong):
    detector = make(name, **mine)
    with pytest.raises(ValueError, match=wrong):
        detector.load(make(name, **theirs).to_state())
    assert detector.n == 0


def test_state_of_another_layout_is_refused():
    state = make("ks").to_state()
    state["params"][0] += 1
    with pytest.raises(ValueError, match="made with another layout"):
        make("ks").load(state)


@EVERY
def test_a_state_is_a_copy(name):
    detector = small(name)
    detector.update_many(stream(name, n=200))
    state = detector.to_state()
    copies = copy.deepcopy(state)
    detector.update_many(stream(name, n=300))

    same_state(state, copies)


@ALL_WAYS
def test_a_copied_detector_has_a_state_of_its_own(name, way):
    x = stream(name, n=1500, way=way)
    detector = small(name, way)
    detector.update_many(x[:700])
    state = detector.to_state()
    copied = copy.copy(detector)
    found = copied.update_many(x[700:])

    same_state(detector.to_state(), state)
    assert detector.update_many(x[700:]) == found
    same_state(detector.to_state(), copied.to_state())


@ALL_WAYS
def test_a_detector_shows_how_it_is_made(name, way):
    detector = small(name, way)

    assert repr(detector).startswith(f"make('{name}', ")
    assert "\n" not in repr(detector)
    assert eval(repr(detector), {"make": make}).params == detector.params


def test_a_long_profile_is_not_shown():
    profile = detectors.Sketch.of(np.arange(1000.0))
    assert repr(make("ks", profile=profile)).endswith("window=500, bins=64, profile=...)")


def test_the_sketch_is_offered():
    assert "Sketch" in detectors.__all__
    assert "Sketch" in dir(detectors)


@EVERY
def test_missing_values_change_nothing_else(name):
    x = stream(name)
    known = x[np.isfinite(x).reshape(len(x), -1).all(axis=1)]
    holes = np.sort(np.random.default_rng(1).integers(0, len(known), 400))
    holed = np.insert(known.T, holes, np.tile([np.nan, np.inf, -np.inf, np.nan], 100)).T
    if known.ndim > 1:
        holed = np.insert(known, holes, np.tile([np.nan, np.inf, -np.inf, np.nan], 100)[:, None], axis=0)
    clean, dirty = small(name), small(name)

    expected = [drift for _, drift in clean.update_many(known)]
    assert [drift for _, drift in dirty.update_many(holed)] == expected
    assert (clean.missing, dirty.missing, dirty.n) == (0, 400, clean.n)


@EVERY
@pytest.mark.parametrize("value", [0.0, 1.0, -5.0, 1e308, -1e308, 5e-324, 1e-310, float("nan"), float("inf")])
def test_a_constant_never_alarms(name, value):
    for way in {"arl0", "options"} & variants(name).keys():
        detector = small(name, way)
        shape = (3000, 3) if "vector" in get(name).kinds else 3000
        assert detector.update_many(np.full(shape, value)) == []
        assert detector.update_many(np.full(shape, value)[:0]) == []
        for known in (detector.statistic, detector.threshold, detector.estimate):
            assert isinstance(known, float)


@ALL_WAYS
def test_extremes_never_raise(name, way):
    rng = np.random.default_rng(0)
    wild = np.array([0.0, -0.0, 5e-324, -5e-324, 1.7e308, -1.7e308, np.nan, np.inf, -np.inf, 1.0, 1e-300])
    for x in (
        rng.choice(wild, 4000),
        np.tile([1.7e308, -1.7e308], 2000),
        np.array([]),
        np.array([np.nan]),
        np.ones(3),
    ):
        detector = small(name, way)
        for _, drift in detector.update_many(np.stack([x] * 3, axis=1) if "vector" in get(name).kinds else x):
            assert drift.age >= 1
        _ = detector.statistic, detector.threshold, detector.estimate, detector.n, detector.params
    detector.update_many(shaped(name, np.repeat([0.0, 1.0], 500), rng))
    assert np.isfinite(detector.estimate)


@EVERY
def test_finds_a_clear_shift_and_its_onset(name):
    for seed in range(5):
        x = stream(name, seed, n=8000, shifts=(0.0,) * 6 + (2.0,) * 2)
        params = {"reference": 2000, "features": 3}
        found = make(name, arl0=1e6, **{k: v for k, v in params.items() if k in get(name)().params}).update_many(x)
        at, drift = found[0]

        late = 1500 if get(name).error_only else 800  # ddm: a mean over all the 6000 before is slow to move
        assert 6000 <= at < 6000 + late
        assert abs(at - drift.age + 1 - 6000) <= 250
        assert drift.statistic > drift.threshold > 0
        assert drift.after > drift.before + 0.1
        assert drift.direction == (0 if "vector" in get(name).kinds else 1)
        assert drift.n <= 8000


@ALL_WAYS
def test_evidence_has_intervals(name, way):
    for _, drift in small(name, way).update_many(stream(name, way=way)):
        for mean, (low, high) in ((drift.before, drift.before_interval), (drift.after, drift.after_interval)):
            assert low <= mean <= high
            assert low < high or way == "published"


@EVERY
def test_a_change_of_a_constant_is_found(name):
    rng = np.random.default_rng(0)
    x = np.repeat([0.0, 1.0], [3000, 1000])
    found = small(name).update_many(np.stack([x] * 3, axis=1) if "vector" in get(name).kinds else shaped(name, x, rng))

    assert found
    assert 3000 <= found[0][0] < 3600


@EVERY
def test_scale_and_place_do_not_matter(name):
    if get(name).error_only:
        pytest.skip("errors have one scale")
    x = np.round(stream(name), 6)
    for way in ("arl0", "options"):
        expected = [(at, drift.age) for at, drift in small(name, way).update_many(x)]
        for scale in (2.0**-40, 2.0**40):  # exact in floating point
            assert [(at, drift.age) for at, drift in small(name, way).update_many(x * scale)] == expected


@pytest.mark.parametrize(("name", "way"), [case for case in EVERY_WAY if case[1] in ("arl0", "up", "down")])
def test_agrees_with_its_slow_twin(name, way):
    for seed in range(2):
        x = stream(name, seed, n=1200, shifts=(0.0, 1.5, -0.5))
        x = x[np.isfinite(x).reshape(len(x), -1).all(axis=1)]
        detector = small(name, way)
        found = [(at, drift.statistic, drift.threshold) for at, drift in detector.update_many(x)]
        wanted = inspect.signature(twin(name)).parameters
        expected = twin(name)(x, **{key: value for key, value in detector.params.items() if key in wanted})

        assert [at for at, *_ in found] == [at for at, *_ in expected]
        np.testing.assert_allclose(found, expected, rtol=1e-9)


DIRECTED = pytest.mark.parametrize("name", [name for name in names() if "direction" in parameters(name)])


@DIRECTED
def test_one_side_is_found_sooner_and_the_other_not_at_all(name):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(20, 5000))
    x[:, 3000:] += rng.random((20, 2000)) < np.arange(2000) / 1000
    first = {side: [make(name, direction=side).update_many(row)[0] for row in x] for side in ("both", "up")}
    assert np.median([at for at, _ in first["up"]]) < np.median([at for at, _ in first["both"]])
    for found, direction in ((first["up"], 1), ([make(name, direction="down").update_many(-row)[0] for row in x], -1)):
        assert {drift.direction for _, drift in found} == {direction}
        assert all(at > 3000 for at, _ in found)
    wrong = [make(name, direction="down").update_many(row[3000:]) for row in x]
    assert not any(wrong)


@DIRECTED
def test_an_unknown_direction_is_refused(name):
    for value in ("sideways", 1, None):
        with pytest.raises(ValueError, match="direction: expected 'both', 'up' or 'down', got"):
            make(name, direction=value)


@EVERY
def test_an_observation_of_another_shape_is_refused(name):
    wide = "vector" in get(name).kinds
    one, many = (r"\(3,\)", r"\(n, 3\)") if wide else (r"\(\)", r"\(n,\)")
    detector = small(name)
    for wrong in (5.0, [5.0]) if wide else ([5.0], [1.0, 2.0]):
        with pytest.raises(ValueError, match=f"x: expected shape {one}, got"):
            detector.update(wrong)
    with pytest.raises(ValueError, match=f"x: expected shape {many}, got"):
        detector.update_many(np.ones(5) if wide else np.ones((5, 1)))
    for wrong in (np.ones(3) * 1j, np.zeros(3, "datetime64[ms]")):
        with pytest.raises(ValueError, match=f"x: expected real numbers, got {wrong.dtype}".replace("[", r"\[")):
            detector.update(wrong if wide else wrong[0])
    assert (detector.n, detector.missing) == (0, 0)


@pytest.mark.parametrize(
    ("time_ms", "wrong"),
    [
        (5.0, r"time_ms: expected shape \(4,\), one for each of x, got \(\)"),
        ([1.0, 2.0], r"time_ms: expected shape \(4,\), one for each of x, got \(2,\)"),
        ([1.0, 2.0, np.nan, np.inf], "time_ms: expected finite numbers, got nan at index 2"),
        ([1.0, np.inf, 2.0, 3.0], "time_ms: expected finite numbers, got inf at index 1"),
        (np.zeros(4, "datetime64[s]"), r"time_ms: expected numbers, in milliseconds, got datetime64\[s\]"),
    ],
)
@pytest.mark.parametrize("params", [{"season": "hour-of-day"}, {"reference_s": 60.0}, {}])
def test_times_that_are_none_are_refused(params, time_ms, wrong):
    detector = make("ks", **params)
    with pytest.raises(ValueError, match=wrong):
        detector.update_many(np.ones(4), time_ms)
    with pytest.raises(ValueError, match="time_ms: expected finite numbers, got nan at index 0"):
        detector.update(1.0, math.nan)
    assert detector.n == 0


@EVERY
def test_documented(name):
    cls = get(name)
    doc = inspect.getdoc(cls)

    assert ">>> " in doc
    assert "Source:" in doc
    assert "NaN" in doc
    assert cls.name == name == cls.__module__.rpartition(".")[2]
    assert cls.kinds <= {"number", "category"} or cls.kinds == {"vector"}
    assert cls.monitors in ("mean", "distribution")
    assert cls.unit


AS_ELSEWHERE = {"reference", "reference_s", "rolling", "profile"}  # "as of `ks`", "as in `psi`"


@EVERY
def test_every_parameter_is_documented(name):
    doc = inspect.getdoc(get(name))
    own = inspect.signature(get(name)).parameters.keys()

    assert [key for key in own - AS_ELSEWHERE if not re.search(rf"\b{key}\b", doc)] == []
    assert own & AS_ELSEWHERE == set() or re.search(r"`reference_s`|as (of|in) `(ks|psi)`", doc)


@EVERY
def test_more_observations_show_smaller_changes(name):
    for way in ("arl0", "options"):
        sizes = [small(name, way, arl0=1e6, window=500).detectable(n) for n in (50, 500, 5000, 50_000)]

        assert sizes == sorted(sizes, reverse=True)
        assert 0 < sizes[-1] < 1


@EVERY
def test_wrong_parameters_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} has no parameter 'arlo'; known: .*did you mean 'arl0'"):
        make(name, arlo=5)
    for value in (0, -1, "many", float("nan"), True, None):
        with pytest.raises(ValueError, match="arl0: expected a number"):
            make(name, arl0=value)


@pytest.mark.parametrize("name", [name for name in names() if "bins" in parameters(name)])
def test_bins_are_checked_before_they_are_used(name):
    for value in ("x", -1, 2.5, True):
        with pytest.raises(ValueError, match="bins: expected a whole number from 2 to 4096"):
            make(name, bins=value)


@pytest.mark.parametrize("name", ["ewma", "cusum"])
def test_mean_and_sd_are_checked_before_they_are_used(name):
    for key, value in (("mean", "x"), ("sd", 0), ("sd", math.nan)):
        with pytest.raises(ValueError, match=f"{key}: expected a number"):
            get(name)(**{key: value})


@EVERY
def test_numbers_of_numpy_are_numbers(name):
    small_ints = {"window": np.uint8(100), "bins": np.int8(100), "features": np.int8(100), "warm_up": np.uint8(60)}
    given = {"arl0": np.float32(1000), **small_ints, "season": np.int64(24)}
    given = {key: value for key, value in given.items() if key in parameters(name)}
    detector = make(name, **given)

    same_state(detector.to_state(), make(name, **{key: value.item() for key, value in given.items()}).to_state())
    for key, value in given.items():
        assert detector.params[key] == value
        assert key == "season" or type(detector.params[key]) in (int, float)


@EVERY
def test_no_observations_detect_nothing(name):
    for way in {"arl0", "published"} & variants(name).keys():
        for n in (0, -5, math.nan, "many"):
            with pytest.raises(ValueError, match="n: expected a number from 1"):
                small(name, way).detectable(n)
        assert small(name, way).detectable(1) > 0


@pytest.mark.parametrize("name", [5, None, []])
def test_a_name_is_a_text(name):
    with pytest.raises(ValueError, match=r"unknown detector .*; known: adwin"):
        make(name)


@pytest.mark.parametrize(
    ("name", "params", "wrong"),
    [
        ("adwin", {"arl0": 1e5, "delta": 0.002}, "arl0: has no effect beside delta; give one of them"),
        ("cusum", {"direction": "down", "delta": 0.005}, "direction: has no effect beside delta"),
        ("cusum", {"h": 5, "delta": 0.1}, "h: has no effect beside delta"),
        ("cusum", {"mean": 5, "sd": 2}, "mean: has no effect without h; give both, or none"),
        ("ewma", {"sd": 2, "arl0": 1e5}, "sd: has no effect without limit"),
        ("fhddm", {"window": 1000, "confidence_level": 1e-6}, "window: has no effect beside confidence_level"),
        ("eddm", {"errors": 50, "beta": 0.9}, "errors: has no effect beside beta"),
        (
            "rddm",
            {"memory": 1000, "drift_level": 2.0, "warn_limit": 9},
            "memory: has no effect beside drift_level, warn",
        ),
        ("kswin", {"arl0": 1e5, "alpha": 0.01, "window_size": 90}, "arl0: has no effect beside alpha;"),
        ("psi", {"arl0": 1e5, "window": 100, "alpha": 0.01}, "arl0: has no effect beside alpha;"),
    ],
)
def test_parameters_that_would_be_dropped_are_refused(name, params, wrong):
    with pytest.raises(ValueError, match=wrong):
        make(name, **params)


@EVERY
def test_a_budget_beside_parameters_of_the_literature_is_refused(name):
    for key, value in get(name).published.items():
        assert "arl0" not in make(name, **{key: value}).params
        assert "arl0" in make(name, **{key: None}, arl0=1e5).params
        with pytest.raises(ValueError, match=f"arl0: has no effect beside {key}"):
            make(name, **{key: value}, arl0=1e5)


SEPARABLE = pytest.mark.parametrize("name", ["psi", "chi2", "g_test", "js", "hellinger"])
OUT_OF_REACH = {"window": 10, "reference": 20, "arl0": 1e12}


@SEPARABLE
def test_a_window_that_can_never_alarm_is_refused(name):
    with pytest.raises(ValueError, match="window: 10 observations beside 20 can never alarm"):
        make(name, **OUT_OF_REACH)
    make(name, **OUT_OF_REACH | {"reference_s": 60.0})  # who knows how many that are


@SEPARABLE
def test_a_short_window_that_can_alarm_is_taken(name):
    x = np.repeat([0.0, 1.0], [20, 10])
    for categories in (False, True):
        assert make(name, window=10, reference=20, categories=categories).update_many(x)


@SEPARABLE
def test_what_no_change_reaches_is_not_detectable(name):
    assert make(name, window=10, reference=20).detectable(1000) == math.inf  # of bins that are alike; a constant: above
    assert make(name).detectable(20) == math.inf
    assert 0 < make(name).detectable(1000) < 1
    assert make(name, alpha=1e-4).detectable(1000) < make(name, alpha=1e-9).detectable(1000)


def test_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match=r"unknown detector .kss.; known: adwin, .*ddm, .*did you mean .ks."):
        make("kss")


def test_a_name_is_taken_once():
    get("ks")
    with pytest.raises(ValueError, match="'ks' is defined twice"):
        register(type("Other", (Detector,), {"__module__": "elsewhere.ks"}))
    assert get("ks").__name__ == "Ks"


def test_drift_is_frozen():
    drift = Drift(1.0, 0.5, 10, 0.0, 1.0, 3, 1)
    with pytest.raises(AttributeError):
        drift.age = 4
    assert drift.detail == {}


def test_importing_compiles_nothing():
    code = """
import sys
import detectors
assert not any(name.split(".")[0] in ("numba", "scipy", "stream_app", "river") for name in sys.modules)
detectors.make("adwin")
from numba.core.registry import CPUDispatcher
for module in vars(detectors).copy().values():
    for kernel in vars(module).values() if hasattr(module, "njit") else ():
        assert not (isinstance(kernel, CPUDispatcher) and kernel.signatures), kernel
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=TIMEOUT_S, cwd=detectors.__path__[0] + "/..")
