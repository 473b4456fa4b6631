"""Every detector keeps the false alarms it declares, on every kind of signal; a table of more is in benchmarks/."""

import numpy as np
import pytest
from scipy.signal import lfilter

from detectors import get, make, names, parameters

N, ARL0 = 300_000, 5e3
PERIOD = 288
SIGNALS = {
    "bernoulli .05": lambda rng: (rng.random(N) < 0.05).astype(float),
    "bernoulli .2": lambda rng: (rng.random(N) < 0.2).astype(float),
    "bernoulli .4": lambda rng: (rng.random(N) < 0.4).astype(float),
    "normal * .01": lambda rng: 0.01 * rng.normal(size=N),
    "normal": lambda rng: rng.normal(size=N),
    "normal * 100": lambda rng: 100 * rng.normal(size=N) + 5,
    "t3": lambda rng: rng.standard_t(3, size=N),
}
DIRECTED = [(name, side) for name in names() if "direction" in parameters(name) for side in ("up", "down")]
RARE = lambda rng: rng.integers(0, 1000, N).astype(float)  # noqa: E731
ZIPF = lambda rng: np.minimum(rng.zipf(1.5, N), 1e6).astype(float)  # noqa: E731


DAY = np.sin(np.arange(N) * 2 * np.pi / PERIOD)
TIED = {
    "errors, season": (lambda rng: (rng.random(N) < 0.2 + 0.1 * DAY).astype(float), {"season": PERIOD}),
    "counts, season": (lambda rng: rng.poisson(5 + 2 * DAY).astype(float), {"season": PERIOD}),
    "zeros among numbers, ar": (lambda rng: rng.lognormal(size=N) * (rng.random(N) < 0.4), {"dependence": "ar"}),
}


def wave(rng, name):
    """A daily season; of the error rate for detectors of errors."""
    return (rng.random(N) < 0.2 + 0.1 * DAY).astype(float) if get(name).error_only else 1.5 * DAY + rng.normal(size=N)


def dependent(rng, name, phi):
    """An autoregression; for detectors of errors, whether one is above its 80 % quantile."""
    x = lfilter([1], [1, -phi], rng.normal(size=N)) * np.sqrt(1 - phi * phi)
    return (x > 0.84).astype(float) if get(name).error_only else x


def alarms(name, x, **params):
    """Alarms per allowed one, n / arl0; detectors of rows read a tenth."""
    arl0 = ARL0
    if "vector" in get(name).kinds:
        x, arl0, params["features"] = x[: N // 10], ARL0 / 5, 3
        x = np.stack([x, np.roll(x, len(x) // 3), 0.7 * x + 0.7 * np.roll(x, len(x) // 2)], axis=1)
    return len(make(name, arl0=arl0, **params).update_many(x)) / (len(x) / arl0)


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("signal", SIGNALS)
def test_false_alarms_are_as_rare_as_declared(name, signal):
    """At most n / arl0 alarms in n observations: the declared mean run length is met."""
    if get(name).error_only and not signal.startswith("bernoulli"):
        pytest.skip("not an error")

    assert alarms(name, SIGNALS[signal](np.random.default_rng(7))) <= 1


@pytest.mark.parametrize(("name", "side"), DIRECTED)
@pytest.mark.parametrize("signal", SIGNALS)
def test_one_side_alone_keeps_them_too(name, side, signal):
    assert alarms(name, SIGNALS[signal](np.random.default_rng(8)), direction=side) <= 1


@pytest.mark.parametrize("memory", [50, 1000])
@pytest.mark.parametrize("rate", [0.02, 0.2, 0.5])
def test_ecdd_keeps_them_whatever_it_remembers(memory, rate):
    x = np.random.default_rng(8).random(10 * N) < rate

    assert alarms("ecdd", x, memory=memory) <= 1


@pytest.mark.parametrize("name", [name for name in names() if "category" in get(name).kinds])
@pytest.mark.parametrize("codes", [RARE, ZIPF], ids=["even", "zipf"])
def test_rare_categories(name, codes):
    assert "categories" in parameters(name)
    assert alarms(name, codes(np.random.default_rng(7)), categories=True) <= 1


@pytest.mark.parametrize("name", names())
def test_a_season_is_no_drift(name):
    x = wave(np.random.default_rng(5), name)

    assert alarms(name, x, season=PERIOD) <= 1


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("phi", [0.5, 0.9])
def test_dependence_is_no_drift(name, phi):
    x = dependent(np.random.default_rng(5), name, phi)

    assert alarms(name, x, dependence="ar") <= 1


@pytest.mark.parametrize("name", [name for name in names() if not get(name).error_only])
@pytest.mark.parametrize("signal", TIED)
def test_nor_are_they_where_values_repeat(name, signal):
    sample, options = TIED[signal]

    assert alarms(name, sample(np.random.default_rng(5)), **options) <= 1.1
