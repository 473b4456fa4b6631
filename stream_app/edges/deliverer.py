"""One receiver's deliveries: what comes next, when it is tried again, and when it is given up.

Rules:
1. Every notice is delivered at least once, or given up in sight of everybody; a repeat has the same id.
2. Notices of one incident are delivered in their order; one that fails holds up no other incident.
3. A receiver that fails is left alone for a while, longer each time; while it does, a notice is tried at most
   `attempts` times. Pauses have no chance in them: the same failures make the same pauses.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from stream_app.config import Notify
from stream_app.edges import journal
from stream_app.edges.notices import Event, Notice
from stream_app.edges.receivers import Answer, Receiver

WINDOW = 100  # notices in hand; those behind them stay in the stream
FIRST_S, LONGEST_S = 1.0, 300.0  # between attempts: doubled from the first to the longest


@dataclass(eq=False, slots=True)
class Delivery:
    """A notice that waits for its receiver; `place` is where it stands in the stream."""

    notice: Notice
    place: Any
    attempts: int = 0
    due_s: float = 0.0


class Feed(Protocol):
    """One receiver's place in its streams."""

    waiting: list[Delivery]  # in the order of the streams
    ended: bool  # whether all that the streams held has been taken

    async def take(self, most: int) -> None:
        """Adds at most so many of the records that came in since to those that wait."""

    async def delivered(self, delivery: Delivery) -> None:
        """It waits no longer: neither here nor after a crash."""

    async def failed(self, delivery: Delivery) -> None:
        """An attempt more is to be remembered."""

    async def given_up(self, delivery: Delivery, reason: str) -> None:
        """It is kept where `driftline notify dead` finds it, and waits no longer."""

    def open(self) -> list[Event]:
        """The newest events of the open incidents that the receiver knows of."""


@dataclass(slots=True)
class Counts:
    """What became of deliveries, in this process."""

    delivered: int = 0
    failed: int = 0  # attempts
    dead: int = 0
    said: str = field(default="", repr=False)  # the last answer


def pause_s(failures: int) -> float:
    """How long to wait after so many failures in a row.

    >>> [pause_s(n) for n in (1, 2, 3, 9, 10, 1000)]
    [1.0, 2.0, 4.0, 256.0, 300.0, 300.0]
    """
    return min(FIRST_S * 2.0 ** min(failures - 1, 60), LONGEST_S)


class Deliverer:
    """`clock` is in seconds and never goes back. For one task."""

    def __init__(
        self, name: str, notify: Notify, receiver: Receiver, feed: Feed, clock: Callable[[], float], counts: Counts
    ) -> None:
        self.name, self.notify, self.receiver, self.feed, self.counts = name, notify, receiver, feed, counts
        self._clock = clock
        self._failures, self._quiet_until_s, self._repeat_due_s = 0, -math.inf, -math.inf

    @property
    def idle(self) -> bool:
        """Whether everything that there was is done."""
        return self.feed.ended and not self.feed.waiting

    async def step(self) -> float:
        """Takes what is new and makes one attempt, if one is due; returns the seconds until the next one known is."""
        room = WINDOW - len(self.feed.waiting)
        if room > 0:
            await self.feed.take(room)
        now_s = self._clock()
        if now_s >= self._quiet_until_s:
            await self._repeat(now_s)
            found = self._next(now_s)
            if found is not None:
                await self._try(found)
        return self._wait_s()

    def _heads(self) -> list[Delivery]:
        """The first that waits of each incident."""
        heads: dict[str, Delivery] = {}
        for delivery in self.feed.waiting:
            heads.setdefault(delivery.notice.incident, delivery)
        return list(heads.values())

    def _next(self, now_s: float) -> Delivery | None:
        """The least tried of those that are due: one that always fails must not keep others from their turn."""
        due = [delivery for delivery in self._heads() if delivery.due_s <= now_s]
        return min(due, key=lambda delivery: delivery.attempts, default=None)

    def _wait_s(self) -> float:
        repeat_s = math.inf if self.receiver.repeat_s is None else self._repeat_due_s
        due_s = min([repeat_s, *(delivery.due_s for delivery in self._heads())])
        return max(max(due_s, self._quiet_until_s) - self._clock(), 0.0)

    async def _try(self, delivery: Delivery) -> None:
        answer = await attempt(self.receiver.send(delivery.notice), self.notify.timeout_ms / 1000)
        self.counts.said = answer.said
        if answer.end == "delivered":
            self._works()
            self.counts.delivered += 1
            await self.feed.delivered(delivery)
            return
        delivery.attempts += 1
        self.counts.failed += 1
        if answer.end == "never":
            self._works()  # it answers: others may be welcome
        else:
            self._fails(answer)
            delivery.due_s = self._clock() + max(pause_s(delivery.attempts), min(answer.wait_s, LONGEST_S))
        if answer.end == "never" or delivery.attempts >= self.notify.attempts:
            self.counts.dead += 1
            told = {"receiver": self.name, "id": delivery.notice.id, "attempts": delivery.attempts}
            journal.warn("notification given up", **told, reason=answer.said)
            await self.feed.given_up(delivery, answer.said)
        else:
            await self.feed.failed(delivery)

    def _works(self) -> None:
        if self._failures:
            journal.tell("receiver answers again", receiver=self.name, after_failures=self._failures)
        self._failures, self._quiet_until_s = 0, -math.inf

    def _fails(self, answer: Answer) -> None:
        self._failures += 1
        quiet_s = max(pause_s(self._failures), min(answer.wait_s, LONGEST_S))
        self._quiet_until_s = self._clock() + quiet_s
        told = {"receiver": self.name, "failures": self._failures, "again_in_s": quiet_s}
        journal.warn("notification failed", **told, reason=answer.said)

    async def _repeat(self, now_s: float) -> None:
        """Tells a receiver that forgets of the open incidents once more, but not before it is told the newest."""
        if self.receiver.repeat_s is None or now_s < self._repeat_due_s:
            return
        self._repeat_due_s = now_s + self.receiver.repeat_s
        waiting = {delivery.notice.incident for delivery in self.feed.waiting}
        events = [event for event in self.feed.open() if event.data.incident not in waiting]
        if not events:
            return
        answer = await attempt(self.receiver.repeat(events), self.notify.timeout_ms / 1000)
        if answer.end == "later":
            self.counts.failed += 1
            self._fails(answer)


async def attempt(sending: Any, timeout_s: float) -> Answer:
    """How sending went, within a time."""
    try:
        async with asyncio.timeout(timeout_s):
            answer: Answer = await sending
            return answer
    except TimeoutError:
        return Answer("later", f"no answer in {timeout_s:g} s")
    except Exception as error:  # noqa: BLE001  (whatever one receiver does, deliveries to it go on)
        journal.fail("a receiver's mistake", error)
        return Answer("later", type(error).__name__)
