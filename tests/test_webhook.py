"""Webhooks against a real HTTP server that hangs, fails, is away, sends too much, or sends us elsewhere."""

import asyncio
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from hooks import CUT, HANG, Hook

from stream_app.config import Config, Field, Notify, Schema
from stream_app.edges.deliverer import attempt
from stream_app.edges.notices import Notice, event_of, trial
from stream_app.edges.receivers import SHOWN, Answer
from stream_app.edges.webhook import Webhook, header_text

CONFIG = Config(name="flights", schema=Schema(fields={"x": Field(type="number")}))
OPENED, RECOVERED = trial(CONFIG, 1_700_000_000_000)
TIMEOUT_S = 0.5


def sent(notify: Notify, *notices: Notice) -> list[Answer]:
    """What is answered to each, one attempt each, by one receiver."""

    async def work() -> list[Answer]:
        receiver = Webhook(notify, lambda: 1_700_000_100.0)
        try:
            return [await attempt(receiver.send(notice), TIMEOUT_S) for notice in notices or [OPENED]]
        finally:
            await receiver.close()

    return asyncio.run(work())


def test_an_event_arrives_as_it_stands_in_the_stream() -> None:
    with Hook() as hook:
        answers = sent(Notify(webhook=hook.url, headers={"X-Team": "data"}), OPENED, RECOVERED)

    assert [answer.end for answer in answers] == ["delivered", "delivered"]
    first, second = hook.requests
    assert (first.path, first.body, second.body) == ("/hook", OPENED.value, RECOVERED.value)
    assert first.headers["Content-Type"] == "application/cloudevents+json; charset=UTF-8"
    assert first.headers["Idempotency-Key"] == json.loads(first.body)["id"] == OPENED.id
    assert first.headers["X-Team"] == "data"
    assert "X-Driftline-Signature" not in first.headers


def test_the_signature_is_of_the_time_and_the_body() -> None:
    with Hook() as hook:
        sent(Notify(webhook=hook.url, secret="s3cret"))
    (request,) = hook.requests
    timestamp = request.headers["X-Driftline-Timestamp"]
    expected = hmac.new(b"s3cret", timestamp.encode() + b"." + request.body, hashlib.sha256).hexdigest()

    assert timestamp == "1700000100"
    assert request.headers["X-Driftline-Signature"] == f"sha256={expected}"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_later(status: int) -> None:
    with Hook(status) as hook:
        first, second = sent(Notify(webhook=hook.url), OPENED, OPENED)

    assert (first.end, second.end) == ("later", "delivered")
    assert str(status) in first.said
    assert hook.ids == [OPENED.id, OPENED.id]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_what_is_refused_is_not_tried_again_and_says_why(status: int) -> None:
    with Hook((status, {}, b"no such\nchannel " + b"x" * 5000)) as hook:
        (answer,) = sent(Notify(webhook=hook.url))

    assert answer.end == "never"
    assert f"{status}" in answer.said
    assert "no such channel" in answer.said
    assert len(answer.said) <= SHOWN


@pytest.mark.parametrize("value, wait_s", [("7", 7.0), ("Tue, 14 Nov 2023 22:15:30 GMT", 30.0), ("never", 0.0)])  # noqa: PT006
def test_retry_after_is_heard(value: str, wait_s: float) -> None:
    with Hook((429, {"Retry-After": value}, b"")) as hook:
        (answer,) = sent(Notify(webhook=hook.url))

    assert (answer.end, answer.wait_s) == ("later", wait_s)


def test_a_receiver_that_hangs_costs_the_time_out() -> None:
    with Hook(HANG) as hook:
        first, second = sent(Notify(webhook=hook.url), OPENED, OPENED)

    assert (first.end, first.said) == ("later", "no answer in 0.5 s")
    assert second.end == "delivered"


def test_a_connection_that_is_cut_is_tried_later() -> None:
    with Hook(CUT) as hook:
        first, second = sent(Notify(webhook=hook.url), OPENED, OPENED)

    assert (first.end, second.end) == ("later", "delivered")


def test_a_receiver_that_is_away_is_tried_later() -> None:
    hook = Hook()
    (answer,) = sent(Notify(webhook=hook.url))

    assert answer.end == "later"
    with hook:
        (answer,) = sent(Notify(webhook=hook.url))
        assert answer.end == "delivered"


@pytest.mark.parametrize("status", [200, 500])
def test_of_a_long_answer_little_is_read(status: int) -> None:
    with Hook((status, {}, b"x" * (10 << 20)), usual=200) as hook:
        started = time.monotonic()
        first, second = sent(Notify(webhook=hook.url), OPENED, RECOVERED)

    assert first.end == ("delivered" if status == 200 else "later")
    assert second.end == "delivered"
    assert hook.sent_bytes < 8 << 20  # what the buffers of two sockets hold
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(status: int) -> None:
    with Hook() as other, Hook((status, {"Location": other.url}, b"")) as hook:
        (answer,) = sent(Notify(webhook=hook.url, secret="s3cret"))

    assert answer.end == "never"
    assert other.requests == []


def test_no_secret_is_shown() -> None:
    hidden = {"secret": "s3cret", "headers": {"Authorization": "Bearer t0ken"}}
    echo = b"you sent s3cret and Bearer t0ken to T012/B345?key=k3y"
    with Hook((400, {}, echo), (500, {}, echo)) as hook:
        url = hook.url.replace("/hook", "/services/T012/B345?key=k3y")
        answers = sent(Notify(webhook=url, **hidden), OPENED, OPENED)
    answers += sent(Notify(webhook="http://t0ken.invalid:1/T012/B345", **hidden))

    for answer in answers:
        assert answer.end != "delivered"
        assert not [each for each in ("s3cret", "Bearer t0ken", "services/T012", "k3y") if each in answer.said]


def test_any_id_can_stand_in_a_header() -> None:
    assert header_text("flüge/a b\r\n%") == "fl%C3%BCge/a%20b%0D%0A%25"
    event: dict[str, Any] = {"id": "flüge\r\nX-Evil: 1", "data": {}}
    with Hook() as hook:
        value = json.dumps(event).encode()
        sent(Notify(webhook=hook.url), Notice(event["id"], "alerts", "i", event_of(value), value))

    assert "X-Evil" not in hook.requests[0].headers
