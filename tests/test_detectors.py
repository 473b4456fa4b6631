"""The contract, checked for every detector found in the folder, whoever wrote it."""

import copy
import inspect
import subprocess
import sys

import numpy as np
import pytest

import detectors
from detectors import Detector, Drift, get, make, names
from detectors._base import register
from tests.naive_detectors import TWINS

SMALL = {"arl0": 1e3, "warm_up": 60, "reference": 300, "window": 100}  # so that a short stream goes through all phases
EVERY = pytest.mark.parametrize("name", names())


def small(name, **params):
    """A detector whose warm-up and windows are short."""
    wanted = {**SMALL, **params}
    return make(name, **{key: value for key, value in wanted.items() if key in inspect.signature(get(name)).parameters})


def stream(name, seed=0, n=2500, shifts=(0.0, 3.0, -1.0)):
    """Noise whose mean jumps; for detectors of errors 0/1 with a rate that jumps; some values missing."""
    rng = np.random.default_rng(seed)
    level = np.repeat(shifts, -(-n // len(shifts)))[:n]
    x = rng.normal(level)
    if get(name).error_only:
        x = (rng.random(n) < 0.15 + 0.2 * np.abs(level)).astype(float)
    x[rng.random(n) < 0.03] = np.nan
    return x


def same_state(a, b):
    assert a.keys() == b.keys()
    for key, value in a.items():
        assert np.array_equal(value, b[key], equal_nan=True) if isinstance(value, np.ndarray) else value == b[key], key


@EVERY
def test_batch_blind(name):
    for seed in range(5):
        x = stream(name, seed)
        whole, one, cut = small(name), small(name), small(name)
        expected = whole.update_many(x)
        assert expected, "the stream has jumps to find"

        assert [(i, drift) for i, value in enumerate(x) if (drift := one.update(value))] == expected
        found, start = [], 0
        for stop in [*np.sort(np.random.default_rng(seed).integers(0, len(x), 40)), len(x)]:
            found += [(start + i, drift) for i, drift in cut.update_many(x[start:stop])]
            start = stop
        assert found == expected
        same_state(one.to_state(), whole.to_state())
        same_state(cut.to_state(), whole.to_state())


@EVERY
def test_resumes_at_every_observation(name):
    x = stream(name, n=1500)
    expected = small(name).update_many(x)
    running = small(name)
    found = []
    for k in range(len(x)):
        resumed = small(name)
        resumed.load(running.to_state())
        running = resumed
        if drift := running.update(x[k]):
            found.append((k, drift))
        if k % 97 == 0:
            after = small(name)
            after.load(running.to_state())
            assert [(k + 1 + i, drift) for i, drift in after.update_many(x[k + 1 :])] == [
                d for d in expected if d[0] > k
            ]
    assert found == expected


@EVERY
def test_state_is_plain_and_bounded(name):
    def size(detector):
        return sum(getattr(value, "nbytes", 0) for value in detector.to_state().values())

    detector = small(name, arl0=1e9, window=200)
    at_first = size(detector)
    detector.update_many(stream(name, n=100_000, shifts=(0.0,)))

    assert size(detector) == at_first
    assert all(
        isinstance(key, str) and isinstance(value, str | np.ndarray) for key, value in detector.to_state().items()
    )


@EVERY
def test_state_of_another_is_refused(name):
    with pytest.raises(ValueError, match="cannot be loaded"):
        small(name).load({"detector": "other"})
    with pytest.raises(ValueError, match="does not fit"):
        small(name).load({"detector": name})


@EVERY
def test_a_state_is_a_copy(name):
    detector = small(name)
    detector.update_many(stream(name, n=200))
    state = detector.to_state()
    copies = copy.deepcopy(state)
    detector.update_many(stream(name, n=300))

    same_state(state, copies)


@EVERY
def test_missing_values_change_nothing_else(name):
    x = stream(name)
    known = x[np.isfinite(x)]
    holes = np.sort(np.random.default_rng(1).integers(0, len(known), 400))
    holed = np.insert(known, holes, np.tile([np.nan, np.inf, -np.inf, np.nan], 100))
    clean, dirty = small(name), small(name)

    expected = [drift for _, drift in clean.update_many(known)]
    assert [drift for _, drift in dirty.update_many(holed)] == expected
    assert (clean.missing, dirty.missing, dirty.n) == (0, 400, clean.n)


@EVERY
@pytest.mark.parametrize("value", [0.0, 1.0, -5.0, 1e308, -1e308, 5e-324, 1e-310, float("nan"), float("inf")])
def test_a_constant_never_alarms(name, value):
    detector = small(name)
    assert detector.update_many(np.full(3000, value)) == []
    assert detector.update_many(np.full(0, value)) == []
    for known in (detector.statistic, detector.threshold, detector.estimate):
        assert isinstance(known, float)


@EVERY
def test_extremes_never_raise(name):
    rng = np.random.default_rng(0)
    wild = np.array([0.0, -0.0, 5e-324, -5e-324, 1.7e308, -1.7e308, np.nan, np.inf, -np.inf, 1.0, 1e-300])
    for published in published_params(name):
        for x in (
            rng.choice(wild, 4000),
            np.tile([1.7e308, -1.7e308], 2000),
            np.array([]),
            np.array([np.nan]),
            np.ones(3),
        ):
            detector = small(name, **published) if not published else make(name, **published)
            for _, drift in detector.update_many(x):
                assert drift.age >= 1
            _ = detector.statistic, detector.threshold, detector.estimate, detector.n, detector.params
        detector.update_many(np.repeat([0.0, 1.0], 500))
        assert np.isfinite(detector.estimate)


def published_params(name):
    """No parameter, and (if there is one) a parameter of the literature, which changes the mode."""
    literature = [{key: value} for key, value in {"delta": 0.01, "drift_threshold": 3.0}.items()]
    return [{}, *[p for p in literature if set(p) <= set(inspect.signature(get(name)).parameters)]]


@EVERY
def test_finds_a_clear_shift_and_its_onset(name):
    for seed in range(5):
        x = stream(name, seed, n=8000, shifts=(0.0,) * 6 + (2.0,) * 2)
        found = make(name, arl0=1e5, **{k: 2000 for k in ("reference",) if k in get(name)().params}).update_many(x)
        at, drift = found[0]

        late = 1500 if get(name).error_only else 800  # ddm: a mean over all the 6000 before is slow to move
        assert 6000 <= at < 6000 + late
        assert abs(at - drift.age + 1 - 6000) <= 250
        assert drift.statistic > drift.threshold > 0
        assert drift.after > drift.before + 0.1
        assert drift.direction == 1
        assert drift.n <= 8000


@EVERY
def test_a_change_of_a_constant_is_found(name):
    x = np.repeat([0.0, 1.0], [3000, 1000])
    found = small(name).update_many(x)

    assert found
    assert 3000 <= found[0][0] < 3600


@EVERY
def test_scale_and_place_do_not_matter(name):
    if get(name).error_only:
        pytest.skip("errors have one scale")
    x = np.round(stream(name), 6)
    expected = [(at, drift.age) for at, drift in small(name).update_many(x)]

    for scale in (2.0**-40, 2.0**40):  # exact in floating point
        assert [(at, drift.age) for at, drift in small(name).update_many(x * scale)] == expected


@EVERY
def test_agrees_with_its_slow_twin(name):
    for seed in range(4):
        x = stream(name, seed, n=1500, shifts=(0.0, 1.5, -0.5))
        x = x[np.isfinite(x)]
        detector = small(name)
        found = [(at, drift.statistic, drift.threshold) for at, drift in detector.update_many(x)]
        params = {
            key: value for key, value in detector.params.items() if key in inspect.signature(TWINS[name]).parameters
        }
        expected = TWINS[name](x, **params)

        assert [at for at, *_ in found] == [at for at, *_ in expected]
        np.testing.assert_allclose(found, expected, rtol=1e-9)


SIGNALS = {
    "bernoulli .05": lambda rng, n: (rng.random(n) < 0.05).astype(float),
    "bernoulli .2": lambda rng, n: (rng.random(n) < 0.2).astype(float),
    "bernoulli .4": lambda rng, n: (rng.random(n) < 0.4).astype(float),
    "normal * .01": lambda rng, n: 0.01 * rng.normal(size=n),
    "normal": lambda rng, n: rng.normal(size=n),
    "normal * 100": lambda rng, n: 100 * rng.normal(size=n) + 5,
    "t3": lambda rng, n: rng.standard_t(3, size=n),
    "rare categories": lambda rng, n: np.minimum(rng.zipf(1.5, n), 1e6).astype(float),
}


@EVERY
@pytest.mark.parametrize("signal", SIGNALS)
def test_false_alarms_are_as_rare_as_declared(name, signal):
    """At most n / arl0 alarms in n observations: the declared mean run length is met, with no allowance for luck."""
    cls = get(name)
    if cls.error_only and not signal.startswith("bernoulli"):
        pytest.skip("not an error")
    n, arl0 = 500_000, 1e4
    params = {"categories": True} if signal == "rare categories" and "category" in cls.kinds else {}
    x = SIGNALS[signal](np.random.default_rng(7), n)

    assert len(make(name, arl0=arl0, **params).update_many(x)) <= n / arl0


@EVERY
def test_documented(name):
    cls = get(name)
    doc = inspect.getdoc(cls)

    assert ">>> " in doc
    assert "Source:" in doc
    assert "NaN" in doc
    assert cls.name == name == cls.__module__.rpartition(".")[2]
    assert cls.kinds <= {"number", "category"}
    assert cls.monitors in ("mean", "distribution")
    assert cls.unit


@EVERY
def test_more_observations_show_smaller_changes(name):
    sizes = [make(name).detectable(n) for n in (50, 500, 5000, 50_000)]

    assert sizes == sorted(sizes, reverse=True)
    assert 0 < sizes[-1] < 1


@EVERY
def test_wrong_parameters_are_refused(name):
    known = ", ".join(make(name).params)
    with pytest.raises(ValueError, match=f"{name} has no parameter 'arlo'; known: .*did you mean 'arl0'"):
        make(name, arlo=5)
    for value in (0, -1, "many", float("nan"), True, None):
        with pytest.raises(ValueError, match="arl0: expected a number"):
            make(name, arl0=value)
    assert "arl0" in known


def test_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match=r"unknown detector .kss.; known: adwin, ddm, ks, .*did you mean .ks."):
        make("kss")


def test_a_name_is_taken_once():
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
import detectors
from numba.core.registry import CPUDispatcher
for module in vars(detectors).copy().values():
    for kernel in vars(module).values() if hasattr(module, "__path__") or hasattr(module, "njit") else ():
        assert not (isinstance(kernel, CPUDispatcher) and kernel.signatures), kernel
import sys
assert not any(name.startswith("stream_app") or name.startswith("river") for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=detectors.__path__[0] + "/..")
