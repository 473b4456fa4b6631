"""Deliveries of one receiver over simulated hours: order, pauses, what is given up, and that nothing is lost."""

import asyncio
import itertools
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from stream_app.config import Notify
from stream_app.edges.deliverer import LONGEST_S, WINDOW, Counts, Deliverer, Delivery
from stream_app.edges.notices import Data, Event, Notice
from stream_app.edges.receivers import Answer

HOUR_S = 3600.0


class Stream:
    """Notices in memory, as (time from which it is there, incident)."""

    def __init__(self, *there: tuple[float, str], clock: Callable[[], float]) -> None:
        self.coming = [(at, Delivery(_notice(f"{n}", incident), n)) for n, (at, incident) in enumerate(there)]
        self.waiting: list[Delivery] = []
        self.clock, self.ended, self.dead, self.known = clock, False, [], []

    async def take(self, most: int) -> None:
        while self.coming and self.coming[0][0] <= self.clock() and most:
            self.waiting.append(self.coming.pop(0)[1])
            most -= 1
        self.ended = not self.coming

    async def delivered(self, delivery: Delivery) -> None:
        self.waiting.remove(delivery)

    async def failed(self, delivery: Delivery) -> None:
        assert delivery in self.waiting

    async def given_up(self, delivery: Delivery, reason: str) -> None:
        self.waiting.remove(delivery)
        self.dead.append((delivery.notice.id, reason))

    def open(self) -> list[Event]:
        return self.known


def _notice(name: str, incident: str) -> Notice:
    return Notice(name, "alerts", incident, Event(Data(incident=incident), id=name), b"{}")


class Course:
    """A deliverer and its receiver, whose answer may depend on the notice and the time (s)."""

    repeat_s: float | None = None

    def __init__(self, *there: tuple[float, str], answer: Callable[[str, float], Answer], **keys: Any) -> None:
        self.now_s, self.answer = 0.0, answer
        self.tried: list[tuple[float, str]] = []
        self.repeated: list[float] = []
        self.stream, self.counts = Stream(*there, clock=lambda: self.now_s), Counts()
        notify = Notify(webhook="http://x", **keys)
        self.deliverer = Deliverer("hook", notify, self, self.stream, lambda: self.now_s, self.counts)

    async def send(self, notice: Notice) -> Answer:
        self.tried.append((self.now_s, notice.id))
        return self.answer(notice.id, self.now_s)

    async def repeat(self, events: list[Event]) -> Answer:
        self.repeated.append(self.now_s)
        return self.answer(events[0].id, self.now_s)

    async def close(self) -> None:
        pass

    def until(self, end_s: float = math.inf) -> "Course":
        """Lets time pass until then, or until nothing is left."""

        async def work() -> None:
            while self.now_s < end_s and not (self.deliverer.idle and end_s == math.inf):
                wait_s = await self.deliverer.step()
                nearest_s = min([end_s, self.now_s + wait_s, *(at for at, _ in self.stream.coming[:1])])
                self.now_s = max(self.now_s, nearest_s)

        asyncio.run(work())
        return self

    @property
    def delivered(self) -> list[str]:
        return [name for at, name in self.tried if self.answer(name, at).end == "delivered"]


def ok(_name: str, _now_s: float) -> Answer:
    return Answer("delivered")


def down_until(end_s: float, end: Any = "later", **keys: Any) -> Callable[[str, float], Answer]:
    return lambda _, now_s: Answer("delivered") if now_s >= end_s else Answer(end, "no", **keys)


def test_everything_is_delivered_once_and_in_order() -> None:
    course = Course(*((0, f"i{n % 7}") for n in range(3 * WINDOW)), answer=ok).until()

    assert course.delivered == [str(n) for n in range(3 * WINDOW)]
    assert (course.counts.delivered, course.counts.failed, course.counts.dead) == (3 * WINDOW, 0, 0)


def test_an_hour_without_the_receiver_loses_nothing_and_costs_few_attempts() -> None:
    course = Course(*((40.0 * n, f"i{n % 20}") for n in range(90)), answer=down_until(HOUR_S)).until()

    assert sorted(course.delivered, key=int) == [str(n) for n in range(90)]
    for incident in range(20):
        mine = [int(name) for name in course.delivered if int(name) % 20 == incident]
        assert mine == sorted(mine)
    assert course.stream.dead == []
    assert len(course.tried) - 90 < 30
    assert course.tried[-1][0] <= HOUR_S + LONGEST_S + 1


def test_one_notice_that_waits_out_an_hour_is_delivered() -> None:
    assert Course((0, "i"), answer=down_until(HOUR_S)).until().delivered == ["0"]


def test_pauses_double_and_are_bounded() -> None:
    course = Course((0, "i"), answer=down_until(HOUR_S)).until()
    times = [at for at, _ in course.tried]
    pauses = [b - a for a, b in itertools.pairwise(times)]

    assert pauses[:9] == [2.0**n for n in range(9)]
    assert set(pauses[9:]) == {LONGEST_S}


def test_what_always_fails_is_given_up_and_holds_up_no_other_incident() -> None:
    def answer(name: str, _now_s: float) -> Answer:
        return Answer("later", "500") if name == "0" else Answer("delivered")

    course = Course((0, "bad"), *((0, f"i{n}") for n in range(9)), (0, "bad"), answer=answer, attempts=5).until()

    assert course.stream.dead == [("0", "500")]
    assert course.delivered[:9] == [str(n) for n in range(1, 10)]
    assert course.delivered[-1] == "10"  # of the same incident: behind it
    assert Counter(name for _, name in course.tried)["0"] == 5
    assert max(at for at, name in course.tried if name in map(str, range(1, 10))) <= 2.0


def test_what_is_refused_is_given_up_at_once() -> None:
    course = Course((0, "i"), (0, "j"), answer=down_until(1, "never")).until()

    assert course.tried == [(0.0, "0"), (0.0, "1")]
    assert course.stream.dead == [("0", "no"), ("1", "no")]
    assert course.counts.dead == 2


def test_a_receiver_is_left_alone_for_as_long_as_it_asks_within_bounds() -> None:
    for asked_s, waited_s in ((30.0, 30.0), (1e9, LONGEST_S), (0.1, 1.0)):
        course = Course((0, "i"), (0, "j"), answer=down_until(0.05, wait_s=asked_s)).until()
        assert sorted({at for at, _ in course.tried}) == [0.0, waited_s], asked_s


def test_the_same_failures_make_the_same_pauses() -> None:
    def course() -> Course:
        return Course(*((7.0 * n, f"i{n % 3}") for n in range(30)), answer=down_until(500)).until()

    assert course().tried == course().tried


def test_open_incidents_are_told_again_until_they_recover() -> None:
    course = Course(answer=ok)
    course.repeat_s = 60.0
    course.stream.known = [Event(Data(incident="i"), id="x")]
    course.until(200.0)
    course.stream.known = []
    course.until(400.0)

    assert course.repeated == [0.0, 60.0, 120.0, 180.0]


def test_no_old_state_is_repeated_while_a_newer_one_waits() -> None:
    course = Course((0, "i"), answer=down_until(100.0))
    course.repeat_s = 60.0
    course.stream.known = [Event(Data(incident="i"), id="x")]
    course.until(300.0)

    assert min(course.repeated) > max(at for at, _ in course.tried)


def test_a_mistake_in_a_receiver_is_a_failed_attempt() -> None:
    def answer(_name: str, now_s: float) -> Answer:
        if now_s < 1:
            raise RuntimeError("a mistake")
        return Answer("delivered")

    course = Course((0, "i"), answer=answer).until()

    assert [at for at, _ in course.tried] == [0.0, 1.0]
