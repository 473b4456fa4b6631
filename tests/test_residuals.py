"""Season and dependence: the residuals beside their slow twin; what an alarm says of a signal that was scored."""

import numpy as np
import pytest

from detectors import Sketch, make
from detectors._base import Detector
from detectors._null import APART, Adjusted
from tests.naive.residuals import residuals

N, PERIOD = 900, 6
DAY = np.sin(np.arange(N) * 2 * np.pi / PERIOD)
SIGNALS = {
    "numbers": lambda rng: DAY + np.cumsum(rng.normal(size=N)) / 10,
    "rounded": lambda rng: np.round(3 * DAY + rng.normal(size=N), 1),
    "errors": lambda rng: (rng.random(N) < 0.3 + 0.2 * DAY).astype(float),
    "counts": lambda rng: rng.poisson(4 + 2 * DAY).astype(float),
    "zeros among numbers": lambda rng: rng.lognormal(size=N) * (rng.random(N) < 0.7),
    "zeros at first": lambda rng: (rng.random(N) < 0.1) * (np.arange(N) > 100.0),
}


class Probe(Detector):
    """Keeps what it is fed."""

    name = "probe"

    def __init__(self):
        super().__init__({}, {"counts": np.zeros(2, np.int64)})
        self.fed = []

    def _run(self, x, start):
        self.fed += x[start:].tolist()
        return -1


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("options", [(PERIOD, None), (None, "ar"), (PERIOD, "ar")], ids=str)
def test_agrees_with_its_slow_twin(signal, options):
    x = SIGNALS[signal](np.random.default_rng(2))
    probe = Probe()
    Adjusted(probe, *options).update_many(x)
    expected = [left for _, left in residuals(x, *options, APART)]

    assert len(expected) > N / 2
    np.testing.assert_allclose(probe.fed, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["e_detector", "glr", "conformal", "ecdd"])
def test_an_alarm_on_scored_errors_tells_of_error_rates(name):
    n, period = 40_000, 288
    rate = np.repeat([0.2, 0.35], [30_000, 10_000]) + 0.1 * np.sin(np.arange(n) * 2 * np.pi / period)
    x = (np.random.default_rng(3).random(n) < rate).astype(float)
    (at, drift), *_ = [found for found in make(name, season=period).update_many(x) if found[0] >= 30_000]

    assert at < 32_000
    assert drift.before == pytest.approx(0.2, abs=0.03)
    assert drift.after == pytest.approx(0.35, abs=0.12)
    assert drift.after_interval[0] < 0.35 < drift.after_interval[1]


def test_what_a_detector_has_beyond_the_contract_is_there():
    assert make("ddm", dependence="ar").warning is False
    assert isinstance(make("ks", season=24).sketch, Sketch)
    with pytest.raises(AttributeError, match="colour"):
        _ = make("ks", season=24).colour
