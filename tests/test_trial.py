"""Trial: the verdict falls at its label, by the twin's proof, wherever the losses are cut and the state is saved."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.evidence.paired import BETS
from stream_app.flow.trial import SCALE, UNSCALED, Trial
from tests.naive.paired import interval, wealth


def twin(champion, other, confidence, labels, *, regression):
    """Outcome, row and (mean difference, interval) of the slow trial; None if it does not end."""
    seen, d = [], []
    for row, (a, b) in enumerate(zip(champion.tolist(), other.tolist(), strict=True)):
        if math.isnan(a) or math.isnan(b):
            continue
        scale = 1.0
        if regression:
            scale = SCALE * sum(seen) / len(seen) if len(seen) >= UNSCALED else 0.0
        d.append(max(-1.0, min(1.0, (a - b) / scale)) if scale else 0.0)
        seen.append(a)
        better, worse = (wealth([side * x for x in d], BETS.tolist())[-1] for side in (1, -1))
        proof = 1 / (1 - confidence)
        if better >= proof or worse >= proof or len(d) >= labels:
            outcome = "better" if better >= proof else "worse" if worse >= proof else "unproven"
            return outcome, row, sum(d) / len(d), interval(d, 1 - confidence, BETS.tolist())
    return None


def losses(kind, seed, n=160):
    rng = np.random.default_rng(seed)
    if kind == "regression":
        found = np.abs(rng.standard_t(2, n)), np.abs(rng.standard_t(2, n)) * 0.1
    else:
        found = (rng.random((2, n)) < np.array([[0.5], [0.2 if kind == "better" else 0.9]])).astype(float)
    for column in found:
        column[rng.random(n) < 0.1] = np.nan
    return found


@pytest.mark.parametrize("labels", [100, 1000])
@pytest.mark.parametrize("kind", ["better", "worse", "regression"])
def test_agrees_with_the_slow_twin(kind, labels):
    champion, other = losses(kind, 3)
    regression = kind == "regression"
    outcome, row, mean, reach = twin(champion, other, 0.95, labels, regression=regression)
    verdict = Trial(0.95, labels, regression=regression).run(champion, other)

    assert (verdict.outcome, verdict.row) == (outcome, row)
    assert verdict.evidence["gain"] == pytest.approx(mean, abs=1 / 64)
    assert verdict.evidence["interval"] == pytest.approx(reach, abs=2e-3)
    compared = ~np.isnan(champion + other)[: row + 1]
    assert verdict.evidence["labels"] == compared.sum()
    assert verdict.evidence["loss_champion"] == pytest.approx(champion[: row + 1][compared].mean())
    assert verdict.evidence["loss"] == pytest.approx(other[: row + 1][compared].mean())


@given(
    st.sampled_from(["better", "worse", "regression"]), st.lists(st.integers(0, 40), max_size=12), st.integers(0, 99)
)
def test_does_not_depend_on_cuts_and_resumes(kind, cuts, seed):
    champion, other = losses(kind, seed)
    regression = kind == "regression"
    expected = Trial(0.95, 120, regression=regression).run(champion, other)
    trial, start, found = Trial(0.95, 120, regression=regression), 0, None
    for n in [*cuts, 160]:
        verdict = trial.run(champion[start : start + n], other[start : start + n])
        if verdict is not None:
            assert found is None
            found = verdict._replace(row=start + verdict.row)
        start += n
        state, trial = trial.to_state(), Trial(0.95, 120, regression=regression)
        trial.load(state)

    assert found == expected


def test_an_ended_trial_says_nothing_until_it_begins_anew():
    trial = Trial(0.95, 40, regression=False)
    ones = np.ones(40)

    assert trial.run(ones, ones).outcome == "unproven"
    assert trial.run(ones, np.zeros(40)) is None
    trial.begin()
    assert trial.evidence()["labels"] == 0
    assert trial.run(ones, np.zeros(40)).outcome == "better"


@pytest.mark.parametrize(("least", "labels"), [(0, 12), (20, 20), (80, 80)])
def test_nothing_is_proven_before_the_least_labels(least, labels):
    verdict = Trial(0.95, 100, least, regression=False).run(np.ones(90), np.zeros(90))

    assert (verdict.outcome, verdict.evidence["labels"], verdict.over) == ("better", labels, False)


def test_comparisons_one_after_another_share_their_labels():
    trial, verdicts = Trial(0.95, 100, 20, regression=False), []
    for n in (60, 35, 40):  # what comes behind a verdict counts too
        verdicts.append(trial.run(np.zeros(n), np.ones(n)))
        trial.again()

    assert [(each.outcome, each.row, each.over) for each in verdicts] == [
        ("worse", 19, False),
        ("worse", 19, False),
        ("unproven", 4, True),
    ]


def test_without_a_prediction_of_both_there_is_nothing_to_judge():
    trial = Trial(0.95, 10, regression=False)

    assert trial.run(np.full(20, np.nan), np.zeros(20)) is None
    assert trial.evidence()["gain"] is None


def test_equals_are_seldom_promoted():
    """200 trials of 2,000 labels at confidence .8: 40 expected at most, 53 by chance (1 in 100); heavy tails too."""
    rng = np.random.default_rng(4)
    promoted = {True: 0, False: 0}
    for _ in range(200):
        errors = np.abs(rng.standard_t(2, (2, 2000)))
        for regression, pair in ((True, errors), (False, (rng.random((2, 2000)) < 0.3).astype(float))):
            verdict = Trial(0.8, 2001, regression=regression).run(*pair)
            promoted[regression] += verdict is not None and verdict.outcome == "better"

    assert 3 < promoted[True] <= 53
    assert 5 < promoted[False] <= 53


def test_a_model_better_by_a_tenth_gets_through():
    rng = np.random.default_rng(5)
    rows = []
    for _ in range(20):
        pair = (rng.random((2, 3000)) < np.array([[0.3], [0.2]])).astype(float)
        verdict = Trial(0.95, 3000, regression=False).run(*pair)
        assert verdict.outcome == "better"
        rows.append(verdict.row)

    assert 50 < np.median(rows) < 500
