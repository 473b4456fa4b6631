"""One column of a sample: what its cells are, which are missing, whether it is a number, a time or a class.

A cell is CSV text or a JSON scalar and is read by the rules of `flow.cells`, so that what is a number here is a
number when the configuration runs.
"""

import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from stream_app.flow.cells import MISSING_WORDS, BadCell, number, text, time_ms
from stream_app.messages import NO_TIME

MAX_VALUES = 1000  # a text with more distinct values is no category; below the engine's max_categories
MAX_CLASSES = 256
GUESSED_CLASSES = 20  # a column of no telling name is taken for the label only if it has no more values
NUMERIC_SHARE = 0.99  # of the cells that are there; the rest would be dead letters
TESTABLE_ROWS = 20  # in fewer rows, shares and orders say nothing
ID_WORDS = {"id", "uuid", "guid", "key"}

Value = TypeVar("Value")

_MISSING = {word.lower() for word in MISSING_WORDS}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")


@dataclass
class Column:
    """One column of the sample: `cells[i]` of record i, None where it has none."""

    name: str
    cells: list[object]
    out: str = ""  # why it is left out of the fields; empty: it is one

    @cached_property
    def words(self) -> list[str]:
        """The words of the name: `labelTime_approx` → label, time, approx."""
        return [word.lower() for word in _WORD.findall(self.name)]

    @cached_property
    def texts(self) -> list[str | None]:
        """Each cell as a category; None where there is none. A cell that cannot be one counts in `unreadable`."""
        return _each(_text, self.cells)

    @cached_property
    def numbers(self) -> list[float]:
        """The cells that are numbers, missing ones not counted; true and false are categories."""
        return [value for value in _each(_number, self.cells) if not math.isnan(value)]

    @cached_property
    def times(self) -> list[int]:
        """Every cell as epoch ms; empty if any is missing or no time."""
        found = _each(_time, self.cells)
        return [] if NO_TIME in found else found

    @cached_property
    def some_times(self) -> bool:
        """Whether all cells that are there are times: a time that may be missing."""
        return bool(self.counts) and all(_time(value) != NO_TIME for value in self.counts)

    @cached_property
    def counts(self) -> Counter[str]:
        """The distinct values, words for missing ones left out."""
        counts = Counter(value for value in self.texts if value is not None)
        return Counter({value: count for value, count in counts.items() if not _is_missing(value)})

    @cached_property
    def unreadable(self) -> bool:
        """Whether most cells are objects, arrays or broken text."""
        broken = sum(cell is not None and not isinstance(cell, str | int | float) for cell in self.cells)
        return 2 * broken > len(self.cells)

    @cached_property
    def is_number(self) -> bool:
        return len(self.numbers) >= NUMERIC_SHARE * sum(self.counts.values()) > 0 and not self.coded

    @cached_property
    def is_whole(self) -> bool:
        return all(value.is_integer() for value in self.numbers)

    @cached_property
    def coded(self) -> bool:
        """Whether the numbers are names of things: whole, few and repeated, under a name such as customer_id."""
        few = len(self.counts) <= min(MAX_VALUES, len(self.cells) / 2)
        return bool(ID_WORDS & set(self.words)) and few and self.is_whole

    @cached_property
    def missing(self) -> int:
        """Records without a value, by the rules of the type."""
        if self.is_number:
            return len(self.cells) - sum(self.counts.values())
        return self.texts.count(None)

    @property
    def is_class(self) -> bool:
        """Whether the values can be classes: few, and each there again."""
        few = 2 <= len(self.counts) <= MAX_CLASSES and 2 * len(self.counts) <= len(self.cells)
        return few and (not self.is_number or (self.is_whole and len(self.counts) <= GUESSED_CLASSES))


def _is_missing(value: str | None) -> bool:
    return value is None or value.strip(" \t").lower() in _MISSING


def _text(cell: object) -> str | None:
    try:
        return text(cell)
    except BadCell:
        return None


def _number(cell: object) -> float:
    try:
        return math.nan if isinstance(cell, bool) else number(cell)
    except BadCell:
        return math.nan


def _time(cell: object) -> int:
    try:
        return time_ms(cell)
    except BadCell:
        return NO_TIME


def _each(read: Callable[[object], Value], cells: list[object]) -> list[Value]:
    """`read` of every cell, once per distinct text: sample columns repeat themselves."""
    known: dict[object, Value] = {}
    found = []
    for cell in cells:
        if not isinstance(cell, str):
            found.append(read(cell))
            continue
        if cell not in known:
            known[cell] = read(cell)
        found.append(known[cell])
    return found
