"""Small plots of plain characters: a series over time with marks, a share as a bar. No colours, no escape codes."""

from collections.abc import Mapping, Sequence

import numpy as np

from stream_app.messages import Floats

BLOCKS = " ▁▂▃▄▅▆▇█"
HEIGHT = 5
WIDE = 4  # columns for each value, at most, where there are few
MARGIN = 10  # columns for the figures at the left

Points = Sequence[tuple[int, float]]  # time and value, in order of time


def bar(share: float, width: int) -> str:
    """A share of 0 to 1 as a bar of at most `width` columns.

    >>> bar(0.5, 8), bar(0.05, 8)
    ('████', '▍')
    """
    eighths = round(8 * width * min(1.0, max(0.0, share)))
    rest = " ▏▎▍▌▋▊▉"[eighths % 8]
    return ("█" * (eighths // 8) + rest).rstrip()


def plot(points: Points, marks: Mapping[str, int], width: int) -> list[str]:
    r"""A series as lines of text: means of equal stretches of time, from the least to the largest; marks below.

    >>> print("\n".join(plot([(0, 0.0), (1, 1.0), (2, 4.0)], {"here": 1}, 40)))
             4 ┤        ████
               ┤        ████
               ┤        ████
               ┤    ▃▃▃▃████
             0 ┤▁▁▁▁████████
                    ^ here
    """
    room = max(1, width - MARGIN - 2)
    columns = min(room, len(points))
    wide = min(room // columns, WIDE)
    first, last = points[0][0], points[-1][0]
    heights = _columns(points, columns)
    low, high = float(np.nanmin(heights)), float(np.nanmax(heights))
    span = high - low or 1.0
    levels = [0 if h != h else 1 + round((8 * HEIGHT - 1) * (h - low) / span) for h in heights.tolist()]
    lines = []
    for row in reversed(range(HEIGHT)):
        figure = f"{high:.4g}" if row == HEIGHT - 1 else f"{low:.4g}" if row == 0 else ""
        lines.append(
            f"{figure:>{MARGIN}} ┤"
            + "".join(BLOCKS[min(8, max(0, n - 8 * row))] for n in levels for _ in range(wide)).rstrip()
        )
    for text, at in marks.items():
        if first <= at <= last:
            column = MARGIN + 2 + wide * _place(at, first, last, columns)
            right = column + len(text) + 2 <= width
            lines.append(" " * column + f"^ {text}" if right else f"{text} ^".rjust(column + 1))
    return lines


def _place(at: int, first: int, last: int, columns: int) -> int:
    return min(columns - 1, int(columns * (at - first) / max(1, last - first)))


def _columns(points: Points, columns: int) -> Floats:
    """Mean of the values in each stretch; NaN where there are none."""
    first, last = points[0][0], points[-1][0]
    place = [_place(at, first, last, columns) for at, _ in points]
    sums = np.bincount(place, [value for _, value in points], columns)
    counts = np.bincount(place, minlength=columns)
    means: Floats = np.divide(sums, counts, out=np.full(columns, np.nan), where=counts > 0)
    return means
