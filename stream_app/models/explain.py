"""What a model makes of its inputs: how much each adds to the score, before a change and after it."""

from typing import Any

import numpy as np

from stream_app.messages import Floats
from stream_app.models import ScoringModel

ROWS, ROWS_ASKED = 256, 32  # looked at on each side; and where each costs as many predictions as there are inputs


def explain(
    model: ScoringModel, names: tuple[str, ...], before: Floats, after: Floats, seed: int
) -> list[dict[str, Any]]:
    """Mean contribution of each input to the score, over the rows before and after; the largest change first.

    `before` and `after` are feature rows [rows, inputs] as the model takes them, in the order of `names`. `method`:
    - "linear": weight times scaled input; of log-odds for classes, of the prediction for a regression.
    - "tree path": the change of the mean answer at each split along a row's path (Saabas 2014), mean over the trees of
      a forest; what a leaf makes of further inputs is nobody's.
    - "permutation": score of a row less that of the same row with this input taken from a row before the change,
      drawn at random; about 0 before, by construction.
    Of a multiclass model, `output` is the code of the class whose contributions changed most, else 0. None where
    there are no rows. The model is left as it is; the same model, rows and seed give the same answer.
    """
    found = model.contributions(_some(before, ROWS)), model.contributions(_some(after, ROWS))
    if found[0] and found[1]:
        method, parts = found[0][0], (found[0][1], found[1][1])
    else:
        method, parts = "permutation", _permuted(model, _some(before, ROWS_ASKED), _some(after, ROWS_ASKED), seed)
    means = [np.where(np.isfinite(part), part, 0.0).mean(axis=0) if len(part) else None for part in parts]
    return _table(names, method, means[0], means[1])


def _table(names: tuple[str, ...], method: str, before: Floats | None, after: Floats | None) -> list[dict[str, Any]]:
    known = before is not None and after is not None
    change = after - before if before is not None and after is not None else np.zeros((len(names), 1))
    output = int(np.abs(change).sum(axis=0).argmax()) if known else 0
    rows = []
    for i, name in enumerate(names):
        rows.append(
            {
                "feature": name,
                "before": None if before is None else float(before[i, output]),
                "after": None if after is None else float(after[i, output]),
                "change": float(change[i, output]) if known else None,
                "method": method,
                "output": output,
            }
        )
    return sorted(rows, key=lambda row: -abs(row["change"] or 0.0))


def _some(X: Floats, most: int) -> Floats:
    """At most so many rows, evenly spaced."""
    return X if len(X) <= most else X[np.linspace(0, len(X) - 1, most).astype(int)]


def _permuted(model: ScoringModel, before: Floats, after: Floats, seed: int) -> tuple[Floats, Floats]:
    """Contributions [rows, inputs, outputs]; a score that is not there is NaN."""
    X = np.vstack([before, after])
    rows, inputs = X.shape
    donors = before if len(before) else after
    rng = np.random.default_rng(seed)
    blocks = np.tile(X, (inputs + 1, 1, 1))
    for j in range(inputs if rows else 0):
        blocks[j, : len(before), j] = rng.permutation(before[:, j])
        blocks[j, len(before) :, j] = donors[rng.integers(len(donors), size=len(after)), j]
    scores = model.peek(blocks.reshape(-1, inputs)).reshape(inputs + 1, rows, model.outputs)
    parts = (scores[-1] - scores[:-1]).transpose(1, 0, 2)
    return parts[: len(before)], parts[len(before) :]
