"""The embedded engine: files or standard input in, one SQLite file out; resumes where the last commit stands.

Three threads: one reads and decodes the next records, one handles these, one writes what the last ones caused. Records,
chunks and what a commit holds do not depend on which of them is ahead.
"""

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from stream_app.config import Config, digest
from stream_app.edges import snapshots
from stream_app.edges.log import Block, Log, Saved, packed
from stream_app.edges.meter import KIND_OF, Meter, Step
from stream_app.edges.records import NOTHING
from stream_app.edges.sources import Source, check_columns, open_source
from stream_app.errors import ConfigError, ForeignStateError, SourceError
from stream_app.flow.clock import START
from stream_app.flow.decode import Decoder
from stream_app.flow.measure import BASELINES
from stream_app.messages import EVENT, LABEL, Outputs, Progress, Rows, Tape
from stream_app.pipeline import Pipeline
from stream_app.runners.rehearsal import Form
from stream_app.runners.weaver import Weaver
from stream_app.texts import Pieces

BATCH = 8192  # records decoded at a time: large enough for columns, small enough for the processor's cache
BLOCK_ROWS = 2 * BATCH  # predictions that are packed while their commit is not due
COMMIT_SHARE = 0.04  # states may take this share of a core: with a large one commits become rarer
IDLE_S = 0.05  # pause when a followed file has nothing new
MAX_WAIT_S = 1.0  # how long the faster of two streams waits for the slower one when nothing comes


class Read(NamedTuple):
    """What one read of a source gave, and how the source stood behind it."""

    rows: Rows
    finished: bool
    problem: SourceError | None


class Input:
    """One source with its decoder and how far it was handed to the core.

    A file is read from where the log stands. Standard input that begins with the same record as the first time is the
    same stream once more: what was handled is skipped; any other goes on where the last one ended.
    """

    def __init__(self, config: Config, path: str, stream: int, saved: dict[str, Any] | None, *, follow: bool) -> None:
        assert config.source is not None
        self.stream, self.name = stream, ("events", "labels")[stream]
        self.next = self._known = int(saved["offset"]) if saved else 0
        self.first = str(saved["fingerprint"]) if saved and self.next else ""
        self.piped, self.shift = path == "-", 0
        start = 0 if self.piped else self.next
        self.source: Source = open_source(path, config.source, start=start, follow=follow)
        if self.first and not self.piped and self.first != self.source.fingerprint:
            raise ForeignStateError(
                f"{path} is not the file that this log was begun with (its first record differs): "
                "put the old file back, or start a new log with another --state"
            )
        check_columns(self.source, config, self.name)
        self.decode = Decoder(config, self.name, self.source.header, self.source.delimiter)  # type: ignore[arg-type]
        self.finished, self.problem = False, None  # type: bool, SourceError | None
        self._ahead: Future[Read] | None = None

    def read(self, reading: ThreadPoolExecutor | None = None) -> Rows:
        """The next records; an error of the source waits until what was read has been committed.

        Where there are some, the ones behind them are read ahead, if there is a thread to do it.
        """
        rows, self.finished, self.problem = self._ahead.result() if self._ahead else self._read()
        more = len(rows) > 0 and not self.ended
        self._ahead = reading.submit(self._read) if more and reading else None
        return rows

    def _read(self) -> Read:
        problem = None
        try:
            offset, raw = self.source.read(BATCH)
        except SourceError as error:
            problem, offset, raw = error, 0, NOTHING
        if self.piped and len(raw):
            offset, raw = self._piped(offset, raw)
        return Read(self.decode(offset, raw), self.source.finished, problem)

    def _piped(self, offset: int, raw: Pieces) -> tuple[int, Pieces]:
        if offset == 0:
            first = hashlib.sha256(raw[0]).hexdigest()
            self.shift = self._known if self.first and first != self.first else 0
            self.first = self.first or first
        offset += self.shift
        known = min(max(self._known - offset, 0), len(raw)) if not self.shift else 0
        return offset + known, raw[known:]

    @property
    def ended(self) -> bool:
        return self.finished or self.problem is not None

    def position(self) -> dict[str, Any]:
        return {"offset": self.next, "fingerprint": self.first if self.piped else self.source.fingerprint}


class Cost(NamedTuple):
    """Seconds from the beginning to the end of a commit, and those of a core that the state took.

    Outputs cost the same whenever they are written.
    """

    commit_s: float
    state_s: float


class Commit(NamedTuple):
    """What is being written, and where the run stands behind it."""

    written: Future[Cost]
    progress: Progress
    step: Step


class Embedded:
    """One run over the sources of a configuration.

    ConfigError without `[source]`, ForeignStateError if the log is of another configuration or input, SourceError if an
    input cannot be read (what came before it is committed). `shard` is the number of the partition, where one is run
    again; `meter` is told of each commit.
    """

    def __init__(
        self,
        config: Config,
        log: Log,
        *,
        follow: bool = False,
        key: bytes = b"",
        shard: int = 0,
        meter: Meter | None = None,
    ) -> None:
        if config.source is None:
            raise ConfigError(
                ['$.source: missing; `run` reads from it: add [source] with events = "FILE"'], config.name
            )
        self.config, self.log, self.key = config, log, key
        self.digest = digest(config)
        self.pipeline = Pipeline(config, shard, key)
        saved = log.load()
        position = self._resume(saved) if saved else {}
        paths = [config.source.events, *([config.source.labels] if config.source.labels else [])]
        self.inputs = [
            Input(config, path, stream, position.get(("events", "labels")[stream]), follow=follow)
            for stream, path in enumerate(paths)
        ]
        events, labels = Decoder(config, "events", None)(0, []), Decoder(config, "labels", None)(0, [])
        clocks = [(now, odd, taken) for now, odd, taken in position.get("clocks", [START, START])]
        self.live = follow or any(given.piped for given in self.inputs)  # only these can be silent without an end
        self.weaver = Weaver(events, labels, config.engine.ahead_ms, (clocks[EVENT], clocks[LABEL]))
        self.controls = int(position.get("controls", 0))
        self.resumed_at = self.pipeline.records
        self.out, self.order = Outputs(), bytearray()
        self.ahead: list[Future[list[Block]]] = []  # blocks of what came before `out`
        self.meter, self.shard = meter, shard
        if meter is not None:
            counted = ((stream, record.value) for stream in KIND_OF for record in log.read(stream))
            meter.opened(shard, self.pipeline, counted)

    @property
    def forms(self) -> list[Form]:
        """What each source is made of."""
        sources = [given.source for given in self.inputs]
        return [None if source.header is None else (source.header, source.delimiter) for source in sources]

    def _resume(self, saved: Saved) -> dict[str, Any]:
        state = snapshots.decode(saved.state, config_digest=self.digest, key=self.key, where=str(self.log.path))
        self.pipeline.restore(state)
        return saved.position

    def run(
        self, report: Callable[[Progress], None], *, report_s: float = 0.1, stop: Callable[[], bool] = bool
    ) -> None:
        """Runs to the end of the input (for ever when following), or until `stop()`; commits what was handled."""
        with ThreadPoolExecutor(1, "read") as reading, ThreadPoolExecutor(1, "commit") as writing:
            self._run(reading, writing, report, report_s, stop)
        for given in self.inputs:
            if given.problem is not None:
                raise given.problem

    def _run(
        self,
        reading: ThreadPoolExecutor,
        writing: ThreadPoolExecutor,
        report: Callable[[Progress], None],
        report_s: float,
        stop: Callable[[], bool],
    ) -> None:
        started = committed = reported = heard = time.monotonic()
        cost_s, commit = 0.0, None
        while True:
            moved = self._step(reading, waited=self.live and time.monotonic() - heard > MAX_WAIT_S)
            self._pack(writing)
            now = time.monotonic()
            heard = now if moved else heard
            ended = self._ended(moved=moved) or stop()
            due = now - committed >= max(self.config.engine.commit_ms / 1000, cost_s / COMMIT_SHARE)
            begins = bool(self.order) and (due or ended or not moved)
            if commit and (begins or ended or commit.written.done()):
                cost_s = self._committed(commit).state_s
                if commit.progress.alerts or now - reported >= report_s:
                    report(commit.progress)
                    reported = now
                commit = None
            if begins:
                commit, committed = self._commit(writing, started), now
            if ended and commit:
                self._committed(commit)
                report(commit.progress)
            if ended:
                return
            if not moved:
                time.sleep(IDLE_S)

    def _step(self, reading: ThreadPoolExecutor, *, waited: bool) -> bool:
        """Reads, weaves and handles one batch; False if nothing moved."""
        for given in self.inputs:
            if not given.ended and self.weaver.waiting(given.stream) < BATCH:
                rows = given.read(reading)
                if len(rows):
                    self.weaver.push(given.stream, rows)
        events, labels = self.inputs[EVENT], self.inputs[LABEL] if len(self.inputs) > 1 else None
        tape = self.weaver.pull(
            events_ended=events.finished or waited,
            labels_ended=labels is None or labels.finished or waited,
        )
        tape = self._with_commands(tape)
        if not len(tape.order):
            return False
        self.out.add(self.pipeline.handle(tape))
        self.order += tape.order.tobytes()
        for given in self.inputs:
            given.next += int((tape.order == given.stream).sum())
        return True

    def _pack(self, writing: ThreadPoolExecutor) -> None:
        """Has predictions and outcomes packed while the commit is not due: what is left then takes a moment."""
        out = self.out
        if sum(len(part.id) for part in out.predictions) >= BLOCK_ROWS:
            self.ahead.append(writing.submit(packed, Outputs(out.predictions, out.outcomes)))
            out.predictions, out.outcomes = [], []

    def _with_commands(self, tape: Tape) -> Tape:
        """Commands that came in since the last batch go before it; the log remembers the place."""
        commands = self.log.controls(self.controls)
        self.controls += len(commands)
        return tape.led_by(commands)

    def _ended(self, *, moved: bool) -> bool:
        if any(given.problem for given in self.inputs):  # what must wait for the damaged part is left for the next run
            return not moved
        return all(given.ended for given in self.inputs) and not self._lag

    @property
    def _lag(self) -> int:
        """Records read and not yet handled."""
        return sum(self.weaver.waiting(given.stream) for given in self.inputs)

    def _commit(self, writing: ThreadPoolExecutor, started: float) -> Commit:
        """Begins to write what was handled since the last commit, which must have ended."""
        began, began_s = time.monotonic(), time.thread_time()
        position: dict[str, Any] = {given.name: given.position() for given in self.inputs}
        position |= {"clocks": self.weaver.clocks, "controls": self.controls}
        state = snapshots.pack(self.pipeline.snapshot())
        packing_s = time.thread_time() - began_s
        outputs = self.out, position, bytes(self.order)
        written = writing.submit(self._write, began, packing_s, state, outputs, self.ahead)
        alerts = [message.value for message in self.out.messages if message.stream == "alerts"]
        commit = Commit(written, self._progress(started, alerts), Step.of(self.pipeline, self.out))
        self.out, self.order, self.ahead = Outputs(), bytearray(), []
        return commit

    def _write(
        self,
        began: float,
        packing_s: float,
        state: snapshots.Packed,
        outputs: tuple[Outputs, dict[str, Any], bytes],
        ahead: list[Future[list[Block]]],
    ) -> Cost:
        """In the writing thread: what is taken from the pipeline is a copy."""
        began_s = time.thread_time()
        sealed = snapshots.seal(state, config_digest=self.digest, key=self.key)
        state_s = packing_s + time.thread_time() - began_s
        header = {"config": self.digest, "name": self.config.name}
        self.log.commit(*outputs, sealed, header, [block for some in ahead for block in some.result()])
        return Cost(time.monotonic() - began, state_s)

    def _committed(self, commit: Commit) -> Cost:
        """Waits for the end of a commit."""
        cost = commit.written.result()
        if self.meter is not None:
            self.meter.committed(self.shard, commit.step, cost.commit_s, commit.progress.lag)
        return cost

    def _progress(self, started: float, alerts: list[bytes]) -> Progress:
        shares = [given.source.progress for given in self.inputs]
        known = [share for share in shares if share is not None]
        return Progress(
            records=self.pipeline.records,
            new=self.pipeline.records - self.resumed_at,
            seconds=time.monotonic() - started,
            share=min(known) if known else None,
            time_ms=self.pipeline.validate.now_ms,
            lag=self._lag,
            alerts=alerts,
        )

    def summary(self, seconds: float) -> dict[str, Any]:
        """What the log holds after this run, and how fast this run was."""
        told, lanes = self.pipeline.summary(), self.pipeline.score.names[1:]
        counts, performance = told["counts"], told["performance"]
        new = self.pipeline.records - self.resumed_at
        return {
            "events": counts["events"],
            "labels": counts["labels"],
            "expired": counts["expired"],
            "rejected": counts["rejected"],
            "dead_letters": self.log.count("dead-letters"),
            "alerts": self.log.count("alerts"),
            "incidents": self.pipeline.decide.opened,
            "triggers": self.log.count("triggers"),
            "metrics": {
                "champion": performance.get("champion"),
                "challengers": {name: performance[name] for name in lanes if name in performance},
                "baselines": {name: performance.get(name) for name in BASELINES},
            },
            "estimate": told["estimate"],
            "choices": told["choices"],
            "new_records": new,
            "seconds": round(seconds, 3),
            "events_per_second": round(new / seconds) if seconds else 0,
        }
