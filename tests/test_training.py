"""Training: remembered rows replayed some at a time give the model that replaying them at once gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app import config
from stream_app.flow.training import JUDGED, Training
from stream_app.models import LEARN, PREDICT, Inputs, make_model

INPUTS = Inputs(("a", "b"), (), 8, [])
TASK = config.Task()


def model(use: str = "linear"):
    return make_model(config.Model(use=use), TASK, INPUTS, 0)


def data(n: int) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(4).normal(size=(n, 2))
    return X, (X[:, 0] > 0).astype(float)


def by_hand(use: str, n: int, passes: int):
    """The model after the passes, and its scores before learning in the first."""
    X, y = data(n)
    made, scores = model(use), np.full((n, 1), np.nan)
    kind, slot = np.tile(np.array([PREDICT, LEARN], np.uint8), n), np.repeat(np.arange(n), 2)
    for number in range(passes):
        made.run(kind, slot, np.repeat(y, 2), X, scores if number == 0 else np.empty((n, 1)))
    return made, scores


@given(st.lists(st.integers(1, 70), min_size=1, max_size=40), st.integers(1, 3), st.integers(1, 60))
def test_any_pace_gives_the_same_model(paces: list[int], passes: int, n: int) -> None:
    training = Training(model(), {}, *data(n), passes)
    while not training.finished:
        for pace in paces:
            training.step(pace)
    made, scores = by_hand("linear", n, passes)

    assert np.array_equal(training.model.peek(data(50)[0]), made.peek(data(50)[0]))
    assert np.array_equal(training.judged, scores, equal_nan=True)


@pytest.mark.parametrize("use", ["linear", "naive_bayes", "hoeffding_tree", "river.naive_bayes.GaussianNB"])
@pytest.mark.parametrize("done", [0, 7, 40, 55, 80])
def test_it_goes_on_from_its_state(use: str, done: int) -> None:
    training = Training(model(use), {"kind": "fresh"}, *data(40), 2)
    training.step(done)
    again = Training.of(training.to_state(), model(use))
    again.step(1000)

    assert again.finished
    assert again.about == {"kind": "fresh"}
    assert np.array_equal(again.model.peek(data(50)[0]), by_hand(use, 40, 2)[0].peek(data(50)[0]), equal_nan=True)


def test_the_newest_rows_are_those_it_is_judged_by() -> None:
    n = JUDGED + 130
    training = Training(model(), {}, *data(n), 2)
    for _ in range(100):
        training.step(37)

    assert np.array_equal(training.judged, by_hand("linear", n, 1)[1][-JUDGED:], equal_nan=True)
