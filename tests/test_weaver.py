"""Weaver: however the two streams are read, the tape is their full sort by running time, events first on a tie."""

from itertools import accumulate
from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_app.messages import EVENT, LABEL, NO_TIME, Rows, Tape
from stream_app.runners.weaver import Weaver
from stream_app.texts import Coded, Pieces, Texts

AHEAD = 1000


class Taken(NamedTuple):
    """One record of a tape."""

    stream: int
    offset: int
    time_ms: int


def rows(times: list[int], first: int = 0) -> Rows:
    n = len(times)
    number = np.arange(first, first + n)
    return Rows(
        number, np.array(times, np.int64), np.ones(n, bool), Texts.of_numbers(number),
        np.arange(n), np.zeros((n, 0)), [], [None] * n, Coded.none(n), np.full(n, NO_TIME), Pieces.of([b""] * n),
    )  # fmt: skip


def taken(tape: Tape) -> list[Taken]:
    parts = (
        iter(zip(tape.events.offset, tape.events.time_ms, strict=True)),
        iter(zip(tape.labels.offset, tape.labels.time_ms, strict=True)),
    )
    told = [Taken(int(stream), *map(int, next(parts[stream]))) for stream in tape.order]
    assert all(next(part, None) is None for part in parts)
    return told


def sorted_at_once(streams: tuple[list[int], list[int]]) -> list[Taken]:
    """The order there must be: by the newest time so far in the record's own stream, then event, then place."""
    keyed = [
        (running, stream, offset, time)
        for stream, times in enumerate(streams)
        for offset, (time, running) in enumerate(zip(times, accumulate(times, max), strict=True))
    ]
    return [Taken(stream, offset, time) for _, stream, offset, time in sorted(keyed)]


def weave(streams: tuple[list[int], list[int]], sizes: list[tuple[int, int]], *, restart: bool = False) -> list[Taken]:
    """Push so many records of each stream, pull, and so on; then all that is left, and the end.

    With `restart`, a new weaver goes on after each pull from what was given out, as after a crash.
    """
    weaver = Weaver(rows([]), rows([]), AHEAD)
    at, given_out, told = [0, 0], [0, 0], []
    for step in [*sizes, tuple(map(len, streams))]:
        for stream in (EVENT, LABEL):
            part = streams[stream][at[stream] : at[stream] + step[stream]]
            weaver.push(stream, rows(part, at[stream]))
            at[stream] += len(part)
        ended = [at[stream] == len(streams[stream]) for stream in (EVENT, LABEL)]
        new = taken(weaver.pull(events_ended=ended[EVENT], labels_ended=ended[LABEL]))
        told += new
        for stream in (EVENT, LABEL):
            given_out[stream] += sum(record.stream == stream for record in new)
            assert weaver.waiting(stream) == at[stream] - given_out[stream]
        if restart:
            weaver, at = Weaver(rows([]), rows([]), AHEAD, weaver.clocks), list(given_out)
    assert given_out == [len(times) for times in streams]
    return told


times = st.lists(st.one_of(st.integers(-5, 30), st.just(NO_TIME)), max_size=30)
reads = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12)


@given(times, times, reads)
def test_any_reads_give_the_full_sort(events: list[int], labels: list[int], sizes: list[tuple[int, int]]) -> None:
    # every tape is the next part of the one right order: so nothing was given out before something earlier
    assert weave((events, labels), sizes) == sorted_at_once((events, labels))


@given(times, times, reads)
def test_a_restart_after_any_tape_changes_nothing(
    events: list[int], labels: list[int], sizes: list[tuple[int, int]]
) -> None:
    assert weave((events, labels), sizes, restart=True) == sorted_at_once((events, labels))


def offsets(tape: Tape) -> list[tuple[int, int]]:
    return [(record.stream, record.offset) for record in taken(tape)]


def test_events_come_first_on_a_tie() -> None:
    weaver = Weaver(rows([5, 5]), rows([4, 5, 5]), AHEAD)
    assert offsets(weaver.pull(events_ended=True, labels_ended=True)) == [(1, 0), (0, 0), (0, 1), (1, 1), (1, 2)]


def test_many_records_of_one_time_keep_their_order() -> None:
    streams = ([1] * 60 + [2] * 60, [0] * 60 + [1] * 60)
    assert weave(streams, [(7, 50), (100, 1)]) == sorted_at_once(streams)


def test_a_label_waits_for_an_event_of_its_own_time() -> None:
    weaver = Weaver(rows([5]), rows([5]), AHEAD)
    assert offsets(weaver.pull(events_ended=False, labels_ended=False)) == [(0, 0)]
    weaver.push(EVENT, rows([5, 6], first=1))
    assert offsets(weaver.pull(events_ended=False, labels_ended=False)) == [(0, 1), (1, 0)]


def test_a_record_without_time_stays_behind_the_one_before() -> None:
    weaver = Weaver(rows([1, NO_TIME, 9]), rows([NO_TIME, 4, NO_TIME]), AHEAD)
    order = offsets(weaver.pull(events_ended=True, labels_ended=True))
    assert order == [(1, 0), (0, 0), (0, 1), (1, 1), (1, 2), (0, 2)]


def test_a_silent_stream_holds_the_other_back_until_it_is_given_up() -> None:
    weaver = Weaver(rows([1, 2]), rows([]), AHEAD)
    assert offsets(weaver.pull(events_ended=False, labels_ended=False)) == []
    assert offsets(weaver.pull(events_ended=False, labels_ended=True)) == [(0, 0), (0, 1)]
    weaver.push(LABEL, rows([1]))  # it comes after all: late, but taken
    assert offsets(weaver.pull(events_ended=False, labels_ended=False)) == [(1, 0)]


def test_one_wrong_clock_does_not_bring_all_labels_before_their_events() -> None:
    streams = ([1, 2, 9_999, 4, 5], [3, 4, 5])

    assert [t.stream for t in weave(streams, [])] == [EVENT, EVENT, EVENT, LABEL, EVENT, LABEL, EVENT, LABEL]


def test_a_first_record_from_the_future_is_set_right_by_the_next_three() -> None:
    streams = ([9_999, 2, 3, 4, 6], [5])

    assert [t.stream for t in weave(streams, [])] == [EVENT, EVENT, EVENT, EVENT, LABEL, EVENT]
