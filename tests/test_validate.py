"""Validate: stream time and what is too late or too far ahead of it, codes of categories and classes, rejects."""

import numpy as np
import pytest
import xxhash
from chunks import TIMELESS, config_of, event, label
from hypothesis import given
from hypothesis import strategies as st
from streams import made_stream, tape_of

from stream_app.config import Config
from stream_app.flow.chunk import Chunk
from stream_app.flow.validate import Validate, Vocabulary
from stream_app.messages import CONTROL, EVENT, NO_TIME, Outputs
from stream_app.texts import Coded

CONFIG = config_of('[engine]\nlateness = "10s"\nahead = "100s"\n')


def validated(config: Config, stream: list[tuple[int, bytes]], stage: Validate | None = None) -> Chunk:
    chunk = Chunk(tape_of(config, stream), 0, closes=False, out=Outputs())
    (stage or Validate(config)).run(chunk)
    return chunk


def at(*times: int) -> list[tuple[int, bytes]]:
    return [event(f"e{i}", t) for i, t in enumerate(times)]


def test_stream_time_is_the_largest_time_so_far() -> None:
    chunk = validated(CONFIG, [*at(50_000, 49_000), label("e0", 1, 52_000), *at(51_000)])

    assert chunk.clock_ms.tolist() == [50_000, 50_000, 52_000, 52_000]
    assert chunk.now_ms.tolist() == chunk.clock_ms.tolist()
    assert chunk.lateness_s.tolist() == [0, 1, 1]


def test_an_event_is_accepted_up_to_the_lateness_and_rejected_past_it() -> None:
    chunk = validated(CONFIG, at(50_000, 40_000, 39_999))

    assert chunk.events.id == ["e0", "e1"]
    assert [(r.id, r.offset, r.record, r.stream) for r in chunk.rejects] == [("e2", 2, 2, "events")]
    assert chunk.rejects[0].problem.reason == "time is 10 s behind the stream; engine.lateness allows 10 s"
    assert chunk.rejects[0].problem.path == "$.t"
    assert chunk.lateness_s.tolist() == [0, 10]


def test_a_label_is_never_too_late_here() -> None:
    """How late a label may be is for the join: it knows the event."""
    chunk = validated(CONFIG, [*at(50_000), label("e0", 1, 1)])

    assert chunk.labels.id == ["e0"]
    assert not chunk.rejects


def test_two_records_far_ahead_are_rejected_the_third_is_believed() -> None:
    chunk = validated(CONFIG, at(1_000, 200_000, 200_001, 200_002, 200_003))

    assert chunk.events.id == ["e0", "e3", "e4"]
    assert [r.problem.reason for r in chunk.rejects] == [
        "time jumps 199 s ahead of the stream; engine.ahead allows 100 s"
    ] * 2
    assert chunk.clock_ms.tolist() == [1_000, 1_000, 1_000, 200_002, 200_003]


def test_a_record_in_time_between_them_starts_the_count_over() -> None:
    chunk = validated(CONFIG, at(1_000, 200_000, 200_001, 1_001, 200_002, 200_003, 1_002))

    assert chunk.events.id == ["e0", "e3", "e6"]
    assert chunk.clock_ms[-1] == 1_002


def test_the_count_goes_on_in_the_next_chunk() -> None:
    stage = Validate(CONFIG)
    chunks = [validated(CONFIG, [record], stage) for record in at(1_000, 200_000, 200_001, 200_002)]

    assert [len(chunk.events) for chunk in chunks] == [1, 0, 0, 1]


def test_a_first_record_from_the_future_does_not_make_all_others_late() -> None:
    chunk = validated(CONFIG, at(9_000_000, 1_000, 2_000, 3_000, 4_000, 3_500))

    assert chunk.events.id == ["e0", "e3", "e4", "e5"]
    assert chunk.clock_ms.tolist() == [9_000_000, 9_000_000, 9_000_000, 3_000, 4_000, 4_000]


def test_old_records_do_not_set_back_a_clock_that_many_agree_on() -> None:
    chunk = validated(CONFIG, at(900_000, 900_001, 900_002, 1, 2, 3, 4, 900_003))

    assert chunk.events.id == ["e0", "e1", "e2", "e7"]


def test_a_jump_of_just_the_limit_is_fine() -> None:
    assert len(validated(CONFIG, at(1_000, 101_000)).events) == 2


def clock_slowly(stream_times: list[int], lateness: int, ahead: int) -> list[bool]:
    now, odd, rests_on, accepted = None, 0, 0, []
    for t in stream_times:
        if now is None:
            good = True
        elif abs(t - now) > ahead:
            odd += 1
            good = odd >= 3 and (t > now or rests_on < 3)
            if good:
                now, odd, rests_on = t, 0, 0
        else:
            odd, good = 0, t >= now - lateness
            rests_on += not good
        if good:
            now, rests_on = t if now is None else max(now, t), rests_on + 1
        accepted.append(good)
    return accepted


@given(st.lists(st.integers(0, 400).map(lambda s: s * 1000), max_size=30), st.integers(0, 30))
def test_the_clock_and_its_slow_twin_accept_the_same(times: list[int], cut: int) -> None:
    stage = Validate(CONFIG)
    chunks = [validated(CONFIG, part, stage) for part in (at(*times)[:cut], at(*times)[cut:])]
    accepted = [event_id for chunk in chunks for event_id in chunk.events.id]

    assert accepted == [f"e{i}" for i, ok in enumerate(clock_slowly(times, 10_000, 100_000)) if ok]


def test_a_stream_without_time_counts_its_records() -> None:
    config = config_of('[engine]\nlateness = "10s"\n', TIMELESS)
    chunk = validated(config, [event(f"e{i}", 0) for i in range(4)])

    assert chunk.now_ms.tolist() == [0, 1, 2, 3]
    assert not chunk.lateness_s.any()


def test_rejects_stand_in_tape_order_with_the_bytes_as_they_came() -> None:
    stream = [(EVENT, b"{"), *at(50_000), label("e0", "perhaps", 1), *at(1), (CONTROL, b"no event"), (EVENT, b"\xff")]
    chunk = validated(CONFIG, stream)

    assert [(r.record, r.at, r.stream, r.offset) for r in chunk.rejects] == [
        (0, 0, "events", 0), (2, 2, "labels", 0), (3, 3, "events", 2), (5, 5, "events", 3),
    ]  # fmt: skip
    assert [r.raw for r in chunk.rejects] == [stream[i][1] for i in (0, 2, 3, 5)]
    assert chunk.record.tolist() == [1]
    assert chunk.clock_ms.tolist() == [NO_TIME, *[50_000] * 5]


def test_categories_get_codes_in_order_of_appearance() -> None:
    texts = ["x", None, "y", "x", "z"]
    stage = Validate(CONFIG)
    chunk = validated(CONFIG, [event(str(i), i, c=text) for i, text in enumerate(texts)], stage)

    assert chunk.codes[:, 0].tolist() == [0, -1, 1, 0, 2]
    assert stage.vocabularies["c"].texts == ["x", "y", "z"]


def test_rejected_records_get_no_code() -> None:
    stage = Validate(CONFIG)
    validated(CONFIG, [event("a", 50_000, c="x"), event("b", 1, c="late"), event("c", 50_001, c="y")], stage)

    assert stage.vocabularies["c"].texts == ["x", "y"]


@given(st.lists(st.one_of(st.none(), st.sampled_from("abcdefgh"), st.text(min_size=1, max_size=2)), max_size=40))
def test_past_its_size_a_vocabulary_shares_codes_by_hash(texts: list[str | None]) -> None:
    words = Vocabulary(size=4)
    codes = words.encode(Coded.of(texts))
    first = list(dict.fromkeys(text for text in texts if text))[:4]

    assert words.texts == first
    for text, code in zip(texts, codes.tolist(), strict=True):
        if text is None:
            assert code == -1
        elif text in first:
            assert code == first.index(text)
        else:
            assert code == xxhash.xxh3_64_intdigest(text.encode()) % 4


def test_a_loaded_vocabulary_is_the_same_list() -> None:
    words = Vocabulary(size=4)
    held = words.texts
    words.encode(Coded.of(["b"]))
    words.load(["x", "y"])

    assert held == ["x", "y"]
    assert words.encode(Coded.of(["y", None, "b"])).tolist() == [1, -1, 2]


def test_binary_labels_are_zero_and_one() -> None:
    chunk = validated(CONFIG, [event("a", 1, y="no"), event("b", 2), event("c", 3, y=True), label("b", "1.0", 4)])

    assert chunk.target.tolist() == pytest.approx([0, np.nan, 1], nan_ok=True)
    assert chunk.label_target.tolist() == [1]


def test_named_classes_have_the_codes_of_the_configuration() -> None:
    config = config_of('[task]\nclasses = ["good", "bad"]\n')
    chunk = validated(config, [event("a", 1, y="bad"), event("b", 2, y="good")])

    assert chunk.target.tolist() == [1, 0]


def test_regression_labels_are_their_values() -> None:
    chunk = validated(config_of('[task]\ntype = "regression"\n'), [event("a", 1, y=-2.5), event("b", 2)])

    assert chunk.target.tolist() == pytest.approx([-2.5, np.nan], nan_ok=True)


def test_classes_past_the_limit_are_rejected_known_ones_go_on() -> None:
    config = config_of('[task]\ntype = "multiclass"\nmax_classes = 2\n')
    stage = Validate(config)
    stream = [event("a", 1, y="p"), label("a", "q", 2), event("b", 3, y="r"), event("c", 4, y="q"), label("c", "s", 5)]
    chunk = validated(config, stream, stage)

    assert stage.classes.texts == ["p", "q"]
    assert chunk.events.id == ["a", "c"]
    assert [(r.record, r.stream, r.problem.path) for r in chunk.rejects] == [(2, "events", "$.y"), (4, "labels", "$.y")]
    assert chunk.rejects[0].problem.reason == 'class "r" comes after 2 others: raise task.max_classes'


def test_classes_are_coded_in_tape_order_whatever_the_stream() -> None:
    config = config_of('[task]\ntype = "multiclass"\n')
    stage = Validate(config)
    validated(config, [label("a", "q", 2), event("b", 3, y="r"), label("c", "p", 5)], stage)

    assert stage.classes.texts == ["q", "r", "p"]


def test_a_record_rejected_for_its_class_does_not_move_the_clock() -> None:
    config = config_of('[task]\ntype = "multiclass"\nmax_classes = 2\n')
    chunk = validated(config, [event("a", 1, y="p"), event("b", 2, y="q"), event("c", 900, y="r"), event("d", 3)])

    assert chunk.clock_ms.tolist() == [1, 2, 2, 3]


def test_state_comes_back() -> None:
    stage, again = Validate(CONFIG), Validate(CONFIG)
    validated(CONFIG, [event("a", 9, c="x"), event("b", 10, c="y"), event("c", 10**9, c="z")], stage)
    again.load(stage.to_state(np.empty(0, np.int64)))

    assert again.clock == (10, 1, 2)
    assert again.to_state(np.empty(0, np.int64)) == stage.to_state(np.empty(0, np.int64))


def test_every_record_is_accepted_or_rejected_once() -> None:
    stream = made_stream(seed=9, events=300)
    chunk = validated(config_of('[engine]\nlateness = "1s"\n'), stream)
    control = [i for i, (kind, _) in enumerate(stream) if kind == CONTROL]
    places = sorted([*chunk.record.tolist(), *(r.record for r in chunk.rejects), *control])

    assert places == list(range(len(stream)))
    assert len(chunk.rejects) > 3
