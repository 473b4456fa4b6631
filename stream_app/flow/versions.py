"""Versions: every model that was ever in charge or asked to be, where it came from, and the last ones themselves."""

from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from stream_app.config import Config, Model, digest
from stream_app.flow.outgoing import message
from stream_app.messages import Message, Origin
from stream_app.models.seal import packed

PART_BYTES = 512 << 10  # of an artefact in one record: in base64 below the smallest limit of a broker
REMEMBERED = 1000  # imported models, newest first to be forgotten last


@dataclass(slots=True)
class Version:
    """One model with its lineage."""

    name: str
    kind: str  # initial, configured, reset, fresh, fine-tuned, recurring or imported
    parent: str | None  # the champion that it began from, or beside
    model: Model
    home: str = ""  # lane of [[challengers]] that it was configured for
    trained: dict[str, Any] | None = None  # from_offset, to_offset, rows and passes of its replay
    why: str | None = None  # incident, trigger or reason
    championed: int = 0  # the how manieth champion it was last; 0: never

    def to_state(self) -> dict[str, Any]:
        return asdict(self) | {"model": msgspec.to_builtins(self.model)}

    @classmethod
    def of(cls, state: dict[str, Any]) -> "Version":
        return cls(**state | {"model": msgspec.convert(state["model"], Model)})


@dataclass(slots=True)
class Archived:
    """A version that is in no lane, and its model as plain data."""

    version: Version
    state: dict[str, Any]


class Versions:
    """Names and messages of versions; state: how many there were, the newest archived ones."""

    def __init__(self, config: Config, origin: Origin) -> None:
        self.origin, self.config, self.size = origin, digest(config), config.retrain.archive
        self.count, self.reigns = 0, 1
        self.added: list[str] = []  # triggers and digests of imported models: each is added once
        self.archived: list[Archived] = []

    def name(self) -> str:
        """The name of the next version."""
        self.count += 1
        return f"v{self.count}"

    def reign(self) -> int:
        """The number of the next champion's time in charge."""
        self.reigns += 1
        return self.reigns

    def archive(self, version: Version, state: dict[str, Any]) -> None:
        """Keeps a version; the oldest that was never in charge makes room, else the oldest."""
        self.archived.append(Archived(version, state))
        while len(self.archived) > self.size:
            spare = next((i for i, old in enumerate(self.archived) if not old.version.championed), 0)
            del self.archived[spare]

    def find(self, name: str) -> Archived | None:
        """An archived version."""
        return next((each for each in self.archived if each.version.name == name), None)

    def take(self, name: str) -> Archived | None:
        """An archived version that leaves the archive."""
        found = self.find(name)
        if found is not None:
            self.archived.remove(found)
        return found

    def message(self, version: Version, status: str, record: int, now_ms: int, **more: Any) -> Message:
        """What the stream `models` tells of a version when its status has changed."""
        value = {
            "version": version.name,
            "status": status,
            "kind": version.kind,
            "parent": version.parent,
            **{name: given for name, given in msgspec.to_builtins(version.model).items() if given or name == "params"},
            "trained": version.trained,
            "why": version.why,
            "config": self.config,
            "record": record,
            "time": now_ms,
            **more,
        }
        return message(self.origin, "models", f"{version.name}/{status}/{record}", version.name, now_ms, value)

    def parts(self, version: Version, document: bytes, record: int, now_ms: int, problem: str = "") -> list[Message]:
        """An artefact as records of the stream `archive`; with a problem, one that says why there is none."""
        data = packed(document)
        pieces = [data[at : at + PART_BYTES] for at in range(0, len(data), PART_BYTES)]
        head = {"version": version.name, "record": record, "time": now_ms, "parts": len(pieces)}
        told = {"problem": problem} if problem else {}
        return [
            message(
                self.origin, "archive", f"{version.name}/{record}/{number}", f"{version.name}/{number}", now_ms,
                {**head, "part": number, "data": b"" if problem else piece, **told},
            )
            for number, piece in enumerate(pieces)
        ]  # fmt: skip

    def to_state(self) -> dict[str, Any]:
        archived = [[each.version.to_state(), each.state] for each in self.archived]
        return {"count": self.count, "reigns": self.reigns, "added": [*self.added], "archived": archived}

    def load(self, state: dict[str, Any]) -> None:
        self.count, self.reigns, self.added = state["count"], state["reigns"], list(state["added"])
        self.archived = [Archived(Version.of(version), saved) for version, saved in state["archived"]]
