"""One shard of the Kafka worker: weaves its inputs, runs its pipeline and commits, until it is closed.

Whatever fails ends the process: the shard's next owner begins at its last commit.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from stream_app.config import Config, digest
from stream_app.edges import commits, journal, kafka, snapshots
from stream_app.edges.batches import Records
from stream_app.edges.commits import Commit, Pointer, Span
from stream_app.edges.meter import Meter, Step
from stream_app.edges.transactions import ToWrite, Writer, Written, records_of
from stream_app.flow.decode import Decoder
from stream_app.messages import EVENT, LABEL, STREAMS, Outputs, Tape, to_json
from stream_app.pipeline import Pipeline
from stream_app.runners.lag import Lag
from stream_app.runners.recovery import Position, decoded
from stream_app.runners.weaver import Weaver

WAITING = 8192  # records of a stream that may wait to be woven: then no more are fetched
LOOK_S = 0.05  # between two looks at whether an input has become silent
STEP_S = 0.03  # how long a shard may keep the others, and the heartbeat's answers, waiting
TURNS = 10  # of the event loop between two steps: so many it takes Faust to hand over a batch, or a commit to end
FIRST_STEP = 1024  # records
LARGEST_COMMIT = 65_536  # records: bounds the memory that uncommitted outputs take
SNAPSHOT_SHARE = 0.05  # snapshots may take this share of the time: those of a large state become rarer
QUICK_S = 1.0  # a snapshot that takes longer must not hold up a rebalance
ALIVE_S = 3600.0  # an idle shard commits so often, and four times within retention, which would delete its last commit


Behind = Callable[[tuple[str, int]], int]  # stream and shard → records that are known of and were not read


@dataclass(slots=True)
class Pending:
    """What was handled since the last commit."""

    out: Outputs = field(default_factory=Outputs)
    order: bytearray = field(default_factory=bytearray)

    def add(self, tape: Tape, out: Outputs) -> None:
        self.out.add(out)
        self.order += tape.order.tobytes()


class Shard:
    """A recovered pipeline, which `stand_at` gives a position; `run` until `close`, again and again."""

    def __init__(
        self,
        config: Config,
        number: int,
        partitions: int,
        pipeline: Pipeline,
        key: bytes,
        behind: Behind,
        meter: Meter,
    ) -> None:
        self.config, self.number, self.partitions = config, number, partitions
        self.pipeline, self.key, self.digest = pipeline, key, digest(config)
        self.behind, self.meter = behind, meter
        self.streams = (EVENT, LABEL) if kafka.has_labels(config) else (EVENT,)
        section = kafka.cluster(config)
        self.max_wait_s, self.alive_s = section.max_wait_ms / 1000, min(ALIVE_S, section.retention_ms / 4000)
        self._decoders = (Decoder(config, "events", None), Decoder(config, "labels", None))
        self._arrived, self._closing = asyncio.Event(), False
        self.snapshotted, self._snapshot_s = time.monotonic(), 0.0
        self._most = FIRST_STEP
        self._writing: asyncio.Task[None] | None = None
        self._flying = 0  # records of the commit that is being written

    def stand_at(self, position: Position, writer: Writer) -> None:
        """Takes records from this position on; what was read before and not handled is forgotten."""
        self.position, self.writer, now = position, writer, time.monotonic()
        events, labels = self._decoders[EVENT](0, []), self._decoders[LABEL](0, [])
        self._weaver = Weaver(events, labels, self.config.engine.ahead_ms, position.clocks)
        self._commands: list[bytes] = []
        self.expected, self._pending = dict(position.next), Pending()
        self._taken = {stream: Span(offset, offset) for stream, offset in position.next.items()}
        self._quiet_s, self._looked = [0.0, 0.0], now
        names = [STREAMS[stream] for stream in self.streams]
        self._lag = Lag(self.config.alarms.lag_ms, names, position.lagging)
        self._news: dict[str, Any] | None = None  # of the lag, to be told by the next commit
        self.begun, self.committed, self._closing = now, now, False

    # records in

    def wants(self, stream: str) -> bool:
        """Whether there is room for more records of a stream."""
        held = len(self._commands) if stream == "control" else self._weaver.waiting(STREAMS.index(stream))
        return held < WAITING

    def push(self, stream: str, records: Records) -> None:
        """Takes the next records of a stream; those that were taken before are left out."""
        records = records.since(self.expected[stream])
        if not len(records):
            return
        self.expected[stream] = int(records.offset[-1]) + 1
        self._lag.push(stream, records)
        if stream == "control":
            self._commands += records.value
        else:
            number = STREAMS.index(stream)
            self._weaver.push(number, decoded(self._decoders[number], records))
            self._quiet_s[number] = 0.0
        self._arrived.set()

    @property
    def waiting(self) -> int:
        """Records that were read and are not committed."""
        read = self._weaver.waiting(EVENT) + self._weaver.waiting(LABEL) + len(self._commands)
        return read + len(self._pending.order) + self._flying

    # the loop

    async def run(self) -> None:
        """Handles and commits until `close`; ends with everything that was handled committed.

        A commit is written while the next records are handled, one at a time.
        """
        while not self._closing:
            self._measure_lag()
            moved = self._step()
            if self._due():
                await self._written()
                self._commit()
            elif moved:
                for _ in range(TURNS):
                    await asyncio.sleep(0)
            else:
                await self._wait()
            if self._writing is not None and self._writing.done():
                await self._written()
        await self._written()
        if self._pending.order:
            self._commit()
            await self._written()

    def close(self) -> None:
        """Lets `run` end after the step in hand."""
        self._closing = True
        self._arrived.set()

    def _step(self) -> bool:
        started = time.monotonic()
        tape = self._next_tape(started)
        if not len(tape.order):
            return False
        self._pending.add(tape, self.pipeline.handle(tape))
        took = time.monotonic() - started
        pace = len(tape.order) / max(took, 1e-6)
        self._most = int(min(max(pace * STEP_S, 16), WAITING, 4 * self._most))
        return True

    def _next_tape(self, now: float) -> Tape:
        self._listen(now)
        silent = [quiet_s > self.max_wait_s for quiet_s in self._quiet_s]
        labels_ended = LABEL not in self.streams or silent[LABEL]
        tape = self._weaver.pull(events_ended=silent[EVENT], labels_ended=labels_ended, most=self._most)
        for stream, rows in ((EVENT, tape.events), (LABEL, tape.labels)):
            if len(rows):
                self._taken[STREAMS[stream]].stop = int(rows.offset[-1]) + 1
        commands, self._commands = self._commands, []
        self._taken["control"].stop = self.expected["control"]
        return tape.led_by(commands)

    def _listen(self, now: float) -> None:
        """How long each input has had nothing to give, neither here nor at the broker.

        A look that comes late, after a long step, counts as a short one: what arrived meanwhile was not pushed yet.
        """
        since_s, self._looked = min(now - self._looked, LOOK_S), now
        for number in self.streams:
            has_some = self._weaver.waiting(number) or self.behind((STREAMS[number], self.number))
            self._quiet_s[number] = 0.0 if has_some else self._quiet_s[number] + since_s

    def _due(self) -> bool:
        age, size = time.monotonic() - self.begun, len(self._pending.order)
        commit_s = self.config.engine.commit_ms / 1000
        return bool(
            (size and age >= commit_s)
            or size >= LARGEST_COMMIT
            or ((self.position.gaps or self._news) and self._writing is None)
            or age >= self.alive_s
        )

    def _measure_lag(self) -> None:
        """Looks whether a lag begins or ends here; the next commit tells it."""
        if self._news is not None or self._lag.off:
            return
        taken = {stream: span.stop for stream, span in self._taken.items()}
        behind = {
            STREAMS[stream]: self._weaver.waiting(stream) + self.behind((STREAMS[stream], self.number))
            for stream in self.streams
        }
        self._news = self._lag.look(taken, behind, time.monotonic(), time.time())

    async def _wait(self) -> None:
        """Until something arrives, a commit is due, or a silent stream need not be waited for any longer."""
        self._arrived.clear()
        end = self.begun + (self.config.engine.commit_ms / 1000 if self._pending.order else self.alive_s)
        rest_s = max(end - time.monotonic(), 0.001)
        if any(map(self._weaver.waiting, self.streams)) or self._lag.lagging:
            rest_s = min(rest_s, LOOK_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(rest_s):
                await self._arrived.wait()

    # commits

    def _commit(self) -> None:
        """Begins to write what was handled, and at times the state that it led to; `_written` ends it."""
        commit, pending = self._record(), self._pending
        records = records_of(pending.out) | {"commits": [commits.written(commit)]}
        told = [gap_command(stream, gap) for stream, gap in commit.gaps.items()]
        told += [] if self._news is None else [(None, to_json(self._news), [])]
        if told:
            records["control"] = told
        self._news = None
        self._pending, self._flying = Pending(), len(pending.order)
        self._taken = {stream: Span(span.stop, span.stop) for stream, span in commit.inputs.items()}
        self.begun = time.monotonic()
        every_s = max(kafka.cluster(self.config).snapshot_ms / 1000, self._snapshot_s / SNAPSHOT_SHARE)
        state = self._state() if self.begun - self.snapshotted >= every_s and pending.order else None
        step = Step.of(self.pipeline, pending.out)
        self._writing = asyncio.create_task(self._write(commit, records, state, step))
        self._writing.add_done_callback(lambda _: self._arrived.set())

    def _record(self) -> Commit:
        return Commit(
            number=self.position.number + 1,
            config=self.digest,
            partitions=self.partitions,
            records=self.pipeline.records,
            time_ms=self.pipeline.validate.now_ms,
            inputs=dict(self._taken),
            clocks=self._weaver.clocks,
            order=commits.packed(self._pending.order),
            snapshots=self.position.snapshots,
            gaps=self.position.gaps,
            lagging=self._lag.lagging,
        )

    async def _write(self, commit: Commit, records: dict[str, ToWrite], state: bytes | None, step: Step) -> None:
        started = time.monotonic()
        offsets = await self.writer.write(records)
        following = {stream: span.stop for stream, span in commit.inputs.items()}
        place = commit.number, offsets["commits"], commit.snapshots
        self.position = Position(following, commit.clocks, *place, lagging=commit.lagging)
        self.committed, self._flying = time.monotonic(), 0
        self.meter.committed(self.number, step, self.committed - started, self.waiting)
        if state is not None:
            await self._keep(state, commit.records)

    async def _written(self) -> None:
        """Waits for the commit under way, if there is one; what failed in it is raised here."""
        if self._writing is not None:
            await self._writing
            self._writing = None

    async def finish(self) -> None:
        """Behind `run`: leaves a snapshot, so that the next owner need not take records again."""
        kept = self.position.snapshots
        if self.pipeline.records > (kept[0].records if kept else 0) and self._snapshot_s < QUICK_S:
            await self._keep(self._state(), self.pipeline.records)
        newest = self.position.snapshots
        if newest and newest[0].number == self.position.number:  # no commit points to it yet
            self._commit()
            await self._written()

    def _state(self) -> bytes:
        started = time.monotonic()
        state = snapshots.encode(self.pipeline.snapshot(), config_digest=self.digest, key=self.key)
        self.snapshotted = time.monotonic()
        self._snapshot_s = self.snapshotted - started
        return state

    async def _keep(self, state: bytes, records: int) -> None:
        """Writes the state behind the last commit."""
        kept = self.position.snapshots
        slot = (kept[0].slot + 1) % commits.SLOTS if kept else 0
        chunks = list(commits.chunks(state, self.position.number, slot))
        offsets = await self.writer.write({"snapshots": chunks})
        place = offsets["snapshots"], len(chunks), self.position.commit, self.position.number
        self.position.snapshots = [Pointer(*place, records, slot), *kept][: commits.SLOTS]
        journal.tell("snapshot written", shard=self.number, size_bytes=len(state), records=records)


def gap_command(stream: str, gap: Span) -> Written:
    """The command by which a shard tells itself, and every replay, that records are missing."""
    return None, to_json({"command": "gap", "stream": stream, "from": gap.start, "to": gap.stop}), []
