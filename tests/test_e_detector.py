"""E-detector: fair bets, on rates, fractions and any numbers; the twin in every form; how soon a change is found."""

import math

import numpy as np
import pytest

from detectors import make
from detectors.e_detector import NORM, SR
from tests.naive import twin
from tests.test_adwin import BELOW_OR_ABOVE, check_cuts_and_resume, check_no_false_alarms, rare_events

SHORT = {"arl0": 1e3, "warm_up": 60}
SIGNALS = {
    "errors": lambda rng, n: (rng.random(n) < 0.2).astype(float),
    "rare errors": lambda rng, n: (rng.random(n) < 0.01).astype(float),
    "fractions after zeros": lambda rng, n: np.maximum(0, np.arange(n) > 200) * rng.random(n),
    "numbers": lambda rng, n: rng.normal(size=n),
    "counts": lambda rng, n: rng.poisson(0.3, n).astype(float),
    "zero-inflated": lambda rng, n: rng.exponential(size=n) * (rng.random(n) < 0.05),
}
EVERY_SIGNAL = pytest.mark.parametrize("signal", SIGNALS)


def changing(signal, seed=0, n=700):
    """The signal, and from the middle on half of it replaced by its largest value."""
    rng = np.random.default_rng(seed)
    x = SIGNALS[signal](rng, 2 * n)
    x[n:][rng.random(n) < 0.5] = x.max()
    return x


@EVERY_SIGNAL
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"form": "cusum"},
        {"direction": "up"},
        {"direction": "down", "form": "cusum"},
        {"baseline": 0.2},
        {"baseline": 0.01, "form": "cusum"},
        {"odds": 2.0},
        {"odds": 3.0, "direction": "up", "form": "cusum"},
    ],
    ids=str,
)
def test_agrees_with_its_slow_twin_in_every_form(signal, params):
    x = changing(signal)
    found = [
        (at, drift.statistic, drift.threshold) for at, drift in make("e_detector", **SHORT, **params).update_many(x)
    ]
    expected = twin("e_detector")(x, **SHORT, **params)

    assert len(found) == len(expected)
    assert found or params.get("direction") == "down"
    if found:
        np.testing.assert_allclose(found, expected, rtol=1e-9)


@BELOW_OR_ABOVE
def test_constant_at_first(flip):
    x = rare_events([0.0, 0.4], flip, n=450)[300:]
    found = [(at, d.statistic, d.threshold) for at, d in make("e_detector", **SHORT).update_many(x)]

    assert found
    np.testing.assert_allclose(found, twin("e_detector")(x, **SHORT), rtol=1e-9)


@BELOW_OR_ABOVE
def test_rare_events(flip):
    check_cuts_and_resume("e_detector", rare_events([0.002, 0.05], flip, n=5000))
    check_no_false_alarms("e_detector", flip)


@EVERY_SIGNAL
def test_every_bet_is_fair(signal):
    """Given the shares so far, the gain has mean 1: it is divided by what it pays on average."""
    x = SIGNALS[signal](np.random.default_rng(4), 3000)
    for n in (300, 500, 960, 3000):
        detector = make("e_detector", arl0=1e12, warm_up=60)
        detector.update_many(x[:n])
        book = detector._book

        np.testing.assert_allclose(book.bets[NORM], book.share @ book.odds, rtol=1e-9)
        assert book.floats[3] == pytest.approx(book.share.sum(), rel=1e-12)


def test_shares_are_gaps_between_order_statistics():
    x = np.random.default_rng(0).normal(size=900)
    detector = make("e_detector", arl0=1e12)
    detector.update_many(x)
    book = detector._book

    assert book.counts[2] == 31
    assert book.share.sum() == len(x) + 1
    assert np.min(book.share[:32]) >= 8
    assert np.all(np.isin(book.edges[:31], x[:256]))


@pytest.mark.parametrize("form", ["sr", "cusum"])
@EVERY_SIGNAL
def test_mean_run_length_is_met_and_not_wasted(form, signal):
    n, arl0 = 500_000, 1e4
    x = SIGNALS[signal](np.random.default_rng(3), n)
    found = len(make("e_detector", arl0=arl0, form=form).update_many(x))

    assert (10 if form == "sr" else 2) <= found <= n / arl0


def test_fractions_of_known_mean():
    n, arl0 = 500_000, 5e3
    x = np.random.default_rng(3).beta(2, 8, n)

    assert len(make("e_detector", arl0=arl0, baseline=0.2).update_many(x)) <= n / arl0


@pytest.mark.parametrize(("before", "after"), [(0.2, 0.3), (0.05, 0.1), (0.4, 0.5), (0.3, 0.2)])
def test_delay_is_below_what_lorden_needs_and_little_longer_for_an_unknown_rate(before, after):
    quiet, arl0, delays = 10_000, 1e6, {"unknown": [], "baseline": [], "adwin": []}
    for seed in range(30):
        rng = np.random.default_rng(seed)
        x = (rng.random(quiet + 3000) < np.repeat([before, after], [quiet, 3000])).astype(float)
        for way, found in delays.items():
            name = "adwin" if way == "adwin" else "e_detector"
            params = {"baseline": before} if way == "baseline" else {}
            found += [next(at for at, _ in make(name, arl0=arl0, **params).update_many(x) if at >= quiet) - quiet]
    mean = {way: np.mean(found) for way, found in delays.items()}
    divergence = after * math.log(after / before) + (1 - after) * math.log((1 - after) / (1 - before))

    assert mean["unknown"] < math.log(arl0) / divergence
    assert mean["unknown"] < 1.15 * mean["baseline"]
    assert mean["unknown"] < 0.65 * mean["adwin"]


def test_a_known_rate_needs_no_warm_up():
    errors = (np.random.default_rng(0).random(500) < 0.6).astype(float)
    (at, drift), *_ = make("e_detector", baseline=0.1).update_many(errors)

    assert at < 40
    assert drift.before == 0.1
    assert drift.after == pytest.approx(0.6, abs=0.2)
    assert drift.age >= at


def test_direction_finds_its_side_sooner_and_not_the_other():
    x = (np.random.default_rng(1).random(8000) < np.repeat([0.2, 0.3], [6000, 2000])).astype(float)
    at = {side: [at for at, _ in make("e_detector", direction=side).update_many(x)] for side in ("both", "up", "down")}

    assert 6000 <= at["up"][0] < at["both"][0]
    assert at["down"] == []


@pytest.mark.parametrize(("odds", "after"), [(1.3, 0.25), (1.7, 0.3), (5.0, 0.55)])
def test_the_odds_bet_on_are_found_sooner_than_by_all_bets_together(odds, after):
    """After 5,000 answers with a rate of .2, at the same declared arl0, whose run length both meet."""
    delays = {None: [], odds: []}
    for seed in range(40):
        x = np.random.default_rng(seed).random(12_000) < np.repeat([0.2, after], [5000, 7000])
        for bet, found in delays.items():
            detector = make("e_detector", arl0=1e5, direction="up", odds=bet)
            found += [next(at for at, _ in detector.update_many(x.astype(float)) if at >= 5000) - 5000]

    assert np.mean(delays[odds]) < 0.97 * np.mean(delays[None])


@EVERY_SIGNAL
@pytest.mark.parametrize("odds", [1.25, 1.6, 5.0])
def test_one_bet_meets_its_mean_run_length(odds, signal):
    n, arl0 = 500_000, 5e3
    x = SIGNALS[signal](np.random.default_rng(3), n)

    assert n / arl0 / 4 < len(make("e_detector", arl0=arl0, direction="up", odds=odds).update_many(x)) <= n / arl0


def test_values_beyond_the_two_count_as_the_nearer():
    x = changing("errors")
    wild = np.where(x > 0, 1.0, 0.0)
    wild[256:] = np.where(x > 0, 1e300, -7.0)[256:]

    assert make("e_detector").update_many(wild) == make("e_detector").update_many(x)


def test_e_value_is_the_shiryaev_roberts_sum():
    x = changing("errors")[:500]
    for form in ("sr", "cusum"):
        detector = make("e_detector", form=form)
        assert math.isnan(detector.e_value)
        detector.update_many(x)
        assert detector.e_value == pytest.approx(np.mean(detector._book.bets[SR]))


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"form": "page"}, "form: expected 'sr' or 'cusum', got 'page'"),
        ({"direction": "sideways"}, "direction: expected 'both', 'up' or 'down', got 'sideways'"),
        ({"baseline": 0}, "baseline: expected a number"),
        ({"odds": 1}, "odds: expected a number from 1.01 to 100, got 1"),
    ],
)
def test_wrong_parameters(params, says):
    with pytest.raises(ValueError, match=says):
        make("e_detector", **params)
