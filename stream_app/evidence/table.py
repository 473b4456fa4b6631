"""Rows of events as one table: what attribution and estimates of harm are made from."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np

from stream_app.messages import Floats

LARGEST = 1e150  # larger numbers count as missing, as they do for the models: their squares would overflow


@dataclass(frozen=True, slots=True)
class Table:
    """Some events: their columns, and what the champion made of each. Missing or not known yet is NaN."""

    names: tuple[str, ...]  # inputs, computed features, category fields
    categories: tuple[bool, ...]  # of each column
    texts: dict[str, list[str]]  # category column → text of its codes
    x: Floats  # [events, columns]; a category is its code
    score: Floats  # [events] the champion's score
    expected: Floats  # [events] the loss expected before the label is known
    error: Floats  # [events] the loss realised

    def __len__(self) -> int:
        return len(self.x)

    def column(self, name: str) -> Floats:
        """The values of a column, NaN where there is none that can be reckoned with."""
        return known(self.x[:, self.names.index(name)])

    def of(self, names: AbstractSet[str]) -> "Table":
        """The same events with these columns alone."""
        kept = [i for i, name in enumerate(self.names) if name in names]
        columns = tuple(self.names[i] for i in kept), tuple(self.categories[i] for i in kept)
        return replace(self, names=columns[0], categories=columns[1], x=self.x[:, kept])

    def text(self, name: str, code: int) -> str:
        """The category behind a code."""
        texts = self.texts.get(name, [])
        return texts[code] if 0 <= code < len(texts) else f"#{code}"


def known(x: Floats) -> Floats:
    """The same numbers, NaN for those that are infinite or absurdly large."""
    return np.where(np.abs(x) <= LARGEST, x, np.nan)


def present(x: Floats) -> Floats:
    """The known numbers alone."""
    found: Floats = x[np.abs(x) <= LARGEST]
    return found
