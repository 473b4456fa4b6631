"""The commands about model versions, over the log of a file."""

import csv
import io
import json
from pathlib import Path

import pytest
from command import Done, driftline
from loops import CONFIG, turning


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which v2 has taken the place of v1."""
    folder = tmp_path_factory.mktemp("models")
    text = CONFIG.replace("LINES", "").replace("[schema]", '[source]\nevents = "e.jsonl"\n[schema]')
    (folder / "turns.toml").write_text(text)
    (folder / "e.jsonl").write_bytes(b"".join(raw + b"\n" for _, raw in turning(4000, (2500,))))
    assert driftline(folder, "run", "turns.toml").returncode == 0
    return folder


def call(folder: Path, *words: str | Path) -> Done:
    done = driftline(folder, "models", *words)
    assert done.returncode == 0, done.stderr
    return done


def test_a_list_has_every_version_as_it_stands(folder: Path) -> None:
    rows = [json.loads(line) for line in call(folder, "list", "turns.toml", "--json").stdout.splitlines()]
    table = call(folder, "list", "turns.toml").stdout

    assert {row["version"]: (row["status"], row["kind"]) for row in rows} == {
        "v1": ("archived", "initial"),
        "v2": ("champion", "fresh"),
    }
    assert "champion" in table
    assert "252 events" in table


def test_the_configuration_may_stand_before_the_verb(folder: Path) -> None:
    assert call(folder, "turns.toml", "list").stdout == call(folder, "list", "turns.toml").stdout


def test_a_version_is_shown_with_its_proof(folder: Path) -> None:
    said = call(folder, "show", "turns.toml", "v2").stdout
    story = driftline(folder, "story", "turns.toml", "v2").stdout

    assert "v2: champion, because of turns-1; on 13 labels its loss was" in said
    assert "fresh model beside v1: linear with" in said
    assert story == said


def test_a_diff_tells_what_two_versions_do_not_share(folder: Path) -> None:
    found = json.loads(call(folder, "diff", "turns.toml", "v1", "v2", "--json").stdout)

    assert found["kind"] == ["initial", "fresh"]
    assert found["trained.rows"] == [None, 252]
    assert "params.lr" not in found
    assert "trained.rows" in call(folder, "diff", "turns.toml", "v1", "v2").stdout


def test_rows_are_what_the_model_saw(folder: Path) -> None:
    done = driftline(folder, "rows", "turns.toml", "--from", "3990", "--to", "3995")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    events = [json.loads(raw) for _, raw in turning(4000, (2500,))][3990:3996]

    assert list(rows[0]) == ["offset", "id", "time", "a", "b", "c", "y"]
    assert [int(row["offset"]) for row in rows] == list(range(3990, 3996))
    assert [(float(row["a"]), row["c"], row["y"]) for row in rows] == [(e["a"], e["c"], str(e["y"])) for e in events]
    assert rows[0]["time"].endswith("Z")


def test_rows_say_what_is_no_longer_remembered(folder: Path) -> None:
    done = driftline(folder, "rows", "turns.toml", "--json")

    assert len(done.stdout.splitlines()) == 600
    assert "only the newest 600 labelled events are remembered (retrain.memory), from offset 3,400 on" in done.stderr


@pytest.mark.parametrize("version", ["v1", "v2"], ids=["from the archive", "as it is now"])
def test_a_version_is_exported_and_added_again(folder: Path, version: str) -> None:
    call(folder, "export", "turns.toml", version, f"{version}.json")
    document = json.loads((folder / f"{version}.json").read_text())

    assert (document["artefact"], document["use"], document["about"]["version"]) == (1, "linear", version)
    sent = json.loads(call(folder, "add", "turns.toml", f"{version}.json", "--trigger", "t", "--json").stdout)
    assert {"command": "add", "trigger": "t"}.items() <= sent.items()
    assert "artefact" not in sent


@pytest.mark.parametrize(
    "words", [("promote", "v1"), ("rollback",), ("retire", "v1"), ("retrain",), ("reset",)], ids=lambda words: words[0]
)
def test_what_people_say_is_a_record_of_the_control_stream(folder: Path, words: tuple[str, ...]) -> None:
    verb, *version = words
    said = json.loads(call(folder, verb, "turns.toml", *version, "--by", "ada", "--why", "so", "--json").stdout)

    assert said.pop("control") > 0
    assert said == {"command": verb, "by": "ada", "why": "so"} | ({"version": version[0]} if version else {})


def test_who_says_something_is_told_where_to_see_what_came_of_it(folder: Path) -> None:
    said = call(folder, "rollback", "turns.toml", "--state", folder / "turns.db").stderr
    where = f"turns.toml --state {folder / 'turns.db'}"

    assert "a running or the next `driftline run` takes it up, with effect at the end of an epoch" in said
    assert f"`driftline audit {where}` tells of it" in said
    assert f"where it is refused, `driftline dead-letters {where}` says why" in said


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("show", "turns.toml", "v9"), "no model version 'v9'; there are: v1, v2"),
        (("promote", "turns.toml", "v9"), "no model version 'v9'"),
        (("add", "turns.toml", "none.json"), "none.json cannot be read"),
        (("lst", "turns.toml"), "No such command 'lst'; did you mean \"list\"?"),
        (("turns.toml", "lst"), "No such command 'lst'; did you mean \"list\"?"),
        (("list", "turns.toml", "--state", "none.db"), "none.db"),
    ],
)
def test_mistakes_say_what_there_is(folder: Path, words: tuple[str, ...], reason: str) -> None:
    done = driftline(folder, "models", *words)

    assert done.returncode in {1, 2}
    assert reason in done.stderr
