"""Join: which event a label meets, when it is learned, and what becomes of labels that meet none."""

import numpy as np
import pytest
from chunks import TIMELESS, config_of, event, label, through, values
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import SMALL, flat, made_stream, tape_of

from stream_app.config import parse
from stream_app.flow.ledger import FORGET, LEARN, PREDICT
from stream_app.messages import EVENT
from stream_app.pipeline import Pipeline

CONFIG = config_of('[task]\nlabel_timeout = "1s"\n')
NAMES = {PREDICT: "predict", LEARN: "learn", FORGET: "forget"}


def operations(stream, config=CONFIG) -> list[str]:
    """What was done to which event, in order, a learned target in brackets."""
    chunk, pipeline = through(config, stream)
    ids = pipeline.join.kept.id[chunk.slot].tolist()
    told = zip(chunk.kind.tolist(), ids, chunk.value.tolist(), strict=True)
    return [f"{NAMES[kind]} {i}" + (f" [{value:g}]" if kind == LEARN else "") for kind, i, value in told]


def rejected(stream, config=CONFIG) -> list[tuple[str, int, int, str]]:
    chunk, _ = through(config, stream)
    return [(r.stream, r.offset, r.at, r.problem.reason) for r in chunk.rejects]


def test_a_label_with_its_event_is_learned_at_once_after_the_prediction() -> None:
    assert operations([event("a", 1, y=1), event("b", 2, y=0)]) == [
        "predict a", "learn a [1]", "predict b", "learn b [0]",
    ]  # fmt: skip


def test_a_label_may_come_later_and_out_of_order() -> None:
    stream = [event("a", 1), event("b", 2), label("b", 1, 5), label("a", 0, 6)]

    assert operations(stream) == ["predict a", "predict b", "learn b [1]", "learn a [0]"]
    assert not rejected(stream)


def test_a_label_may_come_before_its_event() -> None:
    stream = [label("a", 1, 1), event("b", 2), event("a", 3)]

    assert operations(stream) == ["predict b", "predict a", "learn a [1]"]
    assert not rejected(stream)


def test_of_two_labels_the_first_counts() -> None:
    stream = [event("a", 1), label("a", 1, 2), label("a", 0, 3)]

    assert operations(stream) == ["predict a", "learn a [1]"]
    assert rejected(stream) == [("labels", 1, 2, "this event already has its label; the first one counts")]


def test_an_early_label_counts_before_the_one_in_the_row() -> None:
    assert operations([label("a", 0, 1), event("a", 2, y=1)]) == ["predict a", "learn a [0]"]


def test_of_two_early_labels_the_first_counts() -> None:
    stream = [label("a", 0, 1), label("a", 1, 2), event("a", 3)]

    assert operations(stream) == ["predict a", "learn a [0]"]
    assert [r[:3] for r in rejected(stream)] == [("labels", 1, 1)]


def test_an_event_seen_twice_is_scored_once() -> None:
    stream = [event("a", 1, a=5), event("a", 2, a=6), label("a", 1, 3)]

    assert operations(stream) == ["predict a", "learn a [1]"]
    assert rejected(stream) == [("events", 1, 1, "id was seen before, within the last engine.remember ids")]
    assert rejected([event("a", 1, y=1), event("a", 2)])[0][:3] == ("events", 1, 1)  # labelled ones too


def test_a_label_that_never_comes_is_given_up_past_the_timeout() -> None:
    stream = [event("a", 0), event("b", 1000), event("c", 1001)]

    assert operations(stream) == ["predict a", "predict b", "forget a", "predict c"]


def test_a_label_after_the_timeout_is_too_late() -> None:
    stream = [event("a", 0), event("b", 1001), label("a", 1, 1002)]

    assert operations(stream) == ["predict a", "forget a", "predict b"]
    assert rejected(stream) == [("labels", 0, 2, "label came after task.label_timeout")]


def test_a_label_at_the_timeout_is_in_time() -> None:
    assert operations([event("a", 0), label("a", 1, 1000)]) == ["predict a", "learn a [1]"]


def test_a_label_for_an_unknown_id_waits_then_is_rejected_as_it_came() -> None:
    stream = [label("ghost", 1, 0), event("a", 1000), event("b", 1001)]
    chunk, pipeline = through(CONFIG, stream)
    (reject,) = chunk.rejects

    assert (reject.record, reject.at, reject.offset, reject.id, reject.raw) == (0, 2, 0, "ghost", stream[0][1])
    assert reject.problem.reason == "no event with this id came within task.label_timeout"
    assert pipeline.join.early == {}


def test_an_early_label_of_an_earlier_chunk_keeps_its_place_when_rejected() -> None:
    pipeline = Pipeline(CONFIG)
    through(CONFIG, [event("a", 0), label("ghost", 1, 5)], pipeline)
    chunk, _ = through(CONFIG, [event("b", 1010)], pipeline)

    assert [(r.record, r.at, r.offset, r.id) for r in chunk.rejects] == [(1, 2, 0, "ghost")]


def test_a_scheduled_label_waits_for_the_first_record_with_a_larger_time() -> None:
    stream = [event("a", 10, y=1, ly=20), event("b", 19), event("c", 20), event("d", 20), event("e", 21)]

    assert operations(stream) == ["predict a", "predict b", "predict c", "predict d", "learn a [1]", "predict e"]


def test_scheduled_labels_come_in_the_order_in_which_they_become_known() -> None:
    stream = [event("a", 1, y=1, ly=30), event("b", 2, y=0, ly=20), event("c", 3, y=1, ly=30), event("d", 99)]
    learned = [op for op in operations(stream) if op.startswith("learn")]

    assert learned == ["learn b [0]", "learn a [1]", "learn c [1]"]


def test_a_scheduled_label_is_known_at_its_own_time() -> None:
    chunk, _ = through(CONFIG, [event("a", 10, y=1, ly=20), event("b", 500)])

    assert chunk.known_ms[chunk.learned].tolist() == [20]
    assert chunk.op_record[chunk.learned].tolist() == [1]  # the record that brought the time


def test_a_label_time_before_the_event_means_at_once() -> None:
    assert operations([event("a", 10, y=1, ly=10), event("b", 10, y=0, ly=3)]) == [
        "predict a", "learn a [1]", "predict b", "learn b [0]",
    ]  # fmt: skip


def test_a_label_scheduled_past_the_timeout_never_counts() -> None:
    stream = [event("a", 0, y=1, ly=1000), event("b", 0, y=1, ly=1001), event("c", 5000)]

    assert operations(stream) == ["predict a", "predict b", "learn a [1]", "forget b", "predict c"]


def test_a_label_of_its_own_comes_before_the_scheduled_one() -> None:
    stream = [event("a", 0, y=1, ly=500), label("a", 0, 100), event("b", 600)]

    assert operations(stream) == ["predict a", "learn a [0]", "predict b"]


def test_the_ring_forgets_the_oldest_id() -> None:
    config = config_of("[engine]\nremember = 3\n")
    stream = [*(event(f"e{i}", i) for i in range(4)), label("e0", 1, 5), label("e1", 1, 6)]

    assert operations(stream, config)[:6] == [
        "predict e0", "predict e1", "predict e2", "forget e0", "predict e3", "forget e1",
    ]  # fmt: skip  # the early label of e0 takes the place of e1
    assert operations([*stream[:4], event("e0", 5)], config).count("predict e0") == 2  # forgotten: it is new again


def test_delays_run_from_the_event_to_the_label() -> None:
    stream = [event("a", 100, y=1), event("b", 200), label("b", 0, 450), label("c", 1, 460), event("c", 470)]
    found = flat([Pipeline(CONFIG).handle(tape_of(CONFIG, stream))])

    assert [(v.split(b'"')[3], v.split(b'"delay_ms":')[1].split(b",")[0]) for v in found["outcomes"]] == [
        (b"a", b"0"), (b"b", b"250"), (b"c", b"0"),
    ]  # fmt: skip


def test_an_early_event_is_known_by_its_row_while_it_waits() -> None:
    _, pipeline = through(CONFIG, [event("a", 7, a=1.5), event("b", 8, a=2.5, y=1)])

    assert pipeline.join.kept.id[pipeline.join.live()].tolist() == ["a"]
    assert pipeline.join.waiting("a", ["champion"])["time"] == 7
    assert pipeline.join.waiting("b", ["champion"]) == {}


def test_without_labels_every_event_is_let_go_at_the_next_record() -> None:
    config = config_of("", '\nname = "s"\n[schema]\nid = "id"\ntime = "t"\n[schema.fields]\na = { type = "number" }\n'
                           '[task]\ntype = "anomaly"\n[model]\nuse = "river.anomaly.HalfSpaceTrees"\n')  # fmt: skip
    _, pipeline = through(config, [event(f"e{i}", i, a=1) for i in range(50)])

    assert len(pipeline.join.live()) <= 1
    assert pipeline.measure.counts["expired"] == 0  # none was asked for


def test_without_time_the_join_is_the_same() -> None:
    config = config_of("", TIMELESS)
    stream = [event("a", 0), label("b", 1, 0), event("b", 0), label("a", 0, 0), label("a", 1, 0), event("a", 0)]

    assert operations(stream, config) == ["predict a", "predict b", "learn b [1]", "learn a [0]"]
    assert [r[:2] for r in rejected(stream, config)] == [("labels", 2), ("events", 2)]


def test_without_ids_the_offset_names_the_event() -> None:
    config = config_of("", TIMELESS.replace('id = "id"\n', ""))

    assert operations([(EVENT, b'{"y": 1}'), (EVENT, b"{}")], config) == ["predict 0", "learn 0 [1]", "predict 1"]


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.integers(4, 70), st.integers(1, 300))
def test_every_event_is_labelled_expired_or_pending(seed: int, remember: int, cut: int) -> None:
    text = SMALL.replace("remember = 64", f"remember = {remember}")
    config, stream = parse(text, "small.toml", {}), made_stream(seed, 150)
    pipeline = Pipeline(config)
    for start in range(0, len(stream), cut):
        pipeline.handle(tape_of(config, stream[start : start + cut], stream[:start]))
        counts = pipeline.measure.counts
        pending = len(pipeline.join.live())
        assert counts["events"] == counts["labels"] + counts["expired"] + pending
        assert pending <= remember
        assert len(set(pipeline.join.live().tolist())) == pending  # no slot is held twice


@pytest.mark.parametrize(("members", "slots"), [({"y": 1}, 1024), ({}, 2048)], ids=["labelled", "expired"])
def test_slots_are_used_again_and_memory_stays(members: dict[str, int], slots: int) -> None:
    pipeline = Pipeline(CONFIG)
    for start in range(0, 10_000, 500):
        through(CONFIG, [event(f"e{i}", i, **members) for i in range(start, start + 500)], pipeline)

    assert len(pipeline.join.kept) == slots


def test_dead_letters_tell_the_id_and_the_place() -> None:
    stream = [event("a", 1), label("a", 1, 2), label("a", 0, 3)]
    out = Pipeline(CONFIG).handle(tape_of(CONFIG, stream))
    (letter,) = values(out.messages, "dead-letters")

    assert letter["path"] == "$.id"
    assert letter["offset"] == 1
    assert [m.key for m in out.messages if m.stream == "dead-letters"] == ["a"]


@pytest.mark.parametrize("k", range(6))
def test_story_and_state_come_back(k: int) -> None:
    stream = [event("a", 0, y=1, ly=300), label("g", 1, 5), event("b", 10), label("b", 1, 20), event("c", 400)]
    whole, _ = through(CONFIG, [*stream, label("c", 1, 500), event("g", 600)])
    pipeline, resumed = Pipeline(CONFIG), Pipeline(CONFIG)
    through(CONFIG, stream[:k], pipeline)
    resumed.restore(pipeline.snapshot())
    rest, _ = through(CONFIG, [*stream[k:], label("c", 1, 500), event("g", 600)], resumed)

    n = len(rest.kind)
    assert rest.kind.tolist() == whole.kind[len(whole.kind) - n :].tolist()
    assert np.array_equal(rest.value, whole.value[len(whole.kind) - n :], equal_nan=True)
