"""The board: the same whatever came first, bounded, resumable; and its figures are those of the log."""

import json
import random
from typing import Any, NamedTuple, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import SMALL, made_stream, run_in_cuts

from stream_app.board import incidents as incidents_module
from stream_app.board.asked import SORTS, Around, Asked
from stream_app.board.documents import BY_VIEW
from stream_app.board.fold import STREAMS, Board
from stream_app.board.incidents import Incidents
from stream_app.board.letters import MOST, OTHER, Letters
from stream_app.board.panes import MOST_BINS, ROOM, Signals
from stream_app.board.views import VIEWS, document
from stream_app.config import parse
from stream_app.pipeline import Pipeline

CONFIG = parse(SMALL, "small.toml", {})
NAMES = ["stream", "shard", "record"]


class Record(NamedTuple):
    id: str
    key: str
    time_ms: int
    value: bytes


Told = list[tuple[str, int, Record]]


def told_by(seed: int, shard: int, events: int = 700) -> Told:
    """All records of output streams that pages are made of, in the order of each stream."""
    found, _ = run_in_cuts(CONFIG, made_stream(seed, events), [], Pipeline(CONFIG, shard))
    return [(stream, shard, Record(*record)) for stream in STREAMS for record in found.get(stream, [])]


@pytest.fixture(scope="module")
def told() -> Told:
    return told_by(1, 0) + told_by(2, 1)


@pytest.fixture(scope="module")
def board(told: Told) -> Board:
    """All of it, to be looked at."""
    return board_of(told)


def board_of(told: Told) -> Board:
    board = Board(CONFIG)
    for each in told:
        board.take(*each)
    return board


def values(told: Told, stream: str, shard: int = 0) -> list[dict[str, Any]]:
    return [json.loads(record.value) for name, number, record in told if (name, number) == (stream, shard)]


def newest(told: Told, key: str, shard: int = 0) -> dict[str, Any]:
    return [json.loads(r.value) for name, n, r in told if (name, n, r.key) == ("metrics", shard, key)][-1]


def documents(board: Board) -> dict[str, bytes]:
    asked = Asked(signal="feature:a", id="small-1")
    return {view: msgspec.json.encode(document(board, view, asked)) for view in VIEWS}


# the same board


def test_streams_and_shards_may_come_in_any_order(told: Told) -> None:
    queues = {(stream, shard): [t for t in told if t[:2] == (stream, shard)] for stream, shard, _ in told}
    mixed: Told = []
    chance = random.Random(4)
    while queues:
        at = chance.choice(sorted(queues))
        mixed.append(queues[at].pop(0))
        if not queues[at]:
            del queues[at]

    assert documents(board_of(mixed)) == documents(board_of(told))


@settings(max_examples=10)
@given(st.data())
def test_a_board_goes_on_where_its_state_was_taken(told: Told, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(told)))
    saved = msgspec.msgpack.encode(board_of(told[:cut]).to_state())
    resumed = Board(CONFIG)
    resumed.load(msgspec.msgpack.decode(saved))
    for each in told[cut:]:
        resumed.take(*each)

    assert resumed.to_state() == board_of(told).to_state()


def test_a_state_of_another_format_or_none_is_refused() -> None:
    board = Board(CONFIG)
    state = board.to_state()

    for wrong in (state | {"format": 0}, state | {"shards": {0: {"figures": 7}}}, state | {"shards": 3}):
        with pytest.raises(msgspec.ValidationError):
            board.load(wrong)


# documents


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("shard", [None, 0, 1, 7])
def test_each_document_is_as_described(board: Board, view: str, shard: int | None) -> None:
    for detector in board.shards[0].figures.detectors.values():
        asked = Asked(shard=shard, signal=detector.signal, segment=detector.segment, id="small-1")
        made = msgspec.json.encode(document(board, view, asked, Around(status="live", notices=("x",), lag=3)))
        checked = msgspec.convert(json.loads(made), BY_VIEW[view])

        assert set(checked) == set(json.loads(made)) == set(get_type_hints(BY_VIEW[view]))
        if view != "signal":
            break


@pytest.mark.parametrize("view", VIEWS)
def test_before_anything_was_told_there_is_a_document(view: str) -> None:
    made = document(Board(CONFIG), view, Asked(signal="feature:a", id="x"))

    assert msgspec.convert(json.loads(msgspec.json.encode(made)), BY_VIEW[view])
    assert (made["time_ms"], made["records"], made["status"]) == (None, 0, "waiting")


# figures


def test_the_overview_tells_what_the_metrics_tell(told: Told, board: Board) -> None:
    found = document(board, "overview", Asked(shard=0))
    stream, labels, incidents = (newest(told, key) for key in ("stream", "labels", "incidents"))
    champion = newest(told, "performance:champion")

    assert found["counts"] == {name: stream[name] for name in found["counts"]}
    assert found["time_ms"] == stream["time"]
    assert found["labels"]["coverage"] == labels["coverage"]
    assert found["labels"]["delay_p95_s"] == labels["delay_p95_s"]
    assert found["labels"]["pending"] == labels["pending"]
    assert found["budget"]["raised"] == incidents["budget"]["alarms"]
    assert found["budget"]["spent"] == incidents["budget"]["spent"]
    rows = {row["metric"]: row for row in found["performance"] if row["model"] == "champion"}
    assert rows["accuracy"]["rolling"] == champion["rolling"]["accuracy"]
    assert rows["accuracy"]["since_start"] == champion["since_start"]["accuracy"]
    assert len(found["open"]) == incidents["open"]


def test_counts_of_shards_add_up(board: Board) -> None:
    both, one, other = (document(board, "overview", Asked(shard=shard))["counts"] for shard in (None, 0, 1))

    assert both == {name: one[name] + other[name] for name in both}


def test_series_are_the_lines_of_the_metrics(told: Told, board: Board) -> None:
    found = document(board, "performance", Asked(shard=0))
    lines = [v for v in values(told, "metrics") if v["signal"] == "performance:champion"]
    known = [(v["time"], v["rolling"]["accuracy"]) for v in lines if v["rolling"]["accuracy"] is not None]
    series = found["series"]["accuracy"]["champion"]
    by_time = dict(known)  # lines of the same time share a bucket

    assert series["t"] == sorted(by_time)
    assert min(series["min"]) == min(value for _, value in known)
    assert max(series["max"]) == max(value for _, value in known)
    assert found["since_start"]["champion"] == newest(told, "performance:champion")["since_start"]


def test_each_detector_stands_as_its_newest_metric_says(told: Told, board: Board) -> None:
    found = document(board, "signals", Asked(shard=0, top=1000))
    keys = {record.key for stream, shard, record in told if (stream, shard) == ("metrics", 0)}

    assert found["total"] == len([key for key in keys if key.startswith("detector:")])
    for row in found["signals"]:
        name = f"detector:{row['signal']}/{row['detector']}" + (f"/{row['segment']}" if row["segment"] else "")
        metric = newest(told, name)
        assert [row[of] for of in ("statistic", "threshold", "n", "missing", "estimate")] == [
            metric[of] for of in ("statistic", "threshold", "n", "missing", "estimate")
        ]


@pytest.mark.parametrize("sort", SORTS)
def test_signals_are_sorted_as_asked(board: Board, sort: str) -> None:
    rows = document(board, "signals", Asked(sort=sort, top=1000))["signals"]

    if sort == "closeness":
        near = [row["closeness"] if row["closeness"] is not None else -1e9 for row in rows]
        assert near == sorted(near, reverse=True)
    elif sort in ("n", "missing"):
        assert [row[sort] for row in rows] == sorted((row[sort] for row in rows), reverse=True)
    elif sort == "state":
        assert [row["state"] for row in rows] == sorted(row["state"] for row in rows)
    else:
        assert [row[sort] for row in rows] == sorted(row[sort] for row in rows)


def test_incidents_are_as_their_newest_alert_says(told: Told, board: Board) -> None:
    rows = document(board, "incidents", Asked(shard=0))["incidents"]
    last = {alert["data"]["incident"]: alert["data"] for alert in values(told, "alerts")}

    assert {row["id"] for row in rows} == set(last)
    assert [row["opened_ms"] for row in rows] == sorted((row["opened_ms"] for row in rows), reverse=True)
    for row in rows:
        data = last[row["id"]]
        assert (row["severity"], row["signal"], row["message"]) == (data["severity"], data["signal"], data["message"])
        assert (row["recovered_ms"] is not None) == (data["status"] == "recovered")
        one = document(board, "incident", Asked(id=row["id"]))
        assert one["incident"] == row
        assert len(one["updates"]) == sum(a["data"]["incident"] == row["id"] for a in values(told, "alerts"))
        assert one["evidence"]["statistic"] == data["statistic"]
        assert one["acknowledge"]["allowed"] == (data["status"] != "recovered" and not data["acknowledged_by"])


def test_a_signal_in_alarm_names_its_incident(board: Board) -> None:
    is_open = {row["id"] for row in document(board, "overview")["open"]}
    rows = document(board, "signals", Asked(top=1000))["signals"]

    assert {row["incident"] for row in rows if row["state"] == "alarm"} <= is_open
    assert all((row["incident"] is None) == (row["state"] == "ok") for row in rows)


def test_panes_of_all_time_are_in_the_distributions(told: Told, board: Board) -> None:
    for signal in ("feature:a", "feature:c"):
        found = document(board, "signal", Asked(shard=0, signal=signal))
        panes = [pane for pane in values(told, "panes") if pane["signal"] == signal]
        before, after = found["reference"], found["current"]

        assert 0 < before["n"] + after["n"] <= sum(pane["n"] for pane in panes)
        assert before["to_ms"] <= after["from_ms"]
        assert sum(part[-1] for part in before["bins"]) == pytest.approx(1)
        if signal == "feature:a":
            assert min(found["panes"]["min"]) == min(pane["min"] for pane in panes if pane["n"])
            assert all(low <= high for low, high, _ in before["bins"])
        else:
            assert {name for name, _ in before["bins"]} <= {name for pane in panes for name in pane["names"]}


def test_versions_and_decisions_are_those_of_the_streams(told: Told, board: Board) -> None:
    found = document(board, "models", Asked(shard=0))
    last = {value["version"]: value["status"] for value in values(told, "models")}
    audit = values(told, "audit")

    assert {row["version"]: row["status"] for row in found["versions"]} == last
    assert [each["number"] for each in found["decisions"]] == [entry["number"] for entry in audit][::-1]
    assert [each["id"] for each in found["triggers"]] == [trigger["id"] for trigger in values(told, "triggers")][::-1]


def test_dead_letters_are_counted_by_reason(told: Told, board: Board) -> None:
    found = document(board, "dead-letters")
    letters = values(told, "dead-letters", 0) + values(told, "dead-letters", 1)

    assert found["total"] == len(letters) == sum(row["count"] for row in found["reasons"])
    for row in found["reasons"]:
        assert row["count"] == sum(
            all(letter[of] == row[of] for of in ("kind", "stream", "path", "reason")) for letter in letters
        )


# bounds


def test_a_record_that_is_none_of_ours_is_counted_and_said() -> None:
    board = Board(CONFIG)
    for stream in STREAMS:
        for value in (b"", b"{}", b"\xff", b"[1]", b'{"signal": 7}', b'{"data": {"incident": 1}}'):
            board.take(stream, 0, Record("", "detector:x/y", 0, value))

    assert board.shards[0].unreadable > 20
    assert "could not be read" in document(board, "overview")["notices"][0]


@settings(max_examples=200)
@given(st.data())
def test_a_damaged_record_breaks_nothing(told: Told, data: st.DataObject) -> None:
    board = Board(CONFIG)
    for stream, shard, record in data.draw(st.lists(st.sampled_from(told), min_size=1, max_size=8)):
        value = bytearray(record.value)
        for _ in range(data.draw(st.integers(0, 3))):
            at = data.draw(st.integers(0, len(value) - 1))
            piece = data.draw(
                st.sampled_from([b"", b"null", b"-1", b"9e99", b'"', b"[]", b"0", b"}", b'":', b"999999"])
            )
            value[at : at + data.draw(st.integers(0, 6))] = piece
        board.take(stream, shard, record._replace(value=bytes(value)))

    assert all(documents(board).values())
    state = msgspec.msgpack.encode(board.to_state())
    board.load(msgspec.msgpack.decode(state))
    assert msgspec.msgpack.encode(board.to_state()) == state


def test_an_unknown_metric_is_passed_over() -> None:
    board = Board(CONFIG)
    board.take("metrics", 0, Record("", "tomorrow:x", 0, b"{}"))

    assert board.shards[0].unreadable == 0


def test_reasons_beyond_the_limit_are_one() -> None:
    letters = Letters()
    for i in range(3 * MOST):
        letter = {"stream": "events", "offset": i, "reason": f"{i}", "kind": "type", "path": "$.a", "raw": "x" * 9999}
        letters.take(i, json.dumps(letter).encode())

    assert letters.total == 3 * MOST
    assert len(letters.rows) == MOST + 1
    assert sum(row.count for row in letters.rows.values()) == 3 * MOST
    assert [row.count for row in letters.rows.values() if row.reason == OTHER] == [2 * MOST]
    assert max(len(row.example) for row in letters.rows.values()) == 500


def test_panes_and_their_bins_are_bounded() -> None:
    signals = Signals()
    for i in range(3 * ROOM):
        bins = [[100 * k - 30_000, 1] for k in range(600)]
        pane = {"signal": "a", "start": 1000 * i, "width_ms": 1000, "n": 600, "missing": 1, "bins": bins}
        signals.take(json.dumps(pane | {"mean": 1.0, "m2": 0.0, "min": -1.0, "max": 2.0}).encode())
        pane = {"signal": "c", "start": 1000 * i, "width_ms": 1000, "n": 600, "missing": 0}
        names = {"bins": [[k, 1] for k in range(600)], "names": [f"{i % 3}/{k}" for k in range(600)]}
        signals.take(json.dumps(pane | names).encode())

    for panes in signals.signals.values():
        assert len(panes.merged) <= ROOM
        assert max(len(pane.bins) + len(pane.shares) for pane in panes.merged.values()) <= MOST_BINS
        whole = panes.inside(None, None)
        assert whole is not None
        assert whole.n == 1800 * ROOM
        assert sum(whole.bins.values()) + sum(whole.shares.values()) == whole.n


def test_incidents_are_bounded_and_the_open_ones_stay(monkeypatch: pytest.MonkeyPatch, told: Told) -> None:
    monkeypatch.setattr(incidents_module, "MOST", 5)
    monkeypatch.setattr(incidents_module, "EVIDENCE_BYTES", 20_000)
    alert = values(told, "alerts")[0]
    incidents = Incidents()
    for i in range(50):
        for status in ("opened", "recovered") if i else ("opened",):
            alert["data"] |= {"incident": f"x-{i}", "status": status}
            incidents.take(json.dumps(alert).encode())

    assert incidents.opened == 50
    assert list(incidents.rows) == ["x-0", "x-46", "x-47", "x-48", "x-49"]
    assert incidents.bytes_kept == sum(len(row.data) for row in incidents.rows.values())
    assert incidents.bytes_kept <= 20_000 or list(filter(None, (r.data for r in incidents.rows.values())))
    assert incidents.rows["x-49"].evidence()["incident"] == "x-49"
    assert set(incidents.alarming().values()) == {"x-0"}  # though later ones of the same signal have come and gone
