"""The fold: a board takes records of output streams one by one and remembers what pages show."""

from typing import Any, Protocol

import msgspec
from msgspec import Struct, field

from stream_app.board.figures import Figures
from stream_app.board.incidents import Incidents
from stream_app.board.letters import Letters
from stream_app.board.panes import Signals
from stream_app.board.plain import from_plain, to_plain
from stream_app.board.versions import Versions
from stream_app.config import Config

STREAMS = ("metrics", "alerts", "triggers", "models", "dead-letters", "audit", "panes")
FORMAT = 1  # of the state; another one is not taken for it


class Told(Protocol):
    """A record of an output stream, wherever it was read."""

    @property
    def key(self) -> str: ...
    @property
    def time_ms(self) -> int: ...
    @property
    def value(self) -> bytes: ...


class Shard(Struct):
    """What one shard has told."""

    figures: Figures = field(default_factory=Figures)
    incidents: Incidents = field(default_factory=Incidents)
    versions: Versions = field(default_factory=Versions)
    letters: Letters = field(default_factory=Letters)
    panes: Signals = field(default_factory=Signals)
    unreadable: int = 0  # records that are none of ours

    def take(self, stream: str, record: Told) -> None:
        """One record; one that cannot be read is counted."""
        try:
            if stream == "metrics":
                self.figures.take(record.key, record.value)
            elif stream == "panes":
                self.panes.take(record.value)
            elif stream == "alerts":
                self.incidents.take(record.value)
            elif stream == "dead-letters":
                self.letters.take(record.time_ms, record.value)
            elif stream == "models":
                self.versions.take_model(record.value)
            elif stream == "audit":
                self.versions.take_entry(record.value)
            elif stream == "triggers":
                self.versions.take_trigger(record.value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.unreadable += 1


class Board:
    """All shards of one monitor."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.shards: dict[int, Shard] = {}

    def take(self, stream: str, shard: int, record: Told) -> None:
        """One record of one of STREAMS; the order of a stream within a shard matters, nothing else."""
        known = self.shards.get(shard)
        if known is None:
            known = self.shards[shard] = Shard()
        known.take(stream, record)

    def to_state(self) -> dict[str, Any]:
        """Plain data: dicts, lists, numbers, texts, bytes."""
        return {"format": FORMAT, "shards": to_plain(self.shards)}

    def load(self, state: dict[str, Any]) -> None:
        """Goes on where `to_state` was taken; msgspec.ValidationError if that is no state of this version."""
        if state.get("format") != FORMAT:
            raise msgspec.ValidationError(f"format {state.get('format')}, not {FORMAT}")
        self.shards = from_plain(state["shards"], dict[int, Shard])
