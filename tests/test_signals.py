"""What each watched signal is: its values, and from which record, event, time and segment each came."""

import numpy as np
import pytest
from chunks import TIMELESS, config_of, event, label, through
from streams import SMALL, made_stream, tape_of

from stream_app.config import parse
from stream_app.flow.chunk import Column
from stream_app.messages import CONTROL, EVENT
from stream_app.pipeline import Pipeline


def watching(*names: str, by: str | None = None, extra: str = "", schema: str | None = None):
    categories = ("key", "feature:c")
    return config_of(
        extra
        + "".join(
            f'[[watch]]\nsignal = "{name}"\ndetector = "{"psi" if name in categories else "page_hinkley"}"\n'
            + (f'by = "{by}"\n' if by else "")
            for name in names
        ),
        **({"schema": schema} if schema else {}),
    )


def column(name: str, stream, **options) -> Column:
    return through(watching(name, **options), stream)[0].signals[name]


def same(values, expected) -> bool:
    return np.array_equal(values, np.array(expected, float), equal_nan=True)


EVENTS = [
    event("a", 100, a=1.5, c="x", who="p"),
    (EVENT, b"{"),
    event("b", 200, who="q"),
    event("a", 201, a=9, c="z"),  # a duplicate
    event("c", 150, a=-2, c="y", who="p"),
]


def test_a_number_field() -> None:
    found = column("feature:a", EVENTS, by="c")

    assert same(found.x, [1.5, np.nan, -2])
    assert found.record.tolist() == [0, 2, 4]
    assert found.offset.tolist() == [0, 2, 4]
    assert found.time_ms.tolist() == [100, 200, 150]
    assert found.groups["c"].tolist() == [0, -1, 2]  # the duplicate's category has its code


def test_a_category_field_is_its_code() -> None:
    assert same(column("feature:c", EVENTS).x, [0, np.nan, 2])


def test_missing_is_one_where_nothing_stands() -> None:
    assert column("missing:a", EVENTS).x.tolist() == [0, 1, 0]
    assert column("missing:c", EVENTS).x.tolist() == [0, 1, 0]


def test_a_computed_feature() -> None:
    feature = '[[features]]\nname = "n"\nstat = "count"\nby = "who"\nover = "9 events"\n'

    assert same(column("feature:n", EVENTS, extra=feature).x, [0, 0, 1])


def test_lateness_in_seconds() -> None:
    assert column("lateness", EVENTS).x.tolist() == [0, 0, 0.051]  # the duplicate moved the clock to 201


def test_prediction_is_the_score() -> None:
    chunk, _ = through(watching("prediction"), EVENTS)

    assert chunk.signals["prediction"].x.tolist() == chunk.scores[0][:, 0].tolist() == [0.5] * 3


def test_prediction_of_several_classes_is_the_class() -> None:
    config = config_of('[task]\ntype = "multiclass"\n[[watch]]\nsignal = "prediction"\ndetector = "psi"\n')
    chunk, _ = through(config, [event(f"e{i}", i, c="xy"[i % 2], y="pq"[i % 2]) for i in range(60)])
    found = chunk.signals["prediction"].x

    assert np.isnan(found[0])
    assert found[-4:].tolist() == [0, 1, 0, 1]


LABELLED = [
    event("a", 1000, c="x"),
    event("b", 1500, c="y", y=0),
    label("a", 1, 3250),
    event("c", 4000, y=1, ly=4200, c="x"),
    event("d", 5000),
]


def test_label_delay_in_seconds_where_the_label_came() -> None:
    found = column("label_delay", LABELLED, by="c")

    assert found.x.tolist() == [0, 2.25, 0.2]
    assert found.record.tolist() == [1, 2, 4]  # the scheduled one came with the record that brought the time
    assert found.offset.tolist() == [1, 0, 2]  # of the event
    assert found.time_ms.tolist() == [1500, 3250, 4200]
    assert found.groups["c"].tolist() == [1, 0, 0]  # of the event


def test_error_is_the_champions_loss() -> None:
    chunk, _ = through(watching("error"), LABELLED)
    found = chunk.signals["error"]

    assert found.x.tolist() == chunk.error.tolist()
    assert found.x.tolist()[:2] == [0, 1]  # b: .5 is class 0; then a
    assert found.offset.tolist() == [1, 0, 2]


def test_expired_is_one_where_no_label_came_in_time() -> None:
    stream = [event("a", 0, c="x"), event("b", 0, y=1), event("c", 10), label("c", 1, 20), event("d", 1001)]
    found = column("expired", stream, by="c", extra='[task]\nlabel_timeout = "1s"\n')

    assert found.x.tolist() == [0, 0, 1]
    assert found.offset.tolist() == [1, 2, 0]
    assert found.record.tolist() == [1, 3, 4]
    assert found.groups["c"].tolist() == [-1, -1, 0]


def test_rejects_is_one_per_dead_letter_at_its_own_record() -> None:
    stream = [
        (EVENT, b"no time is known yet"),
        event("a", 1000),
        (CONTROL, b'{"command": "reset"}'),
        label("a", 1, 1001),
        label("a", 1, 1002),
        event("a", 1003),
        label("ghost", 1, 1004),
        (EVENT, b"{"),
        event("b", 9000),  # ghost is given up here, a reject of an earlier record
    ]
    found = column("rejects", stream, extra='[task]\nlabel_timeout = "1s"\n')

    assert found.x.tolist() == [0, 0, 1, 1, 0, 1, 0]
    assert found.record.tolist() == [1, 3, 4, 5, 6, 7, 8]
    assert found.offset.tolist() == [1, 0, 1, 2, 2, 3, 4]  # in its own stream
    assert found.time_ms.tolist() == [1000, 1001, 1002, 1003, 1004, 1004, 9000]


KEYED = [
    event("a", 1000, who="p"),
    event("b", 2000, who="q"),
    event("c", 4000, who="p"),
    event("d", 4500),
    event("e", 3000, who="p"),  # late: no time has passed
    event("f", 6000, who="p"),
    event("g", 7000),
    event("h", 8000, who="q"),
]


def test_key_is_a_category() -> None:
    assert same(column("key", KEYED).x, [0, 1, 0, np.nan, 0, 0, np.nan, 1])


def test_gaps_of_all_keys_one_segment_each() -> None:
    found = column("key:*", KEYED)

    assert same(found.x, [np.nan, np.nan, 3, np.nan, 0, 2, 2.5, 6])
    assert found.groups["key"].tolist() == [0, 1, 0, -1, 0, 0, -1, 1]


def test_gaps_of_one_key() -> None:
    found = column("key:p", KEYED, by="c")

    assert same(found.x, [np.nan, 3, 0, 2])
    assert found.offset.tolist() == [0, 2, 4, 5]
    assert found.record.tolist() == [0, 2, 4, 5]
    assert found.time_ms.tolist() == [1000, 4000, 3000, 6000]
    assert found.groups["c"].tolist() == [-1] * 4


def test_gaps_go_on_in_the_next_chunk_and_after_a_restart() -> None:
    config = watching("key:*")
    pipeline, resumed = Pipeline(config), Pipeline(config)
    through(config, KEYED[:5], pipeline)
    resumed.restore(pipeline.snapshot())
    chunk, _ = through(config, KEYED[5:], resumed)

    assert chunk.signals["key:*"].x.tolist() == [2, 2.5, 6]


def test_events_without_a_key_do_not_share_their_gaps_with_the_last_code() -> None:
    stream = [event(f"e{i}", 1000 * i, who=who) for i, who in enumerate(["p", "q", "", "q", ""])]
    found = column("key:*", stream, extra="[engine]\nmax_categories = 2\n")

    assert same(found.x, [np.nan, np.nan, np.nan, 2, 2])


def test_a_stream_without_time_has_signals_too() -> None:
    config = watching("feature:a", "rejects", "expired", "key", schema=TIMELESS)
    chunk, _ = through(config, EVENTS)

    assert chunk.signals["feature:a"].time_ms.tolist() == [0, 2, 4]
    assert chunk.signals["rejects"].x.tolist() == [0, 1, 0, 1, 0]
    assert chunk.signals["key"].x.tolist() == [0, 1, 0]


def test_columns_are_as_long_as_what_they_count() -> None:
    config, stream = parse(SMALL, "small.toml", {}), made_stream(seed=8, events=300)
    chunk, pipeline = through(config, stream)
    counts = pipeline.measure.counts
    lengths = {"feature:a": "events", "prediction": "events", "key:*": "events", "error": "labels"}

    assert {name: len(chunk.signals[name].x) for name in lengths} == {n: counts[c] for n, c in lengths.items()}
    assert len(chunk.signals["expired"].x) == counts["labels"] + counts["expired"]
    assert all(
        len(c.x) == len(c.record) == len(c.offset) == len(c.time_ms) == len(g)
        for c in chunk.signals.values()
        for g in (c.x, *c.groups.values())
    )


def test_a_watch_over_everything_builds_each_signal_once() -> None:
    config = watching("feature:a", "feature:a", "missing:*")
    pipeline = Pipeline(config)
    pipeline.handle(tape_of(config, EVENTS))

    assert pipeline.measure.signals.names == ["feature:a", "missing:a", "missing:c"]


@pytest.mark.parametrize("name", ["feature:a", "error", "rejects", "key:*", "expired"])
def test_no_records_no_observations(name: str) -> None:
    assert len(column(name, []).x) == 0


def test_rejects_of_one_kind() -> None:
    stream = [event("a", 1000), (EVENT, b"{"), event("a", 1001), event("b", 1002, a="much"), label("ghost", 1, 1003)]

    assert column("rejects:duplicate", stream).x.tolist() == [0, 0, 1, 0, 0]
    assert column("rejects:schema", stream).x.tolist() == [0, 1, 0, 0, 0]
    assert column("rejects:type", stream).x.tolist() == [0, 0, 0, 1, 0]


def test_frozen_is_one_where_the_entity_repeats_itself() -> None:
    values = [("p", 1), ("q", 1), ("p", 2), ("q", 1), ("p", None), ("p", 2), ("q", 3)]
    stream = [event(f"e{i}", i, who=who, a=a) for i, (who, a) in enumerate(values)]

    assert same(column("frozen:a", stream).x, [np.nan, np.nan, 0, 1, np.nan, 1, 0])
