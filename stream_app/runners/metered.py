"""Pipelines of an experiment: they take their time, and obey no command that is about another run's models."""

import time

from stream_app.config import Config, digest
from stream_app.edges import snapshots
from stream_app.edges.contrast import WARM_UP, Cost, Winner
from stream_app.flow.commands import read_command
from stream_app.messages import EVENT, Outputs, Tape, to_json
from stream_app.pipeline import Pipeline

FOREIGN = ("add", "promote", "rollback", "retire")  # name versions of the run to which they were sent
ANY_KEY = b"a size does not depend on it"
NOTHING = to_json({"command": "lag", "stream": "control", "seconds": 0.0, "limit": 0.0, "ended": True})


class Metered(Pipeline):
    """A pipeline that knows what it costs."""

    def __init__(self, config: Config, shard: int, key: bytes) -> None:
        super().__init__(config, shard, key)
        self._taken = Cost()

    def handle(self, tape: Tape) -> Outputs:
        early = max(0, WARM_UP - self.records)
        out = super().handle(tape[:early])
        wall, processor = time.perf_counter(), time.process_time()
        out.add(super().handle(tape[early:]))
        seconds, used = time.perf_counter() - wall, time.process_time() - processor
        rest = max(0, len(tape.order) - early)
        events = int((tape.order[early:] == EVENT).sum())
        self._taken.add(Cost(rest, events, seconds, used) if rest else Cost())
        return out

    def cost(self) -> Cost:
        """Of what was handled until now."""
        states = self.score.champion_model.to_state(), self.snapshot()
        sizes = [len(snapshots.encode(state, config_digest=digest(self.config), key=ANY_KEY)) for state in states]
        total = Cost(model_bytes=sizes[0], state_bytes=sizes[1])
        total.add(self._taken)
        return total


class Experiment(Metered):
    """Another configuration over records of a run: commands that name versions of that run count, and do nothing."""

    left_out = 0

    def handle(self, tape: Tape) -> Outputs:
        if tape.control:
            commands = [self._own(raw) for raw in tape.control]
            tape = Tape(tape.order, tape.events, tape.labels, commands)
        return super().handle(tape)

    def _own(self, raw: bytes) -> bytes:
        foreign = read_command(raw)[0].get("command") in FOREIGN
        self.left_out += foreign
        return NOTHING if foreign else raw

    def winner(self, record: int) -> Winner:
        """Its champion now, behind so many records of the live run."""
        name = self.score.version
        try:
            return Winner(name, record, self.retraining.lanes.current(name) or b"")
        except ValueError as error:
            return Winner(name, record, b"", str(error))
