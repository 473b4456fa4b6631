"""Succession: which version stands in which lane, and what becomes of the one that was there before."""

from typing import Any

import numpy as np

from stream_app.config import Config
from stream_app.flow.score import Lane, Score
from stream_app.flow.tracks import Tracks
from stream_app.flow.training import Training
from stream_app.flow.trial import Trial
from stream_app.flow.versions import Version, Versions
from stream_app.messages import Message, Origin
from stream_app.models import ScoringModel
from stream_app.models.artefact import export
from stream_app.models.seal import sign

Found = tuple[Version, ScoringModel]


class Succession:
    """Moves models between the lanes and the archive, and tells of it; state: the versions and the trials.

    A trial compares what stands in a lane with the champion: it begins anew when either of them changes.
    """

    def __init__(self, config: Config, origin: Origin, score: Score, tracks: Tracks, key: bytes) -> None:
        self.config, self.score, self.tracks, self.key = config, score, tracks, key
        self.versions = Versions(config, origin)
        self.versions.count = sum(lane.version is not None for lane in score.lanes)
        regression = config.task.type == "regression"
        limits = config.retrain.confidence, config.retrain.trial, config.retrain.proof
        self.trials = {lane.name: Trial(*limits, regression=regression) for lane in score.lanes[1:]}
        self.told: list[Message] = []
        self.place = 0, 0  # record and time of what is told

    def take_told(self) -> list[Message]:
        """What is to be told since the last call."""
        told, self.told = self.told, []
        return told

    def tell(self, version: Version, status: str, **more: Any) -> None:
        """A version has a new status."""
        self.told.append(self.versions.message(version, status, *self.place, **more))

    @property
    def predecessor(self) -> str | None:
        """The version that was in charge last, where it is still there."""
        candidate = self.score.candidate
        if candidate is not None and candidate.version is not None and candidate.version.championed:
            return candidate.version.name
        former = [each.version for each in self.versions.archived if each.version.championed]
        return max(former, key=lambda version: version.championed).name if former else None

    def fittest(self, training: Training) -> tuple[Version, ScoringModel]:
        """The trained model, or an archived champion that fits the newest of its rows better."""
        version, model = Version.of({"name": self.versions.name(), **training.about}), training.model
        best = self._loss(training.judged, training.target[-len(training.judged) :])
        for old in self.versions.archived:
            rival = self.score.made(old.version.model)
            rival.load(old.state)
            rows = len(training.judged)
            loss = self._loss(rival.peek(training.X[-rows:]), training.target[-rows:]) if rows else np.inf
            if old.version.championed and loss < best:
                best, model = loss, rival
                lineage = old.version.name, old.version.model, "", old.version.trained, version.why
                version = Version(version.name, "recurring", *lineage)
        return version, model

    def _loss(self, scores: Any, target: Any) -> float:
        """Mean loss of those predicted; infinite without any."""
        code, value = self.score.decide(scores)
        losses = np.abs(value - target) if self.config.task.type == "regression" else code != target
        told = ~np.isnan(value)
        return float(losses[told].mean()) if told.any() else float("inf")

    def enter(self, version: Version, model: ScoringModel) -> None:
        """Into the candidate's lane; what was there leaves."""
        lane = self.score.candidate
        assert lane is not None
        self.leave(lane)
        self._set(lane, version, model)
        self.tell(version, "candidate")

    def _set(self, lane: Lane, version: Version | None, model: ScoringModel | None) -> None:
        self.score.place(lane, version, model)
        if lane is not self.score.champion:
            self.tracks.forget(self.score.lanes.index(lane))
            self.trials[lane.name].begin()

    def vacate(self, lane: Lane) -> Found | None:
        """Takes a lane's model out; None if it is empty."""
        if lane.version is None or lane.model is None:
            return None
        found = lane.version, lane.model
        self._set(lane, None, None)
        return found

    def revived(self, name: str) -> Found | None:
        """An archived version with its model."""
        found = self.versions.take(name)
        if found is None:
            return None
        model = self.score.made(found.version.model)
        model.load(found.state)
        return found.version, model

    def crown(self, version: Version, model: ScoringModel, **more: Any) -> None:
        """A new champion: everyone is judged against it from now on."""
        self._set(self.score.champion, version, model)
        version.championed = self.versions.reign()
        for trial in self.trials.values():
            trial.begin()
        self.tell(version, "champion", **more)
        self._write(version, model)

    def stand_by(self, version: Version, model: ScoringModel) -> None:
        """The champion before, beside the new one for a trial."""
        lane = self.score.candidate
        if lane is None:
            self.archive(version, model)
            return
        self.leave(lane)
        self._set(lane, version, model)
        self.tell(version, "predecessor")

    def leave(self, lane: Lane, **more: Any) -> None:
        """Empties a lane: its version goes home to the lane it was configured for, else to the archive."""
        found = self.vacate(lane)
        if found is None:
            return
        version, model = found
        home = next((each for each in self.score.lanes if each.name == version.home and each.version is None), None)
        if home is None:
            self.archive(version, model, **more)
        else:
            self._set(home, version, model)
            self.tell(version, "challenger", **more)

    def archive(self, version: Version, model: ScoringModel, **more: Any) -> None:
        """Out of the lanes, and kept for a while."""
        self.versions.archive(version, model.to_state())
        self.tell(version, "archived", **more)
        self._write(version, model)

    def document(self, version: Version, model: ScoringModel) -> bytes:
        """The signed artefact of a model as it is now; ValueError if no document holds it."""
        about = {"version": version.name, "kind": version.kind, "parent": version.parent}
        config, score = self.config, self.score
        return sign(export(version.model, model, config.task, score.inputs, score.classes, about), self.key)

    def current(self, name: str) -> bytes | None:
        """The signed artefact of a version as it is now; None if it is in no lane."""
        lane = self.score.lane_of(name)
        if lane is None or lane.version is None or lane.model is None:
            return None
        return self.document(lane.version, lane.model)

    def _write(self, version: Version, model: ScoringModel) -> None:
        """The model itself into the archive."""
        try:
            self.told += self.versions.parts(version, self.document(version, model), *self.place)
        except ValueError as error:  # too large, or with parameters that no document holds
            self.told += self.versions.parts(version, b"", *self.place, problem=str(error))

    def to_state(self) -> dict[str, Any]:
        trials = {name: trial.to_state() for name, trial in self.trials.items()}
        return {"versions": self.versions.to_state(), "trials": trials}

    def load(self, state: dict[str, Any]) -> None:
        self.versions.load(state["versions"])
        for name, trial in self.trials.items():
            trial.load(state["trials"][name])
