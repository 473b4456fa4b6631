"""Causes: which alarms belong together, and what is named first."""

import numpy as np
import pytest
from chunks import SCHEMA, config_of

from stream_app.evidence.causes import Kin, Subject, dependent, ranked
from stream_app.evidence.table import Table

MADE = '[[features]]\nname = "late"\nstat = "mean"\nof = "a"\nby = "c"\n'


def table(**columns) -> Table:
    names, n = tuple(columns), len(next(iter(columns.values())))
    unknown = np.full(n, np.nan)
    return Table(names, (False,) * len(names), {}, np.column_stack(list(columns.values())), unknown, unknown, unknown)


@pytest.mark.parametrize(
    ("a", "b", "one"),
    [
        ("feature:a", "missing:a", True),
        ("feature:late", "missing:a", True),  # computed from it
        ("feature:late", "feature:c", True),
        ("feature:a", "feature:c", None),  # the data have to tell
        ("missing:a", "unseen:c", None),
        ("error", "feature:a", True),
        ("error", "expired", True),
        ("prediction", "estimated_error", True),
        ("expired", "label_delay", True),
        ("expired", "feature:a", False),
        ("overdue", "rejects", False),
        ("rejects", "feature:a", True),
        ("rejects:type", "lateness", True),
        ("silence:x", "key", True),
    ],
)
def test_what_signals_are_says_whether_they_break_together(a: str, b: str, one: bool | None) -> None:
    kin = Kin(config_of(MADE, SCHEMA))

    assert kin.structural(Subject.named(a), Subject.named(b)) is one
    assert kin.structural(Subject.named(b), Subject.named(a)) is one


def test_what_follows_from_others_is_no_root() -> None:
    kin = Kin(config_of(""))

    assert [s.source for s in kin.roots(["error", "feature:a", "prediction"])] == ["feature"]
    assert [s.source for s in kin.roots(["error", "prediction"])] == ["error", "prediction"]


def rows(rng: np.random.Generator, n: int, *, tied: float = 0.0, a: float = 0.0, b: float = 0.0) -> Table:
    x, noise = rng.normal(size=n), rng.normal(size=n)
    return table(a=x + a, b=tied * x + np.sqrt(1 - tied**2) * noise + b)


def test_two_columns_have_one_cause_if_they_were_tied_or_the_same_happened_to_both() -> None:
    rng = np.random.default_rng(1)
    before, tied = rows(rng, 500), rows(rng, 500, tied=0.8)
    shifted, one, other = (rows(rng, 500, a=x, b=y) for x, y in ((1, 1), (1, 0), (0, 1)))
    gone = table(a=shifted.column("a"), b=np.where(rng.random(500) < 0.3, np.nan, rng.normal(size=500)))

    a, b = Subject.named("feature:a"), Subject.named("feature:b")

    assert dependent(before, shifted, a, b)  # both by a constant, at once
    assert not dependent(before, gone, a, b)  # one by a constant, the other begins to be missing
    assert not dependent(before, gone, a, Subject.named("missing:b"))
    assert dependent(before, one, a, b)  # of the other, which alarmed as well, the rows do not tell
    assert dependent(tied, other, a, b)
    assert dependent(rows(rng, 49), gone, a, b)  # too few to tell
    assert dependent(before, rows(rng, 5), a, b)
    assert not dependent(before, rows(rng, 5), a, Subject.named("missing:b"))


def seen(signal: str, statistic: float = 6.0, segment: str = "") -> dict:
    return {"signal": signal, "segment": segment, "statistic": statistic, "threshold": 5.0}


def change(feature: str, effect: float, kind: str = "shifted") -> dict:
    return {"feature": feature, "effect": effect, "kind": kind, "text": f"{feature} has {kind}"}


def names(alarms: list[dict], changes: list[dict]) -> list[str]:
    return [cause["signal"] for cause in ranked(alarms, changes, lambda part: f"{part['signal']} moved")]


def test_what_broke_first_is_named_first() -> None:
    alarms = [seen(s) for s in ("error", "prediction", "feature:b", "missing:a", "rejects:type")]

    assert names(alarms, []) == ["rejects:type", "missing:a", "feature:b", "prediction", "error"]


def test_of_columns_the_one_that_changed_most() -> None:
    alarms = [seen("feature:a", 99), seen("feature:b"), seen("error", 99)]

    assert names(alarms, [change("b", 0.5), change("a", 0.2)]) == ["feature:b", "feature:a", "error"]
    assert names(alarms, []) == ["feature:a", "feature:b", "error"]  # nothing known: the clearest alarm


def test_a_column_is_one_cause_and_says_what_happened_to_it() -> None:
    found = ranked([seen("feature:a"), seen("missing:a")], [change("a", 0.3, "missing")], str)

    assert found == [{"signal": "missing:a", "segment": "", "what": "a has missing", "kind": "missing"}]


def test_columns_that_nobody_watches_are_named_behind_those_that_alarmed_if_they_changed_much() -> None:
    others = [change(name, 0.9 - 0.1 * i) for i, name in enumerate("vwxyz")]

    assert names([seen("feature:a"), seen("error")], [*others, change("q", 0.05)]) == [
        "feature:a", "feature:v", "feature:w", "feature:x", "error",
    ]  # fmt: skip
