"""Replay as an experiment: the report of `replay --against`, and the winner that goes live; over the embedded log."""

import json
from pathlib import Path
from typing import Any

import pytest
from command import Done, driftline
from runs import LOOP as CLOSED_LOOP
from runs import configured, rows, write

from stream_app.config import load
from stream_app.edges.contrast import WARM_UP
from stream_app.edges.log import Log
from stream_app.runners.promotion import way_out

EPOCH = 64
FIRST = 47 * EPOCH - 1  # records before the command: it ends an epoch, so that it takes effect at once
ROWS = 5000
LEARNS, STANDS_STILL = "[model]\n", "[model]\nparams = { lr = 0.0, intercept_lr = 0.0 }\n"
LOOP = '[retrain]\non = ["error"]\n'


def plain(folder: Path) -> Path:
    return configured(folder, "e.jsonl", name="base.toml")


def variant(file: Path, name: str, *more: str, old: str = "", new: str = "") -> Path:
    text = file.read_text()
    assert old in text
    other = file.with_name(f"{name}.toml")
    other.write_text(text.replace(old, new) + "".join(more))
    return other


@pytest.fixture
def live(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A monitor that learns nothing, one that does, and one that is the first again; the log of the first."""
    write(tmp_path / "e.jsonl", rows(7, ROWS)[:FIRST])
    base = plain(tmp_path)
    still, learns = variant(base, "live", STANDS_STILL + LOOP), variant(base, "other", LEARNS + LOOP)
    done = driftline(tmp_path, "run", still)
    assert done.returncode == 0, done.stderr
    return still, learns, tmp_path / "small.db"


def against(live: Path, other: Path, *more: str | Path) -> Done:
    return driftline(live.parent, "replay", live, "--against", other, *more)


def report(live: Path, other: Path, *more: str | Path) -> dict[str, Any]:
    done = against(live, other, "--json", *more)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def written(state: Path, stream: str) -> list[dict[str, Any]]:
    with Log(state) as log:
        return [json.loads(record.value) for record in log.read(stream)]


def test_the_report_is_what_a_run_of_the_other_one_would_say(live: tuple[Path, Path, Path], tmp_path: Path) -> None:
    still, learns, state = live
    apart = tmp_path / "apart.db"
    assert driftline(tmp_path, "run", learns, "--state", apart).returncode == 0
    found = report(still, learns, "--cost")

    lost = [{each["id"]: each["error"] for each in written(of, "outcomes")} for of in (state, apart)]
    both = [(lost[0][name], lost[1][name]) for name in lost[0] if name in lost[1]]
    pairs = [(a, b) for a, b in both if None not in (a, b)]
    judgement = found["judgement"]
    assert (judgement["labels"], judgement["unpaired"]) == (len(pairs), len(both) - len(pairs))
    assert judgement["live"] == pytest.approx(sum(a for a, _ in pairs) / len(pairs))
    assert judgement["other"] == pytest.approx(sum(b for _, b in pairs) / len(pairs))
    assert judgement["gain"] == pytest.approx(judgement["live"] - judgement["other"])
    assert judgement["outcome"] == "better"
    for number, side in enumerate(("live", "other")):
        opened = [each for each in written((state, apart)[number], "alerts") if each["data"]["status"] == "opened"]
        raised = [each[side] for each in found["alerts"]["matched"]] + found["alerts"][("missing", "new")[number]]
        assert {each["incident"] for each in raised} == {each["data"]["incident"] for each in opened}
        figures = written((state, apart)[number], "metrics")
        (*_, last) = [each for each in figures if each["signal"] == "performance:champion"]
        assert {n: each[side] for n, each in found["rolling"].items()} == last["rolling"]
        assert {n: each[side] for n, each in found["since_start"].items()} == last["since_start"]
        (*_, last) = [each for each in figures if each["signal"] == "incidents"]
        assert {n: each[side] for n, each in found["budget"].items()} == pytest.approx(
            {n: last["budget"][n] for n in found["budget"]}
        )
        assert found["counts"]["triggers"][side] == len(written((state, apart)[number], "triggers"))
        assert found["cost"][side]["model_bytes"] > 0
        assert found["cost"][side]["state_bytes"] > found["cost"][side]["model_bytes"]
        assert found["cost"][side]["records"] == FIRST - WARM_UP
        assert found["cost"][side]["seconds"] > 0
        assert found["cost"][side]["processor_seconds"] > 0
    assert found["records"] == FIRST
    assert found["promotion"] is None


def test_the_report_for_people_says_it_in_a_sentence(live: tuple[Path, Path, Path]) -> None:
    still, learns, _ = live
    better, equal = against(still, learns), against(still, still)

    assert "the other is better by 0." in better.stdout
    assert "the live one was not run again" in better.stdout
    assert "new      " in better.stdout or "missing  " in better.stdout
    assert "no difference is shown: 0 (" in equal.stdout
    assert report(still, still)["cost"]["live"] is None


def test_a_worse_one_is_said_to_be_worse_and_not_promoted(tmp_path: Path) -> None:
    write(tmp_path / "e.jsonl", rows(7, ROWS)[:FIRST])
    base = plain(tmp_path)
    still, learns = variant(base, "other", STANDS_STILL + LOOP), variant(base, "live", LEARNS + LOOP)
    assert driftline(tmp_path, "run", learns).returncode == 0
    done = against(learns, still, "--promote", "--json")

    assert done.returncode == 1
    assert "not promoted: the other is worse by 0." in done.stderr
    assert "--anyway" in done.stderr
    found = json.loads(done.stdout)
    assert found["judgement"]["outcome"] == "worse"
    assert "not promoted" in found["promotion"]["refused"]
    with Log(tmp_path / "small.db") as log:
        assert log.controls(0) == []

    promotion = report(learns, still, "--promote", "--anyway")["promotion"]
    assert promotion["forced"]
    assert [place["control"] for place in promotion["sent"]] == [1]


def test_the_winner_goes_live_and_goes_on_as_it_would_have(live: tuple[Path, Path, Path], tmp_path: Path) -> None:
    still, learns, state = live
    done = against(still, learns, "--promote", "--by", "ada", "--why", "it learns", "--json")
    assert done.returncode == 0, done.stderr
    promotion = json.loads(done.stdout)["promotion"]
    assert not promotion["forced"]
    assert [(place["shard"], place["control"], place["record"]) for place in promotion["sent"]] == [(0, 1, FIRST)]
    assert "shard 0, control 1" in done.stderr

    write(tmp_path / "e.jsonl", rows(7, ROWS))
    assert driftline(tmp_path, "run", still).returncode == 0
    apart = tmp_path / "apart.db"
    assert driftline(tmp_path, "run", learns, "--state", apart).returncode == 0
    (added,) = [
        each for each in written(state, "models") if each["kind"] == "imported" and each["status"] == "champion"
    ]
    assert added["why"] == f"replay against {learns}: it learns"
    assert added["record"] == FIRST + 1
    (entry,) = [each for each in written(state, "audit") if each["what"] == "add"]
    assert (entry["by"], entry["version"]) == ("ada", added["version"])
    told, would = written(state, "predictions"), written(apart, "predictions")
    assert {each["model"] for each in told[FIRST:]} == {added["version"]}
    assert len(told) == len(would) == ROWS
    same = ("id", "prediction", "score", "time", "offset")
    assert [[each[n] for n in same] for each in told[FIRST:]] == [[each[n] for n in same] for each in would[FIRST:]]

    found = report(still, learns)
    assert found["left_out"] == 1
    assert found["counts"]["add"] == {"live": 1, "other": 0}
    checked = driftline(tmp_path, "replay", still)
    assert checked.returncode == 0, checked.stdout


def test_what_happened_to_models_is_counted(tmp_path: Path) -> None:
    write(tmp_path / "e.jsonl", rows(7, ROWS))
    looping = configured(tmp_path, "e.jsonl", more=CLOSED_LOOP)
    assert driftline(tmp_path, "run", looping).returncode == 0
    counts = report(looping, looping)["counts"]

    happened = [each["what"] for each in written(tmp_path / "small.db", "audit")]
    for name in ("retrain", "promote", "rollback"):
        assert counts[name] == {"live": happened.count(name), "other": happened.count(name)}
    assert counts["promote"]["live"] > 0


def test_what_changes_more_than_the_model_is_refused_with_the_way_out(live: tuple[Path, Path, Path]) -> None:
    still, learns, state = live
    other = variant(learns, "more", old="arl0 = 5000", new="arl0 = 40000")
    done = against(still, other, "--promote")

    assert done.returncode == 1
    assert not done.stdout
    assert f"{other} changes $.watch" in done.stderr
    assert 'name = "small-2"' in done.stderr
    assert f"driftline run {other}" in done.stderr
    with Log(state) as log:
        assert log.controls(0) == []


def test_without_a_lane_for_it_a_model_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "e.jsonl", rows(7, 500))
    base = plain(tmp_path)
    assert driftline(tmp_path, "run", base).returncode == 0
    done = against(base, base, "--promote")

    assert done.returncode == 1
    assert "no lane" in done.stderr


def test_what_is_wrong_with_a_model_of_the_other_one_names_its_file(live: tuple[Path, Path, Path]) -> None:
    still, learns, _ = live
    wrong = variant(learns, "wrong", old=LEARNS, new='[model]\nuse = "river.tree.Oak"\n')

    assert f"{wrong}: 1 problem\n  $.model: river.tree has no class" in against(still, wrong).stderr


def test_options_that_belong_to_an_experiment_want_one(live: tuple[Path, Path, Path]) -> None:
    still, learns, _ = live
    assert driftline(still.parent, "replay", still, "--promote").returncode == 2
    assert against(still, learns, "--anyway").returncode == 2


def test_over_kafka_the_way_out_names_the_topics(live: tuple[Path, Path, Path]) -> None:
    still, learns, _ = live
    section = '[kafka]\nbootstrap = "127.0.0.1:1"\nlabels = true\n'
    config, other = load(variant(still, "k", section)), load(variant(learns, "l", section))
    told = way_out(config, other, Path("l.toml"), topics=True)

    assert '[kafka] topics = { events = "small.events", labels = "small.labels" }' in told
    assert "driftline topics l.toml" in told
    assert "driftline worker l.toml" in told
