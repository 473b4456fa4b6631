"""Delivery beside a run: each receiver goes through the output stream at its own pace, and none holds up another.

Nothing of it reaches the engine: it reads what was committed, as any subscriber does, in a thread of its own, and
whatever happens to it is said and does not end the run.
"""

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from stream_app.config import Config, Notify, receivers
from stream_app.config.receivers import GATE
from stream_app.edges import journal
from stream_app.edges.deliverer import Counts, Deliverer, Feed, attempt
from stream_app.edges.gate import Gate
from stream_app.edges.log import Log
from stream_app.edges.notices import Notice, trial
from stream_app.edges.outbox import LogFeed, Outbox
from stream_app.edges.receivers import Answer, Receiver, make
from stream_app.errors import BrokerError, DriftlineError

POLL_S = 0.5  # how often a stream without news is looked at: people do not notice, five receivers take under 1 %
GRACE_S = 5.0  # what a run that has ended gives to deliveries under way
LAST_S = 1.0  # for connections to close after that
RETRY_S = 2.0  # between two attempts to reach a broker
STOPPED = -math.inf


class Notifier:
    """Delivers for all receivers of a configuration: from the log `state`, or from the topics if that is None.

    `end_by` may be called from any thread. `follow`: goes on until then; otherwise ends when all is delivered.
    """

    def __init__(self, config: Config, state: Path | None, *, follow: bool = True, everything: bool = False) -> None:
        self._config, self._state, self._everything = config, state, everything
        self.receivers = receivers(config)
        self.counts = {name: Counts() for name in self.receivers}
        self._feeds: dict[str, Feed] = {}
        self._left: dict[str, dict[str, int]] = {}  # what the outbox held at the end
        self._deadline_s, self._drains = math.inf, not follow

    def end_by(self, deadline_s: float) -> None:
        """Ends when nothing is left to do, at the latest then (time.monotonic)."""
        self._deadline_s, self._drains = deadline_s, True

    @property
    def metrics(self) -> dict[str, dict[str, int]]:
        """For each receiver: delivered, failed (attempts) and dead in this process, and how many wait."""
        found = {}
        for name, counts in self.counts.items():
            waiting = len(self._feeds[name].waiting) if name in self._feeds else 0
            figures = {"delivered": counts.delivered, "failed": counts.failed, "dead": counts.dead, "waiting": waiting}
            found[name] = figures | self._left.get(name, {})
        return found

    def answers(self) -> dict[str, str]:
        """What each receiver answered last."""
        return {name: counts.said for name, counts in self.counts.items()}

    async def run(self, ready: Callable[[], None] = lambda: None, stop: Callable[[], bool] = bool) -> None:
        """Until told otherwise, or `stop()`; calls `ready` when every receiver has its place in the log."""
        async with self._log_feeds() as feeds:
            ready()
            tasks = [asyncio.create_task(self._serve(name, feeds)) for name in self.receivers]
            pending = set(tasks)
            while pending and time.monotonic() < self._deadline_s:
                if stop() and self._deadline_s == math.inf:
                    self.end_by(time.monotonic() + GRACE_S)
                _, pending = await asyncio.wait(pending, timeout=POLL_S, return_when=asyncio.FIRST_EXCEPTION)
                for task in tasks:
                    if task.done() and task.exception() is not None:
                        self._deadline_s = STOPPED  # all end: what one cannot read, none can
            for task in pending:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            for name, feed in feeds.items():
                self._left[name] = {"waiting": feed.backlog()}
        for error in ended:
            if isinstance(error, Exception):
                raise error

    @contextlib.asynccontextmanager
    async def _log_feeds(self) -> AsyncIterator[dict[str, LogFeed]]:
        """The receivers' places in a log; none of them over topics, where each has a connection of its own."""
        if self._state is None:
            yield {}
            return
        with Log(self._state) as log, Outbox(self._state) as outbox:
            yield {
                name: LogFeed(name, notify, log, outbox, everything=self._everything)
                for name, notify in self.receivers.items()
            }

    async def _serve(self, name: str, feeds: dict[str, LogFeed]) -> None:
        """One receiver; where its broker is away it begins again."""
        if self._state is not None:
            await self._deliver(name, feeds[name])
            return
        from stream_app.edges import topic_feed  # noqa: PLC0415

        notify = self.receivers[name]
        while True:
            try:
                async with topic_feed.opened(self._config, name, notify, everything=self._everything) as feed:
                    await self._deliver(name, feed)
                    return
            except BrokerError as error:
                if self._drains:
                    raise
                journal.warn("waiting for a broker", receiver=name, reason=str(error))
                await asyncio.sleep(RETRY_S)

    async def _say(self, shard: int, command: bytes) -> None:
        """Appends a command to the control stream of a shard."""
        if self._state is None:
            from stream_app.edges.sender import send_command  # noqa: PLC0415

            await send_command(self._config, shard, command)
            return
        with Log(self._state) as log:
            log.send_control(command)

    async def _deliver(self, name: str, feed: Feed) -> None:
        self._feeds[name] = feed
        async with AsyncExitStack() as stack:
            receiver: Receiver = make(self._config, self.receivers[name], time.time)
            if name == GATE:
                receiver = Gate(receiver, self._say)
            stack.push_async_callback(receiver.close)
            deliverer = Deliverer(name, self.receivers[name], receiver, feed, time.monotonic, self.counts[name])
            while True:
                wait_s = await deliverer.step()
                late = feed.waiting and time.monotonic() + wait_s > self._deadline_s
                if self._drains and (deliverer.idle or late):
                    return
                await asyncio.sleep(min(wait_s, POLL_S))


class Background:
    """A notifier in a thread, for as long as it is entered; what keeps it from its work is said, not raised.

    On leaving, deliveries under way have `grace_s`. The receivers have their places in a log when it is entered.
    """

    def __init__(self, config: Config, state: Path | None, grace_s: float = GRACE_S) -> None:
        self._notifier, self._grace_s = Notifier(config, state), grace_s
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="driftline-notify", daemon=True)

    def __enter__(self) -> Self:
        if self._notifier.receivers:
            self._thread.start()
            self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._notifier.receivers:
            return
        self._notifier.end_by(time.monotonic() + self._grace_s)
        self._thread.join(self._grace_s + LAST_S)
        told = {name: figures for name, figures in self.metrics.items() if figures["waiting"]}
        for name, figures in told.items():
            answer = self._notifier.answers()[name]
            journal.warn("notifications wait for their receiver", receiver=name, **figures, answered=answer)

    @property
    def metrics(self) -> dict[str, dict[str, int]]:
        """As that of the notifier."""
        return self._notifier.metrics

    def _run(self) -> None:
        try:
            asyncio.run(self._notifier.run(self._ready.set))
        except DriftlineError as error:
            journal.warn("nobody is notified by this process", reason=str(error))
        except Exception as error:  # noqa: BLE001  (the stream goes on)
            journal.fail("nobody is notified by this process", error)
        finally:
            self._ready.set()


async def trials(config: Config, only: str | None, time_ms: int) -> dict[str, list[Answer]]:
    """What each receiver, or one of them, answers to a test alert and to its recovery; one attempt each."""

    async def sent(notify: Notify) -> list[Answer]:
        return [answer async for answer in answers_of(config, notify, trial(config, time_ms))]

    chosen = {name: notify for name, notify in receivers(config).items() if only in (None, name)}
    answers = await asyncio.gather(*map(sent, chosen.values()))
    return dict(zip(chosen, answers, strict=True))


async def answers_of(config: Config, notify: Notify, notices: Iterable[Notice]) -> AsyncIterator[Answer]:
    """One attempt at each notice, in order, by one connection."""
    receiver = make(config, notify, time.time)
    try:
        for notice in notices:
            yield await attempt(receiver.send(notice), notify.timeout_ms / 1000)
    finally:
        await receiver.close()
