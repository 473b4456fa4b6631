"""How far receivers have come in a log: new ones, restarts, configurations that change, a log that is made anew."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from stream_app.config import Notify
from stream_app.edges.deliverer import Delivery
from stream_app.edges.log import Log
from stream_app.edges.outbox import LogFeed, Outbox, beside
from stream_app.errors import StateError
from stream_app.messages import Message, Outputs


def alert(number: int, *, severity: str = "warning", status: str = "opened", incident: str = "") -> Message:
    incident = incident or f"i{number}"
    event = {"id": f"a/{number}", "data": {"incident": incident, "status": status, "severity": severity}}
    return Message("alerts", event["id"], incident, number, json.dumps(event).encode())


def trigger(number: int) -> Message:
    event = {"id": f"t/{number}", "type": "driftline.trigger.retrain", "data": {"reason": "why"}}
    return Message("triggers", event["id"], "champion", number, json.dumps(event).encode())


def write(state: Path, *messages: Message) -> None:
    with Log(state, write=True) as log:
        log.commit(Outputs(messages=list(messages)), {}, b"", b"", {})


class Open:
    """One receiver over a log, as a process has it."""

    def __init__(self, state: Path, notify: Notify | None = None, name: str = "hook", **options: Any) -> None:
        self.state, self.notify = state, notify or Notify(webhook="http://x")
        self.name, self.options = name, options

    def __enter__(self) -> LogFeed:
        self._log, self._outbox = Log(self.state), Outbox(self.state)
        return LogFeed(self.name, self.notify, self._log, self._outbox, **self.options)

    def __exit__(self, *_: object) -> None:
        self._outbox.__exit__()
        self._log.close()


def taken(feed: LogFeed, most: int = 100) -> list[str]:
    asyncio.run(feed.take(most))
    return ids(feed)


def ids(feed: LogFeed) -> list[str]:
    return [delivery.notice.id for delivery in feed.waiting]


def delivered(feed: LogFeed, delivery: Delivery) -> None:
    asyncio.run(feed.delivered(delivery))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    write(tmp_path / "s.db", alert(1), alert(2))
    return tmp_path / "s.db"


def test_a_new_receiver_is_told_what_comes_from_then_on(state: Path) -> None:
    with Open(state) as feed:
        assert taken(feed) == []
        assert feed.ended
        write(state, alert(3))
        assert taken(feed) == ["a/3"]


def test_a_new_receiver_may_be_told_everything(state: Path) -> None:
    with Open(state, everything=True) as feed:
        assert taken(feed) == ["a/1", "a/2"]


def test_what_was_not_delivered_waits_for_the_next_process_with_its_attempts(state: Path) -> None:
    with Open(state, everything=True) as feed:
        write(state, *(alert(n) for n in range(3, 8)))
        taken(feed)
        second = feed.waiting[1]
        second.attempts = 3
        asyncio.run(feed.failed(second))
        for delivery in (feed.waiting[0], *feed.waiting[3:]):
            delivered(feed, delivery)

    with Open(state) as feed:
        assert [(d.notice.id, d.attempts) for d in feed.waiting] == [("a/2", 3), ("a/3", 0)]
        assert taken(feed) == ["a/2", "a/3"]
        assert feed.backlog() == 2


def test_no_more_are_taken_than_asked_for(state: Path) -> None:
    write(state, *(alert(n) for n in range(3, 30)))
    with Open(state, everything=True) as feed:
        assert len(taken(feed, 10)) == 10
        assert not feed.ended
        assert len(taken(feed, 10)) == 20
        assert len(taken(feed, 10)) == 29
        assert feed.ended


def test_what_a_receiver_was_told_is_known_to_the_next_process(state: Path) -> None:
    write(state, alert(3, incident="i9", severity="critical"), alert(4, incident="i9", severity="info"))
    with Open(state, Notify(webhook="http://x", severity="critical"), everything=True) as feed:
        assert taken(feed) == ["a/3", "a/4"]
        for delivery in list(feed.waiting):
            delivered(feed, delivery)

    write(state, alert(5, severity="info", status="recovered", incident="i9"))
    with Open(state, Notify(webhook="http://x", severity="critical")) as feed:
        assert [event.id for event in feed.open()] == ["a/4"]
        assert taken(feed) == ["a/5"]
        assert feed.waiting[0].notice.before is not None
        assert feed.waiting[0].notice.before.id == "a/4"


def test_what_no_longer_concerns_a_receiver_waits_no_more(state: Path) -> None:
    with Open(state, everything=True) as feed:
        taken(feed)

    with Open(state, Notify(webhook="http://x", severity="critical")) as feed:
        assert ids(feed) == []
    with Open(state) as feed:
        assert ids(feed) == []


def test_receivers_have_their_own_places(state: Path) -> None:
    log, outbox = Log(state), Outbox(state)
    with log, outbox:
        feeds = [LogFeed(name, Notify(webhook="http://x"), log, outbox, everything=True) for name in "ab"]
        for feed in feeds:
            taken(feed)
        delivered(feeds[0], feeds[0].waiting[0])

        assert [ids(feed) for feed in feeds] == [["a/2"], ["a/1", "a/2"]]


def test_several_streams_are_told_together(state: Path) -> None:
    write(state, trigger(1))
    both = Notify(webhook="http://x", streams=("alerts", "triggers"))
    with Open(state, both, everything=True) as feed:
        assert sorted(taken(feed)) == ["a/1", "a/2", "t/1"]


def test_a_log_that_was_made_anew_is_told_from_its_start(state: Path) -> None:
    with Open(state, everything=True) as feed:
        taken(feed)
    for suffix in ("", "-wal", "-shm"):
        Path(f"{state}{suffix}").unlink(missing_ok=True)
    write(state, alert(7))

    with Open(state) as feed:
        assert taken(feed) == ["a/7"]


def test_what_was_given_up_is_kept_and_can_be_revived(state: Path) -> None:
    with Open(state, everything=True) as feed:
        taken(feed)
        feed.waiting[0].attempts = 4
        asyncio.run(feed.given_up(feed.waiting[0], "410 gone"))
        assert ids(feed) == ["a/2"]

    with Outbox(state) as outbox:
        (dead,) = outbox.dead()
        assert (dead.receiver, dead.stream, dead.attempts, dead.reason) == ("hook", "alerts", 4, "410 gone")
        assert dead.record.value == alert(1).value
        outbox.revived(dead.number)
        assert outbox.dead() == []


def test_two_processes_do_not_deliver_the_same(state: Path) -> None:
    with Open(state), pytest.raises(StateError, match=r"s\.notify\.db is being written by process"):
        Outbox(state)


def test_the_outbox_of_another_program_is_refused(state: Path) -> None:
    beside(state).write_bytes(state.read_bytes())
    with pytest.raises(StateError, match="database of another program"):
        Outbox(state)
