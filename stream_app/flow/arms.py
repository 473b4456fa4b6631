"""Arms: a share of the keys gets the predictions of the model in another lane; which arm does better, by its labels.

An event is of arm B if hash(salt + key) / 2^64 lies below the share, so that a larger share keeps all keys of arm B.
What is compared is one champion and one model of the lane: the comparison begins anew when either is another one, and
only events that were predicted and labelled within it count. While the lane is empty everyone gets the champion.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from xxhash import xxh3_64_intdigest

from stream_app.config import Config
from stream_app.evidence.sequences import Sequence, difference, labels_more
from stream_app.flow.join import Kept
from stream_app.messages import ARMS, Floats, Ints, Predictions, Rows

LEVEL = 0.95  # of every interval
LOSS, BESIDE, LABEL = "loss", "champion_loss", "label"  # of what was given out; the champion's on the same events


class Arms:
    """Who gets what, and what came of it; state: the comparison that goes on."""

    def __init__(self, config: Config, kept: Kept) -> None:
        assert config.ab is not None
        self.ab, self.kept = config.ab, kept
        self.by = config.ab.by or ("key" if config.schema.key else "id")
        self.limit = np.uint64(math.ceil(config.ab.share * 2.0**64))
        self.regression, self.anomaly = config.task.type == "regression", config.task.type == "anomaly"
        self.kpis = [LABEL] if self.anomaly else [LOSS, BESIDE, LABEL]
        if config.task.type == "multiclass":
            self.kpis.remove(LABEL)
        kept.shared = True
        self.begin([None, None], 0)

    def begin(self, versions: list[str | None], record: int) -> None:
        """A new comparison, of these versions of A and B; what was given out before is no part of it."""
        self.versions, self.since = versions, record
        self.counts = np.zeros((len(ARMS), 3), np.int64)  # events, of them given the champion's in B, labels
        self.sequences = [{kpi: Sequence(bounded=not self.regression) for kpi in self.kpis} for _ in ARMS]
        self.kept.arm[:] = 0

    # serving

    def assign(self, events: Rows) -> Ints:
        """The arm of each event: by its key, or by its id where it has none."""
        names = events.id.tolist()
        if self.by == "key":
            names = [event_id if key is None else key for key, event_id in zip(events.key, names, strict=True)]
        hashed = np.array([xxh3_64_intdigest((self.ab.salt + name).encode()) for name in names], np.uint64)
        return (hashed < self.limit).astype(np.int64)

    def share_out(self, champion: Predictions, other: tuple[Any, Floats], events: Rows, slots: Ints) -> Predictions:
        """What is given out: in arm B what the other lane says, in A and where that says nothing the champion's."""
        arm = self.assign(events)
        mine = (arm == 1) & ~np.isnan(other[1])
        code, score = np.where(mine, other[0], champion.code), np.where(mine, other[1], champion.score)
        if self.versions[1] is not None:
            self.kept.arm[slots] = 1 + arm
            self.kept.served[slots] = score if self.regression else code
            self.counts[:, 0] += np.bincount(arm, minlength=2)
            self.counts[1, 1] += np.count_nonzero(arm) - np.count_nonzero(mine)
        version: Any = champion.version
        if mine.any():
            version = np.array([champion.version, self.versions[1]], object)[mine.astype(np.int64)].tolist()
        return replace(champion, version=version, code=code, score=score, arm=arm.astype(np.uint8))

    # labels

    def learn(self, slots: Ints, truth: Floats, champion_loss: Floats) -> None:
        """Takes labels, in their order, with the champion's loss on each."""
        arm, served = self.kept.arm[slots], self.kept.served[slots]
        lost = np.abs(served - truth) if self.regression else np.where(served < 0, np.nan, served != truth)
        columns = {LOSS: lost, BESIDE: champion_loss, LABEL: truth}
        for number, sequences in enumerate(self.sequences):
            rows = arm == 1 + number
            self.counts[number, 2] += np.count_nonzero(rows)
            for kpi, sequence in sequences.items():
                sequence.add(columns[kpi][rows])

    def figures(self) -> dict[str, Any]:
        """Both arms, what B differs by, and which is better (None: not decided)."""
        a, b = self.sequences
        gaps = {kpi: difference(a[kpi], b[kpi], 1 - LEVEL) if kpi in a else None for kpi in (LOSS, BESIDE, LABEL)}
        apart = (gaps[LOSS] or {}).get("interval")
        better = None if apart is None else "A" if apart[0] > 0 else "B" if apart[1] < 0 else None
        return {
            "lane": self.ab.lane,
            "share": self.ab.share,
            "by": self.by,
            "level": LEVEL,
            "sequence": "asymptotic" if self.regression else "bounded",
            "since": self.since,
            "arms": {name: self._arm(number) for number, name in enumerate(ARMS)},
            "difference": gaps,
            "better": better,
            "labels_more": 0 if better else labels_more(a[LOSS], b[LOSS], 1 - LEVEL) if LOSS in a else None,
        }

    def _arm(self, number: int) -> dict[str, Any]:
        sequences = self.sequences[number]
        events, fallback, labels = self.counts[number].tolist()
        return {
            "version": self.versions[number],
            "events": events,
            "fallback": fallback,
            "labels": labels,
            **{kpi: _told(sequences[kpi]) if kpi in sequences else None for kpi in (LOSS, BESIDE, LABEL)},
        }

    # state

    def to_state(self) -> dict[str, Any]:
        sequences = [{kpi: each.to_state() for kpi, each in arm.items()} for arm in self.sequences]
        return {
            "versions": list(self.versions),
            "since": self.since,
            "counts": self.counts.copy(),
            "sequences": sequences,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.versions, self.since, self.counts = list(state["versions"]), state["since"], state["counts"].copy()
        for arm, saved in zip(self.sequences, state["sequences"], strict=True):
            for kpi, sequence in arm.items():
                sequence.load(saved[kpi])


def _told(sequence: Sequence) -> dict[str, Any]:
    return {"n": sequence.n, "mean": sequence.mean, "interval": sequence.interval(1 - LEVEL)}
