"""A/B comparisons as people read them: a table of both arms, and one sentence."""

from typing import Any

from rich.markup import escape

from stream_app.config import Config
from stream_app.edges.terminal import ERR, OUT, whole

KPIS = {"loss": "loss", "champion_loss": "champion's loss on them", "label": "label"}
Figures = dict[str, Any]


def print_ab(config: Config, told: list[tuple[int, list[Figures]]]) -> None:
    """Each shard's comparison that goes on, behind one line for each of those before."""
    if not told:
        ERR.print(f"{config.name}: no line of the metrics yet, one comes every {config.measure.every:,} records")
    for shard, comparisons in told:
        head = f"shard {shard}: " if len(told) > 1 else ""
        for before in comparisons[:-1]:
            if before["arms"]["B"]["version"]:
                OUT.print(f"{head}{escape(_place(before))}: {escape(sentence(before))}", soft_wrap=True)
        newest = comparisons[-1]
        OUT.print(f"{head}{escape(_place(newest))}", soft_wrap=True)
        OUT.print(_table(newest))
        OUT.print(escape(sentence(newest)), soft_wrap=True)
        if imbalance := _imbalance(newest):
            OUT.print(escape(imbalance), soft_wrap=True)


def _place(figures: Figures) -> str:
    a, b = (figures["arms"][name]["version"] or "none" for name in "AB")
    span = f"records {figures['since']:,} to {figures['record']:,}"
    return f"A {a}, B {b} (lane {figures['lane']}, {figures['share']:.3g} by {figures['by']}), {span}"


def _table(figures: Figures) -> Any:
    shown = [kpi for kpi in KPIS if figures["arms"]["A"][kpi] is not None]
    table = whole("arm", "model", "events", "labels", *(KPIS[kpi] for kpi in shown))
    for name, arm in figures["arms"].items():
        counts = f"{arm['events']:,}", f"{arm['labels']:,}"
        table.add_row(name, escape(arm["version"] or "none"), *counts, *(_with_interval(arm[kpi]) for kpi in shown))
    gaps = figures["difference"]
    table.add_row("B - A", "", "", "", *(_with_interval(gaps[kpi], "+") for kpi in shown))
    return table


def _with_interval(figure: Figures, sign: str = "") -> str:
    if figure["mean"] is None:
        return "-"
    ends = " to ".join(f"{end:{sign}.4g}" for end in figure["interval"] or ())
    return f"{figure['mean']:{sign}.4g}" + (f" ({ends})" if ends else "")


def sentence(figures: Figures) -> str:
    """Which arm is better by how much, or how far the comparison is from saying so."""
    if figures["arms"]["B"]["version"] is None:
        return f"no model in lane {figures['lane']}: everyone gets the champion's predictions"
    gap = figures["difference"]["loss"]
    if gap is None:
        return "not decided: this task has no loss"
    if gap["mean"] is None:
        return "not decided yet: an arm has no label"
    if figures["better"] is None:
        more = figures["labels_more"]
        wait = f"about {rounded(more):,} labels more" if more is not None else "far more labels than can be told"
        return f"not decided yet; {wait} at this difference, {gap['mean']:+.4g}"
    low, high = sorted(abs(end) for end in gap["interval"])
    level, labels = figures["level"], sum(arm["labels"] for arm in figures["arms"].values())
    by = f"by {abs(gap['mean']):.4g} (between {low:.4g} and {high:.4g}, at {level:.0%})"
    return f"{figures['better']} is better: its loss is less {by}, on {labels:,} labels"


def rounded(number: int) -> int:
    """To two digits, for it is an estimate.

    >>> rounded(12_345), rounded(7)
    (12000, 7)
    """
    return int(float(f"{number:.2g}"))


def _imbalance(figures: Figures) -> str:
    """Whether the arms differ by more than their models."""
    gap = figures["difference"]["champion_loss"]
    if gap is None or gap["interval"] is None or gap["interval"][0] <= 0 <= gap["interval"][1]:
        return ""
    why = "their keys differ, or what is given out changes the labels"
    return f"the champion's own loss is {gap['mean']:+.4g} on the events of B: {why}"
