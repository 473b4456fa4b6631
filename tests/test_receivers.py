"""Programs and the journal as receivers, and what none of them may show."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from hooks import until

from stream_app.config import Config, Field, Notify, Schema
from stream_app.edges.deliverer import attempt
from stream_app.edges.notices import Notice, event_of, trial
from stream_app.edges.receivers import SHOWN, Answer, Secrets, make

CONFIG = Config(name="flights", schema=Schema(fields={"x": Field(type="number")}))
OPENED, RECOVERED = trial(CONFIG, 1_700_000_000_000)


def sent(notify: Notify, notice: Notice = OPENED, timeout_s: float = 30.0) -> Answer:
    return asyncio.run(attempt(make(CONFIG, notify, lambda: 0.0).send(notice), timeout_s))


def test_a_program_gets_the_event_on_its_standard_input(tmp_path: Path) -> None:
    answer = sent(Notify(program=f"cat > {tmp_path / 'event'}"))

    assert answer.end == "delivered"
    assert (tmp_path / "event").read_bytes() == OPENED.value


@pytest.mark.parametrize(
    ("program", "why"), [("echo no pager >&2; exit 3", ": no pager"), ("exit 3", ", and it said nothing")]
)
def test_a_program_that_fails_is_tried_later_and_says_why(program: str, why: str) -> None:
    assert sent(Notify(program=program)) == ("later", f"exit code 3{why}", 0.0)


def test_a_program_may_leave_its_input_and_say_much() -> None:
    event = {"id": "x", "data": {"message": "x" * 1_000_000}}
    value = json.dumps(event).encode()
    notice = Notice("x", "alerts", "i", event_of(value), value)
    answer = sent(Notify(program="head -c 3000000 /dev/zero | tr '\\0' x | tee /dev/stderr; exit 1"), notice)

    assert answer.end == "later"
    assert len(answer.said) <= SHOWN


def test_a_program_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    answer = sent(Notify(program=f"sleep 1000 & echo $! > {file}; wait"), timeout_s=1.0)

    assert answer.end == "later"
    pid = int(file.read_text())
    until(lambda: _ended(pid))


def _ended(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(") ")[2].startswith("Z") or os.getpgid(pid) == os.getpgrp()


def test_the_journal_takes_all(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="driftline"):
        assert sent(Notify(log=True), RECOVERED).end == "delivered"

    (line,) = [record for record in caplog.records if record.name == "driftline"]
    assert line.fields["id"] == RECOVERED.id
    assert line.fields["status"] == "recovered"


def test_what_is_shown_is_one_short_line_without_secrets() -> None:
    secrets = Secrets(Notify(webhook="https://u:pa55@hook.example/T1/B2?k=v3ry", headers={"A": "t0ken"}, secret="s3c"))
    shown = secrets.shown("s3c t0ken pa55 T1/B2 k=v3ry\r\n\x1b[31m" + "é" * 500)

    assert not [hidden for hidden in ("s3c", "t0ken", "pa55", "T1/B2", "v3ry", "\n", "\x1b") if hidden in shown]
    assert len(shown) <= SHOWN
