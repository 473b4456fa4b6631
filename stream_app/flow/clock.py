"""The clock of a stream: the largest time of its records so far, not led astray by a few that are far off.

A record more than `ahead_ms` ahead of the clock does not move it, unless it is the third of such in a row: then the
stream itself has moved on. A record as far behind does not move it either; only while the clock rests on fewer than
three records does the third one in a row set it back: then the first record was the wrong one.
"""

import numpy as np
from numba import njit

from stream_app.messages import NO_TIME, Ints

CONFIRMED = 3  # records in a row that must agree
NOW, ODD, TAKEN = 0, 1, 2  # columns of the states: the clock, records in a row far off it, records it rests on
START = (NO_TIME, 0, 0)


def clock_states(start: tuple[int, int, int], time_ms: Ints, ahead_ms: int) -> Ints:
    """State [n, 3] after each record; a record is believed if ODD is 0 behind it. NO_TIME records leave it as it is.

    >>> clock_states(START, np.array([5, 7, 9999, 6, 8]), ahead_ms=100)[:, NOW].tolist()
    [5, 7, 7, 7, 8]
    """
    states = np.empty((len(time_ms), 3), np.int64)
    _follow(*start, time_ms, ahead_ms, states)
    return states


def state_of(row: Ints) -> tuple[int, int, int]:
    """One row of `clock_states` as the start of the next call."""
    now, odd, taken = row.tolist()
    return now, odd, taken


@njit(cache=True, nogil=True)
def _follow(now: int, odd: int, taken: int, time_ms: Ints, ahead_ms: int, states: Ints) -> None:
    for i in range(len(time_ms)):
        time = time_ms[i]
        if time != NO_TIME:
            far = now != NO_TIME and (time > now + ahead_ms or time < now - ahead_ms)
            odd = odd + 1 if far else 0
            if odd >= CONFIRMED and (time > now or taken < CONFIRMED):
                now, odd, taken = time, 0, 1
            elif not far:
                now, taken = max(now, time), min(CONFIRMED, taken + 1)
        states[i, NOW], states[i, ODD], states[i, TAKEN] = now, odd, taken
