"""The clock of a stream: the largest time so far, blind to the cut and to a few records that are far off."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_app.flow.clock import NOW, ODD, START, clock_states
from stream_app.messages import NO_TIME

AHEAD = 100
times = st.lists(st.one_of(st.integers(0, 60), st.sampled_from((5_000, 5_001, 9_000, NO_TIME))), max_size=40)


def now(values: list[int]) -> list[int]:
    return clock_states(START, np.array(values, np.int64), AHEAD)[:, NOW].tolist()


@given(times, st.integers(0, 40))
def test_a_cut_changes_nothing(values: list[int], cut: int) -> None:
    whole = clock_states(START, np.array(values, np.int64), AHEAD)
    first = clock_states(START, np.array(values[:cut], np.int64), AHEAD)
    start = tuple(first[-1].tolist()) if len(first) else START
    rest = clock_states(start, np.array(values[cut:], np.int64), AHEAD)

    assert np.concatenate([first, rest]).tolist() == whole.tolist()


def test_it_is_the_largest_time_so_far() -> None:
    assert now([3, 1, NO_TIME, 7, 5]) == [3, 3, 3, 7, 7]


def test_two_records_far_ahead_do_not_move_it_the_third_does() -> None:
    assert now([1, 5_000, 5_001, 2, 5_000, 5_001, 5_002, 5_003]) == [1, 1, 1, 2, 2, 2, 5_002, 5_003]


def test_a_wrong_first_record_is_outvoted_by_three() -> None:
    assert now([9_000, 1, 2, 3, 4]) == [9_000, 9_000, 9_000, 3, 4]


def test_a_clock_that_three_agree_on_is_not_set_back() -> None:
    assert now([9_000, 9_001, 9_002, 1, 2, 3, 4]) == [9_000, 9_001, 9_002, 9_002, 9_002, 9_002, 9_002]


def test_only_believed_records_have_no_odd_ones_behind_them() -> None:
    states = clock_states(START, np.array([1, 5_000, 2, NO_TIME]), AHEAD)

    assert states[:, ODD].tolist() == [0, 1, 0, 0]
