"""`driftline notify`: the way to each receiver tried out, what waits delivered, what was given up tried again."""

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from command import driftline
from hooks import Hook, smtp_server
from runs import configured, jsonl, rows
from test_notifier import ids, told_to

from compose.broker import free_ports
from stream_app.cli import cli
from stream_app.commands.notify import notify


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "e.jsonl").write_bytes(jsonl(rows(seed=5, n=3000)))
    return configured(tmp_path, "e.jsonl")


def test_a_test_goes_down_the_real_path_and_says_what_was_answered(tmp_path: Path, config: Path) -> None:
    with Hook((200, {}, b"thank you")) as hook, smtp_server() as (port, letters):
        told_to(
            config,
            f'webhook = "{hook.url}"\nsecret = "s3cret"',
            f'exec = "cat >> {tmp_path}/told"',
            f'email = "a@b.c"\nfrom = "d@b.c"\nsmtp = "127.0.0.1:{port}"',
            "log = true",
        )
        done = driftline(config.parent, "notify", "test", config, "--json")
        lines = [json.loads(line) for line in done.stdout.splitlines()]

    assert done.returncode == 0, done.stderr
    assert [(line["receiver"], line["sent"]) for line in lines] == [
        (name, status) for name in ("webhook", "exec", "email", "log") for status in ("opened", "recovered")
    ]
    assert all(line["delivered"] for line in lines)
    assert lines[0]["answer"] == "200 OK: thank you"
    opened, recovered = (request.event for request in hook.requests)
    assert [event["data"]["status"] for event in (opened, recovered)] == ["opened", "recovered"]
    assert opened["data"]["severity"] == "critical"
    assert opened["data"]["test"] is True
    assert opened["specversion"] == "1.0"
    assert "X-Driftline-Signature" in hook.requests[0].headers
    assert len(letters.envelopes) == 2
    assert len((tmp_path / "told").read_text()) > 100


def test_a_test_that_fails_says_for_whom_and_why(config: Path) -> None:
    with Hook(usual=403) as hook:
        told_to(config, f'name = "shut"\nwebhook = "{hook.url}"', f'webhook = "http://127.0.0.1:{free_ports(1)[0]}"')
        done = driftline(config.parent, "notify", "test", config)

    assert done.returncode == 1
    assert "not delivered: shut, webhook" in done.stderr
    assert "403 Forbidden" in done.stdout


def test_a_wrong_verb_gets_the_nearest(config: Path) -> None:
    assert 'did you mean "test"?' in driftline(config.parent, "notify", "tset", config).stderr


def test_one_receiver_can_be_tried_alone(config: Path) -> None:
    told_to(config, 'webhook = "http://127.0.0.1:1"', 'name = "here"\nexec = "true"')

    assert driftline(config.parent, "notify", "test", config, "here").returncode == 0
    unknown = driftline(config.parent, "notify", "test", config, "her")
    assert unknown.returncode == 2
    assert 'did you mean "here"?' in unknown.stderr


def test_without_a_receiver_there_is_nobody_to_notify(config: Path) -> None:
    for words in (("test",), ("run",)):
        done = driftline(config.parent, "notify", *words, config)
        assert done.returncode == 2
        assert "$.alarms.notify: missing" in done.stderr


def test_what_was_given_up_is_listed_and_tried_again(tmp_path: Path, config: Path) -> None:
    state = tmp_path / "s.db"
    with Hook(400, 422) as hook:
        told_to(config, f'webhook = "{hook.url}"')
        assert driftline(config.parent, "run", config, "--state", state).returncode == 0
        written = ids(state)
        listed = driftline(config.parent, "notify", "dead", config, "--state", state, "--json")
        found = [json.loads(line) for line in listed.stdout.splitlines()]
        assert [(line["receiver"], line["event"]["id"]) for line in found] == [
            ("webhook", each) for each in written[:2]
        ]
        assert ["400" in found[0]["reason"], "422" in found[1]["reason"]] == [True, True]

        hook.answers = [(410, {}, b"")]
        again = driftline(config.parent, "notify", "dead", config, "--state", state, "--retry")
        assert again.returncode == 1
        assert "1 of 2 were not delivered" in again.stderr
        assert driftline(config.parent, "notify", "dead", config, "--state", state, "--retry").returncode == 0
        assert driftline(config.parent, "notify", "dead", config, "--state", state, "--json").stdout == ""
    assert set(hook.ids) == set(written)


def test_nothing_was_given_up_where_nobody_was_told(config: Path, tmp_path: Path) -> None:
    done = driftline(config.parent, "notify", "dead", config, "--state", tmp_path / "none.db")

    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", sorted(notify.commands))
def test_every_command_has_help_with_an_example(name: str) -> None:
    shown = CliRunner().invoke(cli, ["notify", name, "--help"])

    assert shown.exit_code == 0
    assert f"Example: driftline notify {name} " in shown.output
    assert [
        param.name for param in notify.commands[name].params if isinstance(param, click.Option) and not param.help
    ] == []
