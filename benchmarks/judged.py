"""What is asked of a measured ratio, and whether it is met: the same words in all benchmarks of speed."""

import statistics
from collections.abc import Sequence
from typing import Any

from rich.console import Console


def judged(work: str, ratios: Sequence[float], asked: float, *, at_most: bool = False) -> dict[str, Any]:
    """The ratios' median beside what is asked, and their spread."""
    median = statistics.median(ratios)
    met = median <= asked if at_most else median >= asked
    found = {"work": work, "asked": asked, "at_most": at_most, "median": median}
    return found | {"min": min(ratios), "max": max(ratios), "met": met}


def missed(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Those that are not met, in words."""
    return [
        f"{row['work']} is {row['median']:.2f}, should be at {'most' if row['at_most'] else 'least'} {row['asked']:g}"
        for row in rows
        if not row["met"]
    ]


def tell(console: Console, problems: Sequence[str]) -> None:
    """Print what was missed, or that nothing was."""
    console.print("\n".join(f"MISSED {problem}" for problem in problems) or "all targets met", highlight=False)
