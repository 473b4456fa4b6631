"""The loop that closes: trigger → challenger → proof → promotion, or rollback by the same proof.

All of it is decided by records and takes effect at epoch boundaries, so that a replay decides the same:

    ask       a trigger (or a command) asks for a training on the labelled events since the onset
    begin     it starts when there are enough of them
    step      at each epoch the training replays some of them, beside the stream
    enter     the model becomes a version in the candidate's lane and predicts what the champion predicts
    judge     after each label: it is better, worse, or has had its time (`flow.trial`)
    promote   a better one takes the champion's place, and the champion before stays beside it, to come back if better
    leave     what is not needed goes to the archive; when a concept recurs an archived version may enter again
"""

from typing import Any

from msgspec import to_builtins

from stream_app.config import Config
from stream_app.errors import StateError
from stream_app.flow.chunk import Chunk
from stream_app.flow.commands import shown
from stream_app.flow.detect import Detect
from stream_app.flow.memory import Memory
from stream_app.flow.outgoing import cloud_event, metric
from stream_app.flow.score import CHAMPION, Lane, Score
from stream_app.flow.succession import Succession
from stream_app.flow.tracks import Tracks
from stream_app.flow.training import Training
from stream_app.flow.trial import Verdict
from stream_app.flow.versions import REMEMBERED, Version
from stream_app.messages import Message, Origin, Problem
from stream_app.models.artefact import Loaded, load
from stream_app.models.seal import unpacked, verified

FROZEN = ("onnx",)  # models that cannot be trained here: the configuration's is, in their place
OF_THE_CHAMPION = ("error", "prediction", "estimated_error")  # signals that are others when it is another


class Retraining:
    """State: the lanes, the memory, and the training that goes on."""

    def __init__(
        self, config: Config, origin: Origin, score: Score, tracks: Tracks, detect: Detect, key: bytes
    ) -> None:
        self.config, self.retrain, self.origin, self.score, self.detect = config, config.retrain, origin, score, detect
        self.loops = self.retrain.action in ("fine-tune", "challenge")
        self.remembers = self.loops or (bool(self.retrain.on) and self.retrain.action == "notify")
        width = len(score.inputs.numbers) + len(score.inputs.categories)
        self.memory = Memory(self.retrain.memory, width)
        self.lanes, self.key = Succession(config, origin, score, tracks, key), key
        self.asked: dict[str, Any] | None = None  # a training that waits for its rows
        self.training: Training | None = None

    @property
    def active(self) -> bool:
        """Whether something of it may take effect at any epoch."""
        candidate = self.score.candidate
        busy = self.asked is not None or self.training is not None
        return self.loops or busy or bool(candidate and candidate.model)

    # record by record

    def run(self, chunk: Chunk) -> None:
        """Remembers labelled events, judges the models beside the champion."""
        if not chunk.first and len(chunk.tape.order):
            self._introduce(chunk)
        kept, learned = self.score.kept, chunk.slot[chunk.learned]
        if self.remembers:
            columns: dict[str, Any] = {"offset": kept.offset, "time_ms": kept.time_ms, "id": kept.id, "X": kept.X}
            learned_rows = {name: column[learned] for name, column in columns.items()}
            self.memory.add(**learned_rows, target=chunk.value[chunk.learned])
        for j, lane in enumerate(self.score.lanes[1:], 1):
            if self._judged(lane):
                verdict = self.lanes.trials[lane.name].run(chunk.losses[:, 0], chunk.losses[:, j])
                if verdict is not None:
                    record = int(chunk.op_record[chunk.learned][verdict.row])
                    chunk.effects.append({"record": record, **self._effect(lane, verdict)})
                if chunk.closes:
                    chunk.out.messages.append(self._figures(lane, chunk))

    def _figures(self, lane: Lane, chunk: Chunk) -> Message:
        """How a trial stands."""
        assert lane.version is not None
        comparison = self.lanes.trials[lane.name].evidence()
        told = {"version": lane.version.name, "against": self.score.version, "comparison": comparison}
        return metric(self.origin, f"trial:{lane.name}", chunk.end, chunk.end_ms, told)

    def _introduce(self, chunk: Chunk) -> None:
        """The versions that the configuration begins with."""
        self.lanes.place = 0, int(chunk.clock_ms[0])
        for lane in self.score.lanes:
            if lane.version is not None:
                self.lanes.tell(lane.version, "champion" if lane.name == CHAMPION else "challenger")
        chunk.out.messages += self.lanes.take_told()

    def _judged(self, lane: Lane) -> bool:
        if lane.version is None:
            return False
        if lane is not self.score.candidate:
            return self.loops
        return self.retrain.rollback or not lane.version.championed

    def _effect(self, lane: Lane, verdict: Verdict) -> dict[str, Any]:
        """What a verdict makes of the model in a lane."""
        assert lane.version is not None
        told = {"version": lane.version.name, "by": "policy", "evidence": verdict.evidence}
        if verdict.outcome == "better":
            better = "promote" if self.retrain.gate is None else "propose"
            what = "rollback" if lane.version.championed else better
            return {"command": what, **told, "against": self.score.version}
        stays = lane.version.championed and verdict.outcome == "worse" and not verdict.over  # it may be better again
        leaves = lane is self.score.candidate and not stays
        return {"command": "retire" if leaves else "again", **told, "why": verdict.outcome}

    def refusal(self, command: dict[str, Any]) -> Problem | None:
        """Why a command cannot be obeyed."""
        what, name = command["command"], command.get("version")
        lanes = [lane.version.name for lane in self.score.lanes if lane.version is not None]
        known = lanes + [each.version.name for each in self.lanes.versions.archived]
        if what == "promote" and name not in known:
            return Problem(f"no version {name!r} is kept; kept: {', '.join(known)}", "$.version")
        if what == "rollback" and self.lanes.predecessor is None:
            return Problem("no version was in charge before this one, or it is no longer kept", "$.command")
        if what == "retire" and name not in lanes[1:]:
            beside = ", ".join(lanes[1:]) or "none"
            return Problem(f"version {name!r} is not beside the champion; beside it: {beside}", "$.version")
        if what == "add":
            return self._misfit(command)
        if what == "retrain" and not (self.loops and self.score.candidate):
            needed = 'needs retrain.action = "challenge" or "fine-tune", and retrain.on or [[challengers]]'
            return Problem(f"{needed} in the configuration", "$.command")
        return None

    # at epoch boundaries

    def apply(self, effect: dict[str, Any], record: int, now_ms: int) -> tuple[dict[str, Any] | None, list[Message]]:
        """Carries out one effect; the entry of the audit (None: nothing happened) and what `models` tells."""
        self.lanes.place = record, now_ms
        entry = {"what": effect["command"], "why": effect.get("why"), "by": effect.get("by")}
        made = getattr(self, "_" + effect["command"].replace("-", "_"))(effect)
        return (None if made is None else entry | made), self.lanes.take_told()

    def step(self, record: int, now_ms: int) -> list[Message]:
        """Trains on; a training that has ended becomes the candidate."""
        self.lanes.place = record, now_ms
        if self.asked is not None:
            self._begin(self.asked)
        if self.training is not None:
            self.training.step(max(1, int(self.retrain.pace * self.config.engine.epoch)))
            if self.training.finished:
                training, self.training = self.training, None
                self.lanes.enter(*self.lanes.fittest(training))
        return self.lanes.take_told()

    def _reset(self, effect: dict[str, Any]) -> dict[str, Any]:
        """A fresh champion."""
        old = self.lanes.vacate(self.score.champion)
        assert old is not None
        version = Version(self.lanes.versions.name(), "reset", old[0].name, old[0].model, why=effect.get("why"))
        self.lanes.archive(*old)
        self.lanes.crown(version, self.score.made(version.model))
        return {"version": version.name}

    def _retrain(self, effect: dict[str, Any]) -> dict[str, Any]:
        """Asks for a training, in place of one that waits or goes on; it begins when there are rows enough."""
        self.asked, self.training = {"from_offset": effect.get("from_offset", 0), "why": effect.get("why")}, None
        return {"version": self.score.version}

    def _begin(self, asked: dict[str, Any]) -> None:
        """Starts the training on the labelled events from the offset on, if there are enough of them."""
        rows = self.memory["offset"] >= asked["from_offset"]
        if rows.sum() < min(self.retrain.least, self.retrain.memory):
            return
        offset, X, target = (self.memory[name][rows] for name in ("offset", "X", "target"))
        champion, fine = self.score.champion.version, self.retrain.action == "fine-tune"
        assert champion is not None
        spec = self.config.model if champion.model.use in FROZEN else champion.model
        model = self.score.made(spec)
        if fine and spec is champion.model:
            model.load(self.score.champion_model.to_state())
        place = {"from_offset": int(offset.min()), "to_offset": int(offset.max())}
        about = {"kind": "fine-tuned" if fine else "fresh", "parent": champion.name, "why": asked["why"]}
        about |= {"model": to_builtins(spec), "trained": {"rows": len(offset), "passes": self.retrain.passes, **place}}
        self.asked, self.training = None, Training(model, about, X, target, self.retrain.passes)

    def _promote(self, effect: dict[str, Any]) -> dict[str, Any] | None:
        """The version becomes the champion; None if it is no longer there, or was proven against another champion."""
        name = str(effect.get("version"))
        if effect.get("against", self.score.version) != self.score.version or name == self.score.version:
            return None
        lane, evidence = self.score.lane_of(name), effect.get("evidence")
        found = self.lanes.vacate(lane) if lane is not None else self.lanes.revived(name)
        if found is None:
            return None
        old = self.lanes.vacate(self.score.champion)
        assert old is not None
        self.lanes.crown(*found, evidence=evidence)
        self.lanes.stand_by(*old)
        for signal in OF_THE_CHAMPION:
            self.detect.restart(signal)
        return {"version": name, "evidence": evidence} if evidence else {"version": name}

    def _add(self, effect: dict[str, Any]) -> dict[str, Any] | None:
        """A model from outside becomes the candidate, or the champion at once; None if it was added before."""
        given = effect.get("trigger") or shown(effect)["artefact"]
        if given in self.lanes.versions.added:
            return None
        self.lanes.versions.added = [*self.lanes.versions.added, given][-REMEMBERED:]
        loaded, why = self._loaded(effect), effect.get("trigger") or effect.get("why")
        version = Version(self.lanes.versions.name(), "imported", self.score.version, loaded.model, why=why)
        self.lanes.enter(version, loaded.scoring)
        if effect.get("promote"):
            self._promote({"version": version.name})
        return {"version": version.name, "left_out": loaded.told()}

    def _loaded(self, command: dict[str, Any]) -> Loaded:
        """ValueError or StateError says why an artefact cannot be taken."""
        document = verified(unpacked(command["artefact"]), self.key)
        config = self.config
        return load(document, config.task, self.score.inputs, self.score.classes, config.engine.seed)

    def _misfit(self, command: dict[str, Any]) -> Problem | None:
        if self.score.candidate is None:
            return Problem("there is no lane for a candidate: configure [retrain] on, or [[challengers]]", "$.command")
        try:
            self._loaded(command)
        except KeyError:
            return Problem("missing: the model", "$.artefact")
        except (ValueError, StateError) as error:
            return Problem(str(error), "$.artefact")
        return None

    def _propose(self, effect: dict[str, Any]) -> dict[str, Any] | None:
        """Asks the gate about a version that is proven; None if it is no longer there, or the champion is another."""
        lane = self.score.lane_of(effect["version"])
        if lane is None or lane.version is None or effect["against"] != self.score.version:
            return None
        told: dict[str, Any] = {name: effect[name] for name in ("version", "evidence")}
        data = {"model": CHAMPION, "against": effect["against"], **told}
        place = f"{effect['version']}/{self.lanes.place[0]}"
        self.lanes.tell(lane.version, "proposed", evidence=effect["evidence"])
        self.lanes.told.append(
            cloud_event(self.origin, "triggers", "promotion", place, CHAMPION, self.lanes.place[1], data)
        )
        return told

    def _rollback(self, effect: dict[str, Any]) -> dict[str, Any] | None:
        """The champion before comes back, or the version named."""
        return self._promote({"version": self.lanes.predecessor, **effect})

    def _retire(self, effect: dict[str, Any]) -> dict[str, Any] | None:
        """The candidate leaves; a challenger stays, and is judged anew."""
        lane = self.score.lane_of(str(effect.get("version")))
        if lane is None or lane is self.score.champion:
            return None
        told: dict[str, Any] = {name: effect[name] for name in ("version", "evidence") if name in effect}
        if lane is self.score.candidate:
            self.lanes.leave(lane, verdict=effect.get("why"), evidence=effect.get("evidence"))
        else:
            self.lanes.trials[lane.name].begin()
        return told

    def _again(self, effect: dict[str, Any]) -> None:
        """One that stays is judged anew, unless a command has made it the champion meanwhile."""
        lane = self.score.lane_of(str(effect.get("version")))
        if lane is None or lane is self.score.champion:
            return
        trial = self.lanes.trials[lane.name]
        if lane is self.score.candidate:
            trial.again()
        else:
            trial.begin()

    def _set_reference(self, effect: dict[str, Any]) -> dict[str, Any]:
        self.detect.restart(str(effect.get("signal")))
        return {"signal": effect.get("signal")}

    # state

    def to_state(self) -> dict[str, Any]:
        return {
            "lanes": self.lanes.to_state(),
            "memory": self.memory.to_state(),
            "asked": self.asked,
            "training": self.training.to_state() if self.training else None,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.lanes.load(state["lanes"])
        self.memory.load(state["memory"])
        self.asked = state["asked"]
        saved = state["training"]
        if saved is not None:
            version = Version.of({"name": "", **saved["about"]})
            self.training = Training.of(saved, self.score.made(version.model))
