"""What was written beside what another configuration makes of the same records: all that an experiment is told by."""

from dataclasses import asdict, dataclass, field
from typing import Any

from stream_app.config import Config
from stream_app.edges.paired_losses import Judgement, Pairs, judged
from stream_app.edges.sightings import Matched, Side, matched

WARM_UP = 1024  # records of each shard whose time is not counted: compiled code is loaded on the way


@dataclass(slots=True)
class Cost:
    """Sums of the shards; without reading and decoding, and the first WARM_UP records of each."""

    records: int = 0  # that were measured
    events: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0  # of the whole process meanwhile
    model_bytes: int = 0  # the champion in a snapshot, compressed where that is
    state_bytes: int = 0  # all of the state

    @property
    def events_per_second(self) -> float | None:
        """None where nothing was measured."""
        return self.events / self.seconds if self.seconds else None

    def add(self, other: "Cost") -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "events_per_second": self.events_per_second}


@dataclass(frozen=True, slots=True)
class Winner:
    """The other one's champion in one shard, as of the last record that was replayed."""

    version: str  # in the replay
    record: int  # of the live run: how many its shard had taken
    document: bytes  # its artefact, signed
    problem: str = ""  # no artefact can hold it


@dataclass(slots=True)
class Contrast:
    """Sums of the shards, and lists over them."""

    live: Side = field(default_factory=Side)
    other: Side = field(default_factory=Side)
    pairs: list[Pairs] = field(default_factory=list)
    live_cost: Cost | None = None  # None: it was not run again
    other_cost: Cost = field(default_factory=Cost)
    winners: dict[int, Winner] = field(default_factory=dict)  # by shard, where they were asked for
    left_out: int = 0  # commands about versions of the live run, which the other one does not have
    records: int = 0  # in the range
    seconds: float = 0.0
    whole: bool = True  # the other one began with the first record, as the live one did

    def add(self, shard: "Contrast") -> None:
        self.live.merge(shard.live)
        self.other.merge(shard.other)
        self.pairs += shard.pairs
        if self.live_cost is not None and shard.live_cost is not None:
            self.live_cost.add(shard.live_cost)
        self.other_cost.add(shard.other_cost)
        self.winners |= shard.winners
        self.left_out += shard.left_out
        self.records += shard.records
        self.whole = self.whole and shard.whole

    @property
    def alerts(self) -> Matched:
        return matched(self.live.alerts, self.other.alerts)

    @property
    def triggers(self) -> Matched:
        return matched(self.live.triggers, self.other.triggers)

    def judgement(self, config: Config, other: Config) -> Judgement:
        """Which champion is better."""
        return judged(config, other, self.pairs)

    def figures(self, which: str = "rolling") -> dict[str, tuple[float | None, float | None]]:
        """The champions' newest figures, live and other, `rolling` or `since_start`: the mean of the shards."""
        live, other = self.live.mean(which), self.other.mean(which)
        return {name: (live.get(name), other.get(name)) for name in {**live, **other}}
