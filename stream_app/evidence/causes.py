"""Which alarms have one cause, and what that cause is most likely to be.

Near in time is not enough: two things may break in one hour. Two alarms near each other are taken to have one cause if
- one signal follows from the other: they watch the same column, or columns one of which is computed from the other; the
  prediction and the error follow from every input; what happens to whole records (rejects, silence) touches all;
- or their columns depended on each other before (rank correlation, correlation ratio or Cramér's V of at least `TIED`);
- or the same happened to both: two columns that begin to be missing in the same moment are one broken join.
Otherwise, and where labels stop while a column changes, they are two incidents. Where the rows do not tell, time alone
decides.
"""

from typing import Any, NamedTuple

from stream_app.config import Config
from stream_app.evidence.attribution import Table, associated, changes

COLUMN = ("feature", "missing", "unseen", "range", "frozen")  # signals of one column
LABELS = ("expired", "overdue", "label_delay")
MODEL = ("prediction", "error", "estimated_error", "features")  # these follow from any column

TIED = 0.3  # dependence from which two columns tell of one cause
FEW = 50  # rows on a side below which nothing is said of dependence
EVIDENT = 0.1  # effect from which a column that no detector watches, or has not alarmed, is named as well
ALSO = 3  # of them at most
MOST = 20  # causes named

TIERS = {  # what broke first is the cause of what follows from it
    **dict.fromkeys(("gap", "lag", "rejects", "silence"), 0),
    **dict.fromkeys(("missing", "unseen", "range", "frozen", *LABELS), 1),
    **dict.fromkeys(("feature", "lateness", "key"), 2),
    **dict.fromkeys(("prediction", "estimated_error", "features"), 4),
    "error": 5,
}
UNALARMED = 3


class Subject(NamedTuple):
    """A signal's source (`feature`, `missing`, …) and what it is of: a column, a key, a kind of reject."""

    source: str
    of: str

    @classmethod
    def named(cls, signal: str) -> "Subject":
        source, _, of = signal.partition(":")
        return cls(source, of)


class Kin:
    """Which columns follow from which others, by the configuration."""

    def __init__(self, config: Config) -> None:
        self._made_of = {feature.name: {feature.name, feature.of, feature.by} - {None} for feature in config.features}

    def columns(self, subject: Subject) -> set[str | None]:
        """The columns that a signal is of or made from."""
        return self._made_of.get(subject.of, {subject.of}) if subject.source in COLUMN else set()

    def structural(self, a: Subject, b: Subject) -> bool | None:
        """Whether two signals have one cause by what they are; None where only the data can tell."""
        if a.source in MODEL or b.source in MODEL:
            return True
        if (a.source in LABELS) != (b.source in LABELS):
            return False
        if a.source in COLUMN and b.source in COLUMN:
            return True if self.columns(a) & self.columns(b) else None
        return True

    def roots(self, signals: list[str]) -> list[Subject]:
        """Those that do not follow from others; all, if each does."""
        subjects = [Subject.named(signal) for signal in signals]
        return [subject for subject in subjects if subject.source not in MODEL] or subjects


def dependent(before: Table, after: Table, a: Subject, b: Subject) -> bool:
    """Whether the columns of two signals depended on each other before, or the same happened to both."""
    if len(before) < FEW or associated(before, a.of, b.of) >= TIED:
        return True
    both = {a.of, b.of}
    kinds = {found["feature"]: found["kind"] for found in changes(before.of(both), after.of(both))}
    first, second = (kinds.get(each.of) if each.source == "feature" else each.source for each in (a, b))
    unclear = first is None or second is None  # a detector sees a change before two samples tell it from chance
    return a.source == b.source if unclear else first == second


def ranked(seen: list[dict[str, Any]], found: list[dict[str, Any]], said: Any) -> list[dict[str, Any]]:
    """What most likely began it first: `seen` are the alarms' evidence, `found` the columns that changed.

    One entry a column: its most telling signal, what happened to it in words (those of its change, or what `said`
    makes of the evidence) and the kind of the change; among them columns that changed as much without an alarm.
    """
    change = {part["feature"]: part for part in found}
    entries: dict[str, tuple[tuple[float, ...], dict[str, Any]]] = {}
    for part in seen:
        source, of = Subject.named(part["signal"])
        column = of if source in COLUMN or of in change else part["signal"]
        known = change.get(column)
        effect = known["effect"] if known else 0.0
        tier = TIERS["feature" if known and known["kind"] == "renamed" and source == "silence" else source]
        order = (tier, not part.get("worse", True), -effect, -strength(part))
        what = known["text"] if known else said(part)
        entry = {"signal": part["signal"], "segment": part["segment"], "what": what, "kind": known and known["kind"]}
        if column not in entries or order < entries[column][0]:
            entries[column] = order, entry
    also = [part for part in found if part["feature"] not in entries and part["effect"] >= EVIDENT][:ALSO]
    for part in also:
        entry = {"signal": f"feature:{part['feature']}", "segment": "", "kind": part["kind"]}
        entries[part["feature"]] = (UNALARMED, False, -part["effect"], 0.0), entry | {"what": part["text"]}
    return [entry for _, entry in sorted(entries.values(), key=lambda item: item[0])][:MOST]


def strength(part: dict[str, Any]) -> float:
    """How far the statistic is beyond its threshold."""
    return float(part["statistic"] / part["threshold"]) if part["threshold"] else float(part["statistic"])
