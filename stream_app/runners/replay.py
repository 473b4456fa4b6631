"""Replay: the records of a monitor once more, in the order in which it took them, without writing anything.

`replayed` compares what its own configuration makes of them with what was written, byte for byte; `contrasted` compares
what was written with what another configuration makes of them.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from stream_app.config import Config, digest
from stream_app.edges.contrast import Contrast, Cost
from stream_app.edges.differences import Comparison, NewestComparison, Replay
from stream_app.edges.paired_losses import Losses
from stream_app.edges.sightings import TOLD, Side
from stream_app.edges.transactions import messages_of
from stream_app.edges.written import InLog, InTopic, Unread, item, placed
from stream_app.errors import DriftlineError, TopicError
from stream_app.messages import OUTPUTS, Outcomes, Outputs, Progress
from stream_app.pipeline import Pipeline
from stream_app.runners.history import Bounds, History, Step, opened
from stream_app.runners.metered import Experiment, Metered

Report = Callable[[Progress], None]
EVERYTHING = Bounds()


class Pace:
    """Tells how far a replay is."""

    def __init__(self, history: History, report: Report, runs: int = 1) -> None:
        self.total, self.report = runs * sum(history.records.values()), report
        self.started, self.handled, self.before = time.monotonic(), 0, 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def step(self, step: Step) -> None:
        self.handled += step.records - step.first
        done = self.before + step.records
        share = done / max(self.total, 1)
        self.report(Progress(done, self.handled, self.seconds, share, step.time_ms, lag=0, alerts=[]))

    def shard_done(self, records: int) -> None:
        """The records of a shard have been gone through, once."""
        self.before += records


async def replayed(
    config: Config,
    *,
    state: Path | None = None,
    key: bytes = b"",
    bounds: Bounds = EVERYTHING,
    report: Report = lambda _: None,
) -> Replay:
    """Runs a configuration again over its own topics, or over the log `state`, and compares every stream.

    State is built up from the first record on; only what was written within the bounds counts. TopicError where the
    streams were written by another configuration, or their first commits were deleted.
    """
    result = Replay()
    async with opened(config, state) as history:
        if history.digests - {digest(config)}:
            raise TopicError(
                f"{state or config.name} was written with another configuration: replay that one, and give this one as "
                "--against to see what differs"
            )
        pace = Pace(history, report)
        for shard, records in history.records.items():
            await _compare(history, config, shard, key, bounds, pace, result)
            pace.shard_done(records)
        result.seconds = pace.seconds
    _refuse_if_empty(result.records, bounds)
    return result


async def _compare(
    history: History, config: Config, shard: int, key: bytes, bounds: Bounds, pace: Pace, result: Replay
) -> None:
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
            result.streams[stream].add(comparison.tally)
            if comparison.first is not None:
                result.first.setdefault(stream, comparison.first)


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
) -> Contrast:
    """Runs another configuration over what this one took, in the same order, and puts both side by side.

    The other one begins fresh at the start of the bounds, or at the oldest records that are still there. `cost`: this
    one is then run again over the same records, to measure both alike. `promote`: the other's champions are kept.
    """
    result = Contrast(live_cost=Cost() if cost else None)
    async with opened(config, state) as history:
        if promote and history.digests - {digest(config)}:
            raise TopicError(f"{state or config.name} was written with another configuration: promote into that one")
        pace = Pace(history, report, runs=1 + cost)
        for shard in history.records:
            await _shard(history, (config, other), shard, key, bounds, pace, result, promote=promote)
        result.seconds = pace.seconds
    _refuse_if_empty(result.records, bounds)
    return result


async def _shard(
    history: History, configs: tuple[Config, Config], shard: int, key: bytes, bounds: Bounds, pace: Pace,
    result: Contrast, *, promote: bool,
) -> None:  # fmt: skip
    """Adds one shard to the result."""
    losses, pipeline = Losses(shard), Experiment(configs[1], shard, key)
    taken = range(0)
    async for step, out in _within(history, pipeline, shard, bounds, pace):
        taken = range(taken.start if taken else step.first, step.records)
        result.other.add(shard, out, range(len(taken)))
        losses.other(out.outcomes)
    await _written(history, shard, taken, result.live, losses)
    result.pairs.append(losses.pairs())
    result.records += len(taken)
    result.whole = result.whole and not taken.start
    result.left_out += pipeline.left_out
    result.other_cost.add(pipeline.cost())
    if promote and taken:
        result.winners[shard] = pipeline.winner(taken.stop)
    if result.live_cost is not None:
        result.live_cost.add(await _again(history, configs[0], shard, key, bounds, pace))


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
    pace.shard_done(history.records[shard])


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
