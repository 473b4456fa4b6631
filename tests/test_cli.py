"""The command line as people and programs use it: help, streams, JSON, subscriptions, stories, what is said where."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from command import DRIFTLINE, ROOT, csv_text, driftline, records, write_config
from waiting import TIMEOUT_S

from stream_app.cli import cli
from stream_app.edges.log import Log

ROWS = 3000
STREAMS = ["alerts", "triggers", "predictions", "outcomes", "metrics", "dead-letters", "panes", "audit"]
ALERT_DATA = {
    "incident", "status", "severity", "signal", "segment", "detector", "statistic", "threshold", "offset", "time",
    "onset_offset", "effect", "contributions", "message",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """small.toml and a finished run of it: x is gone from 1000 on, the label turns round at 2000, two rows are bad."""
    made = tmp_path_factory.mktemp("cli")
    rows = records(ROWS)
    for i, row in enumerate(rows):
        row["x"] = row["x"] if i < 1000 else ""
        row["y"] = str(1 - int(row["y"])) if i >= 2000 else row["y"]
    rows[50]["c"], rows[60]["y"] = "[other]", "perhaps"
    (made / "events.csv").write_text(csv_text(rows))
    done = driftline(made, "run", write_config(made, "events.csv"), "--json")
    assert done.returncode == 0, done.stderr
    (made / "summary.json").write_text(done.stdout)
    (made / "told.txt").write_text(done.stderr)
    return made


def json_lines(text: str) -> list[dict[str, Any]]:
    """Every line one JSON object and nothing else."""
    found = [json.loads(line) for line in text.splitlines()]
    assert all(isinstance(line, dict) for line in found)
    return found


def asked(folder: Path, *args: str) -> str:
    """Standard output of a command that ends well and has nothing else to say."""
    done = driftline(folder, *args)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_has_help_with_an_example(name: str) -> None:
    for option in ("--help", "-h"):
        shown = CliRunner().invoke(cli, [name, option])
        assert shown.exit_code == 0
        assert f"Example: driftline {name}" in shown.output
    arguments = [param for param in cli.commands[name].params if isinstance(param, click.Option)]
    assert all(param.help or param.name == "folder" for param in arguments if param.name != "help")


def test_run_ends_with_one_summary_object(folder: Path) -> None:
    (summary,) = json_lines((folder / "summary.json").read_text())

    counts = {"events", "labels", "rejected", "dead_letters", "alerts", "triggers"}
    assert counts | {"metrics", "seconds", "events_per_second"} <= set(summary)
    assert {"champion", "challengers", "baselines"} <= set(summary["metrics"])
    assert (summary["events"], summary["rejected"], summary["dead_letters"]) == (ROWS - 2, 2, 2)


def test_the_end_tells_the_estimated_error_beside_the_realised_one(folder: Path) -> None:
    (summary,) = json_lines((folder / "summary.json").read_text())
    found = summary["estimate"]
    low, high = found["interval"]

    assert low <= found["estimated"] <= high
    assert found["labels"] > 0
    assert (
        f"estimated error now {found['estimated']:.4g} ({low:.4g} to {high:.4g}), realised {found['realised']:.4g}"
        f" by the {found['labels']:,} labels" in (folder / "told.txt").read_text()
    )


def test_the_end_says_how_to_see_what_was_refused(folder: Path, tmp_path: Path) -> None:
    told = (folder / "told.txt").read_text()
    assert f"`driftline dead-letters {folder / 'small.toml'}` says why records were rejected" in told
    state = tmp_path / "another log.db"
    done = driftline(folder, "run", "small.toml", "--state", state)
    assert f"`driftline dead-letters small.toml --state '{state}'` says why" in done.stderr


def test_a_second_run_says_that_there_is_nothing_new(folder: Path) -> None:
    done = driftline(folder, "run", "small.toml")

    assert (done.returncode, done.stdout) == (0, "")
    assert f"nothing new: all {ROWS - 2:,} events were handled before (small.db)" in done.stderr


@pytest.mark.parametrize("stream", STREAMS)
def test_streams_are_data_on_standard_output(folder: Path, stream: str) -> None:
    with Log(folder / "small.db") as log:
        values = [json.loads(record.value) for record in log.read(stream)]

    lines = json_lines(asked(folder, stream, "small.toml", "--json"))

    assert lines == values
    assert lines or stream == "audit"


@pytest.mark.parametrize("stream", ["alerts", "triggers", "dead-letters"])
def test_streams_for_people_are_one_line_each(folder: Path, stream: str) -> None:
    with Log(folder / "small.db") as log:
        count = log.count(stream)

    assert len(asked(folder, stream, "small.toml").splitlines()) == count > 0


def test_an_empty_stream_is_said_to_people_only(folder: Path) -> None:
    done = driftline(folder, "audit", "small.toml")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "small: no audit in small.db\n")


def test_alerts_carry_what_was_promised(folder: Path) -> None:
    alerts = json_lines(asked(folder, "alerts", "small.toml", "--json"))

    assert {alert["data"]["signal"] for alert in alerts} >= {"missing:x", "error"}
    for alert in alerts:
        assert {"specversion", "id", "source", "type", "time", "data"} <= set(alert)
        assert set(alert["data"]) >= ALERT_DATA


def test_triggers_say_what_to_train_on_and_why(folder: Path) -> None:
    triggers = json_lines(asked(folder, "triggers", "small.toml", "--json"))

    assert triggers
    for trigger in triggers:
        train = trigger["data"]["train"]
        assert 0 <= train["from_offset"] <= train["to_offset"] < ROWS
        assert {"reason", "evidence", "cost", "deadline"} <= set(trigger["data"])


def test_after_goes_on_where_a_reader_stood(folder: Path) -> None:
    every = json_lines(asked(folder, "predictions", "small.toml", "--json"))

    assert json_lines(asked(folder, "predictions", "small.toml", "--json", "--after", "2990")) == every[2990:]


def test_exec_runs_a_program_per_record(folder: Path) -> None:
    alerts = asked(folder, "alerts", "small.toml", "--json")
    with Log(folder / "small.db") as log:
        last = max(record.seq for record in log.read("alerts"))

    done = driftline(folder, "alerts", "small.toml", "--exec", "cat; echo")

    assert (done.returncode, done.stdout) == (0, alerts)
    assert done.stderr == f"small: to go on from here: --after {last}\n"


def test_a_program_that_fails_is_named_with_the_way_to_go_on(folder: Path) -> None:
    done = driftline(folder, "predictions", "small.toml", "--after", "7", "--exec", "cat > /dev/null; exit 3")

    assert (done.returncode, done.stdout) == (1, "")
    assert "'cat > /dev/null; exit 3' ended with exit code 3; to go on from there: --after 7" in done.stderr


def test_resubmit_prints_what_was_refused_as_it_came(folder: Path) -> None:
    done = driftline(folder, "dead-letters", "small.toml", "--resubmit")
    every = (folder / "events.csv").read_text().splitlines()

    assert (done.returncode, done.stdout.splitlines()) == (0, [every[51], every[61]])
    assert done.stderr == "small: 2 records of events in small.db\n"


def test_resubmit_does_not_mix_two_inputs(tmp_path: Path) -> None:
    rows = records(20)
    labels = [{"id": row["id"], "time": row["time"], "y": row.pop("y")} for row in rows]
    rows[3]["c"], labels[5]["y"] = "[other]", "perhaps"
    for name, made in (("events.csv", rows), ("labels.csv", labels)):
        (tmp_path / name).write_text(csv_text(made))
    with Log(tmp_path / "small.db", write=True) as log:
        log.send_control(b"no command")
    config = write_config(tmp_path, "events.csv", source='labels = "labels.csv"')
    assert driftline(tmp_path, "run", config).returncode == 0

    done = driftline(tmp_path, "dead-letters", "small.toml", "--resubmit")

    assert (done.returncode, done.stdout) == (1, "")
    mixed = "small.db holds records 1 of events and 1 of labels, which belong into different inputs; for one:"
    assert mixed in done.stderr


def test_features_are_found_by_grouping_and_key(folder: Path) -> None:
    (row,) = json_lines(asked(folder, "features", "small.toml", "--by", "c", "--key", "a", "--json"))

    assert (row["by"], row["key"]) == ("c", "a")
    assert isinstance(row["features"]["z_mean"], float)
    table = asked(folder, "features", "small.toml")
    assert f"{row['features']['z_mean']:.4g}" in table
    nothing = driftline(folder, "features", "small.toml", "--key", "nobody")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "no features for this in the log" in nothing.stderr


def test_the_story_of_an_event(folder: Path) -> None:
    (told,) = json_lines(asked(folder, "story", "small.toml", "e5", "--json"))

    assert told["predictions"][0]["offset"] == told["outcomes"][0]["offset"] == 5
    text = asked(folder, "story", "small.toml", "e5")
    assert re.search(r"offset 5: model v1 predicted [01] \(score 0\.\d+\)\nlabel [01] came with it: error [01]\n", text)


def test_the_story_of_a_refused_record_keeps_its_brackets(folder: Path) -> None:
    with Log(folder / "small.db") as log:
        names = [record.key for record in log.read("dead-letters")]

    assert '$.c: not one of the 2 allowed values: "[other]"' in asked(folder, "story", "small.toml", names[0])


def test_the_story_of_an_incident(folder: Path) -> None:
    (told,) = json_lines(asked(folder, "story", "small.toml", "small-1", "--json"))
    text = asked(folder, "story", "small.toml", "small-1")

    assert told["alerts"][0]["data"]["status"] == "opened"
    assert "x is missing in 100.0% instead of 0.0% since offset 1000" in text
    assert "evidence" in text
    assert "…" not in text


def test_the_story_of_a_model_version(folder: Path) -> None:
    assert asked(folder, "story", "small.toml", "v1").splitlines() == [
        "2020-09-13 12:26  v1: champion",
        "initial model: linear",
    ]


@pytest.mark.parametrize("name", ["e99999", "small-99", "v2"])
def test_the_story_of_nothing_says_where_names_are_listed(folder: Path, name: str) -> None:
    done = driftline(folder, "story", "small.toml", name)

    assert (done.returncode, done.stdout) == (1, "")
    assert f"'{name}' is no incident, event id or model version" in done.stderr
    assert "`driftline alerts CONFIG` lists incidents" in done.stderr


def test_acknowledge_is_taken_up_by_the_next_run(tmp_path: Path) -> None:
    rows = records(1100)
    for row in rows[1085:]:
        row["x"] = ""
    (tmp_path / "events.csv").write_text(csv_text(rows))
    assert driftline(tmp_path, "run", write_config(tmp_path, "events.csv")).returncode == 0

    sent = driftline(tmp_path, "acknowledge", "small.toml", "small-1", "--by", "ada")

    assert (sent.returncode, sent.stdout) == (0, "")
    assert "the next `driftline run` takes it up" in sent.stderr
    assert "acknowledged" in driftline(tmp_path, "run", "small.toml").stderr
    newest = json_lines(asked(tmp_path, "alerts", "small.toml", "--json"))[-1]["data"]
    assert (newest["status"], newest["acknowledged_by"]) == ("acknowledged", "ada")
    unknown = driftline(tmp_path, "acknowledge", "small.toml", "small-7")
    assert unknown.returncode == 1
    assert "no incident 'small-7' in small.db; `driftline alerts CONFIG` lists them" in unknown.stderr


def test_a_reader_before_the_first_run_is_told_to_run(tmp_path: Path) -> None:
    config = write_config(tmp_path, "events.csv")

    for args in (["alerts"], ["features"], ["story", "e1"], ["acknowledge", "small-1"]):
        done = driftline(tmp_path, args[0], config, *args[1:])
        assert (done.returncode, done.stdout) == (1, "")
        assert f"no log yet at {tmp_path / 'small.db'}; run `driftline run CONFIG` first" in done.stderr
        assert "or give its file with --state" in done.stderr


def test_check_tells_false_alarms_and_what_can_be_found(folder: Path) -> None:
    text = asked(folder, "check", "small.toml")
    (plan,) = json_lines(asked(folder, "check", "small.toml", "--json"))

    assert "validate → join → features → score → measure → detect → decide" in text
    assert "false alarms to expect: 1 of the 1 allowed per 10,000 events, all watches together; 0 left" in text
    assert "…" not in text
    assert "page_hinkley" in text
    assert plan["false_alarms_per_million"] == pytest.approx(100)
    assert {watch["signal"] for watch in plan["watches"]} == {"missing:x", "missing:z", "missing:c", "error"}
    assert all(watch["detectable"]["10000"] <= watch["detectable"]["1000"] for watch in plan["watches"])


def test_check_of_a_bad_configuration_is_wrong_use(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text((folder / "small.toml").read_text().replace('"adwin"', '"adwni"'))

    done = driftline(tmp_path, "check", "bad.toml", "--json")

    assert (done.returncode, done.stdout) == (2, "")
    assert '$.watch[1].detector: unknown detector "adwni"' in done.stderr
    assert 'did you mean "adwin"?' in done.stderr


def test_init_check_and_run_of_the_users_own_file(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text(csv_text(records(300)))

    wrote = driftline(tmp_path, "init", "sales.csv")

    assert (wrote.returncode, wrote.stdout) == (0, "")
    assert "wrote sales.toml; next: driftline check sales.toml, driftline run sales.toml" in wrote.stderr
    for command in ("check", "run"):
        assert driftline(tmp_path, command, "sales.toml").returncode == 0
    demo = driftline(tmp_path, "demo", "--data", "sales.csv", "--json")
    assert demo.returncode == 0
    assert json_lines(demo.stdout)[0]["events"] == 300
    assert "driftline predictions demo/sales.toml --state demo/sales.db" in demo.stderr


@pytest.fixture
def started(folder: Path) -> Iterator[Any]:
    """Starts commands whose output is read while they run; none outlives the test."""
    running = []

    def start(*args: str, **environment: str) -> subprocess.Popen[bytes]:
        environment = {"PYTHONPATH": str(ROOT), "HOME": str(folder), "PATH": os.environ["PATH"]} | environment
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        running.append(subprocess.Popen([*DRIFTLINE, *args], cwd=folder, env=environment, **pipes))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_subscription_ends_well_when_asked(started: Any, number: signal.Signals) -> None:
    process = started("alerts", "small.toml", "--follow", "--json")
    first = json.loads(process.stdout.readline())

    process.send_signal(number)
    process.wait(TIMEOUT_S)

    assert first["data"]["incident"] == "small-1"
    assert (process.returncode, process.stderr.read()) == (0, b"")


def test_a_reader_that_stops_early_is_no_error(started: Any) -> None:
    readers = [started("check", "small.toml"), started("predictions", "small.toml", "--json")]
    for process in readers:
        process.stdout.read(1)
        process.stdout.close()

    for process in readers:
        assert (process.wait(TIMEOUT_S), process.stderr.read()) == (0, b"")


def test_a_terminal_that_knows_no_arrows_gets_the_text_all_the_same(started: Any) -> None:
    process = started("check", "small.toml", PYTHONIOENCODING="ascii")

    out, said = process.communicate(timeout=TIMEOUT_S)

    assert (process.returncode, said) == (0, b"")
    assert rb"validate \u2192 join" in out


def rewritten(folder: Path, old: str, new: str) -> None:
    """small.toml over small data, changed in one place."""
    (folder / "events.csv").write_text(csv_text(records(20)))
    config = folder / write_config(folder, "events.csv")
    config.write_text(config.read_text().replace(old, new, 1))


def test_a_model_that_does_not_exist_is_a_problem_of_the_configuration(tmp_path: Path) -> None:
    rewritten(tmp_path, "[[watch]]", '[model]\nuse = "river.tree.HoefdingTreeClassifier"\n[[watch]]')

    for command in ("check", "run"):
        done = driftline(tmp_path, command, "small.toml")
        assert done.returncode == 2
        problem = '$.model: river.tree has no class "HoefdingTreeClassifier", did you mean'
        assert f"driftline: small.toml: 1 problem\n  {problem}" in done.stderr


def test_check_shows_the_steps_and_names_a_wrong_one(tmp_path: Path) -> None:
    model = """[model]
use = "river.linear_model.LogisticRegression"
sampling = { use = "river.imblearn.HardSamplingClassifier", params = { size = 9, p = 0.1 } }
[[model.steps]]
use = "river.preprocessing.OneHotEncoder"
[[model.steps]]
use = "river.preprocessing.StandardScaler"
[[watch]]"""
    rewritten(tmp_path, "[[watch]]", model)
    shown = asked(tmp_path, "check", "small.toml")
    rewritten(tmp_path, "[[watch]]", model.replace("StandardScaler", "StandardScalar"))
    done = driftline(tmp_path, "check", "small.toml")

    chain = "OneHotEncoder → StandardScaler → HardSamplingClassifier(river.linear_model.LogisticRegression)"
    assert f"model {chain}, challengers: none" in shown
    assert done.returncode == 2
    assert '$.model.steps[1].use: river.preprocessing has no class "StandardScalar", did you mean' in done.stderr
