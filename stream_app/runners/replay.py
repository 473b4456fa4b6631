"""Replay: the records of a monitor once more, in the order in which it took them, without writing anything.

`replayed` compares what its own configuration makes of them with what was written, byte for byte; `contrasted` compares
what was written with what another configuration makes of them.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

from stream_app.config import Config, digest
from stream_app.edges.contrast import Contrast, Cost
from stream_app.edges.differences import Comparison, NewestComparison, Replay
from stream_app.edges.paired_losses import Losses
from stream_app.edges.sightings import TOLD, Side
from stream_app.edges.transactions import messages_of
from stream_app.edges.written import InLog, InTopic, Unread, item, placed
from stream_app.errors import DriftlineError, TopicError
from stream_app.messages import NO_TIME, OUTPUTS, Outcomes, Outputs, Progress
from stream_app.pipeline import Pipeline
from stream_app.runners.abreast import Reached, Tell, abreast, processes_for
from stream_app.runners.history import Bounds, History, Step, opened
from stream_app.runners.metered import Experiment, Metered

Report = Callable[[Progress], None]
EVERYTHING = Bounds()
REPORT_S = 0.1


class Paces:
    """Tells how far a replay is, from what is told of its shards."""

    def __init__(self, history: History, report: Report, runs: int = 1) -> None:
        self.total, self.report = runs * sum(history.records.values()), report
        self.started = time.monotonic()
        self._reached: dict[int, Reached] = {}

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def tell(self, shard: int, reached: Reached) -> None:
        self._reached[shard] = reached
        handled, passed, times_ms = zip(*self._reached.values(), strict=True)
        if max(times_ms) > NO_TIME:  # else none of them has any records yet
            share = sum(passed) / max(self.total, 1)
            self.report(Progress(sum(passed), sum(handled), self.seconds, share, max(times_ms), lag=0, alerts=[]))


class Pace:
    """How far one shard is, told at most every REPORT_S."""

    def __init__(self, tell: Tell) -> None:
        self._tell, self._told = tell, 0.0
        self._handled = self._before = 0
        self._time_ms = NO_TIME

    def step(self, step: Step) -> None:
        self._handled += step.records - step.first
        self._time_ms = step.time_ms
        if time.monotonic() - self._told >= REPORT_S:
            self._told = time.monotonic()
            self._tell(Reached(self._handled, self._before + step.records, self._time_ms))

    def gone_through(self, records: int) -> None:
        """Its records have been gone through, once."""
        self._before += records
        self._tell(Reached(self._handled, self._before, self._time_ms))


async def replayed(
    config: Config,
    *,
    state: Path | None = None,
    key: bytes = b"",
    bounds: Bounds = EVERYTHING,
    report: Report = lambda _: None,
    processes: int | None = None,
) -> Replay:
    """Runs a configuration again over its own topics, or over the log `state`, and compares every stream.

    State is built up from the first record on; only what was written within the bounds counts. `processes`: how many
    at most share out the shards; None: as many as there are cores, if it is worth while. TopicError where the streams
    were written by another configuration, or their first commits were deleted.
    """
    result = Replay()
    async with opened(config, state) as history:
        if history.digests - {digest(config)}:
            raise TopicError(
                f"{state or config.name} was written with another configuration: replay that one, and give this one as "
                "--against to see what differs"
            )
        paces = Paces(history, report)
        work = partial(_compared, history, config, key, bounds)
        for found in await abreast(work, list(history.records), processes_for(history.records, processes), paces.tell):
            result.add(found)
        result.seconds = paces.seconds
    _refuse_if_empty(result.records, bounds)
    return result


async def _compared(history: History, config: Config, key: bytes, bounds: Bounds, shard: int, tell: Tell) -> Replay:
    """One shard."""
    result, pace = Replay(), Pace(tell)
    async with contextlib.AsyncExitStack() as stack:
        streams: dict[str, Comparison] = {}
        for stream in OUTPUTS:
            batches = await stack.enter_async_context(contextlib.aclosing(history.written(shard, stream)))
            kind = NewestComparison if stream == "features" else Comparison
            streams[stream] = kind(stream, shard, Unread(batches), beheaded=history.beheaded(shard, stream))
            if bounds.start is None:  # also where nothing was ever taken
                streams[stream].begin()
        reruns = history.reruns(Pipeline(config, shard, key), shard, bounds, fresh=False)
        steps = await stack.enter_async_context(contextlib.aclosing(reruns))
        whole = await _walk(steps, streams, bounds, pace, result)
        for stream, comparison in streams.items():
            await comparison.finish(whole=whole and history.ended())
            result.streams[stream] = comparison.tally
            if comparison.first is not None:
                result.first[stream] = comparison.first
    pace.gone_through(history.records[shard])
    return result


async def _walk(
    steps: AsyncIterator[tuple[Step, Outputs]],
    streams: dict[str, Comparison],
    bounds: Bounds,
    pace: Pace,
    result: Replay,
) -> bool:
    """Compares up to the end of the bounds; whether that is the end of the history."""
    begun = stopped = False
    async for step, out in steps:
        started, stopped = bounds.part(step.events, step.time_ms)
        if stopped:
            break
        if started and not begun:
            begun = True
            for comparison in streams.values():
                comparison.begin()
        result.records += (step.records - step.first) * begun
        for stream, written in messages_of(out).items():
            if stream in streams:  # not the archive: pickles of equal models may differ
                await streams[stream].take(map(item, written))
        for stream, parts in (("predictions", out.predictions), ("outcomes", out.outcomes)):
            for part in parts:
                await streams[stream].take_part(part)
        pace.step(step)
    return not stopped


async def contrasted(
    config: Config,
    other: Config,
    *,
    state: Path | None = None,
    key: bytes = b"",
    bounds: Bounds = EVERYTHING,
    report: Report = lambda _: None,
    cost: bool = False,
    promote: bool = False,
    processes: int | None = None,
) -> Contrast:
    """Runs another configuration over what this one took, in the same order, and puts both side by side.

    The other one begins fresh at the start of the bounds, or at the oldest records that are still there. `cost`: this
    one is then run again over the same records, to measure both alike. `promote`: the other's champions are kept.
    `processes` as of `replayed`; with `cost` one, if none are asked for.
    """
    result = Contrast(live_cost=Cost() if cost else None)
    async with opened(config, state) as history:
        if promote and history.digests - {digest(config)}:
            raise TopicError(f"{state or config.name} was written with another configuration: promote into that one")
        paces = Paces(history, report, runs=1 + cost)
        work = partial(_contrasted, history, config, other, key, bounds, cost, promote)
        count = processes_for(history.records, 1 if cost and processes is None else processes)  # alone it costs less
        for found in await abreast(work, list(history.records), count, paces.tell):
            result.add(found)
        result.seconds = paces.seconds
    _refuse_if_empty(result.records, bounds)
    return result


async def _contrasted(
    history: History, config: Config, other: Config, key: bytes, bounds: Bounds, cost: bool, promote: bool,
    shard: int, tell: Tell,
) -> Contrast:  # fmt: skip
    """One shard."""
    pace = Pace(tell)
    losses, pipeline, live, others = Losses(shard), Experiment(other, shard, key), Side(), Side()
    taken = range(0)
    async for step, out in _within(history, pipeline, shard, bounds, pace):
        taken = range(taken.start if taken else step.first, step.records)
        others.add(shard, out, range(len(taken)))
        losses.other(out.outcomes)
    await _written(history, shard, taken, live, losses)
    return Contrast(
        live,
        others,
        pairs=[losses.pairs()],
        live_cost=await _again(history, config, shard, key, bounds, pace) if cost else None,
        other_cost=pipeline.cost(),
        winners={shard: pipeline.winner(taken.stop)} if promote and taken else {},
        left_out=pipeline.left_out,
        records=len(taken),
        whole=not taken.start,
    )


async def _again(history: History, config: Config, shard: int, key: bytes, bounds: Bounds, pace: Pace) -> Cost:
    """What the live one costs over the same records, from a fresh state too."""
    pipeline = Metered(config, shard, key)
    async for _ in _within(history, pipeline, shard, bounds, pace):
        pass
    return pipeline.cost()


async def _within(
    history: History, pipeline: Pipeline, shard: int, bounds: Bounds, pace: Pace
) -> AsyncIterator[tuple[Step, Outputs]]:
    """What a fresh pipeline makes of the records within the bounds."""
    async with contextlib.aclosing(history.reruns(pipeline, shard, bounds, fresh=True)) as steps:
        async for step, out in steps:
            if bounds.part(step.events, step.time_ms)[1]:
                break
            yield step, out
            pace.step(step)
    pace.gone_through(history.records[shard])


async def _written(history: History, shard: int, taken: range, side: Side, losses: Losses) -> None:
    """What the live one wrote at the records taken."""
    for stream in TOLD:
        async for batch in history.written(shard, stream):
            for _, (_, _, value) in placed(batch):
                side.take(stream, shard, value, taken)
    async for batch in history.written(shard, "outcomes"):
        match batch:
            case InLog(part=Outcomes() as outcomes):
                losses.live_columns(outcomes)
            case InTopic(records):
                losses.live(records.value)


def _refuse_if_empty(records: int, bounds: Bounds) -> None:
    if not records and bounds != EVERYTHING:
        raise DriftlineError("no commit lies in this range: give an earlier --from, or a later --to")
