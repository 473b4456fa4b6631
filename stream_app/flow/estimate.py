"""Estimate: how good the champion is before the labels come, by what it says itself and how that came true so far.

Classification: CBPE (NannyML: confidence-based performance estimation). The expected 0/1 loss of an event is that of
its score, plus what the labels so far have shown to be wrong with scores like it (`calibration`). Regression: DLE
(direct loss estimation). A second linear model predicts the absolute error from the inputs and the prediction. Both see
a change of the inputs; neither sees that the same inputs have come to mean something else: labels do.
"""

import math
from typing import Any

import numpy as np
from scipy.special import stdtrit

from stream_app import config as configuration
from stream_app.config import Config
from stream_app.flow import calibration
from stream_app.flow.chunk import Chunk
from stream_app.flow.join import Kept
from stream_app.flow.score import Score
from stream_app.messages import Floats
from stream_app.models import LEARN, PREDICT, Inputs
from stream_app.models.linear import LinearModel

LEVEL = 0.95  # of every interval
RATE = 0.003  # of the model of the error: slower than the champion's, for its mean has to be right, not its tip

Interval = list[float] | None


class Estimate:
    """The champion's expected loss per event, and its mean over the newest `measure.window` predictions.

    Intervals are mean ± t · √(inflation · Σ variance) / n, the variance of one loss being e (1 - e), or for absolute
    errors what residuals have shown. The inflation is the mean of (Σ residual)² / Σ variance over blocks of a window of
    labels, at least 1: it holds the serial dependence of losses and the error of the calibration, both as they were
    until now. There is no interval before the first such block, and t has its number and 3 degrees of freedom.
    """

    def __init__(self, config: Config, score: Score, kept: Kept) -> None:
        self.active = bool(config.schema.label) and config.task.type != "anomaly"
        self.binary, self.regression = config.task.type == "binary", config.task.type == "regression"
        self.score, self.kept = score, kept
        self.bins = np.zeros((2, calibration.BINS))
        self.rings = np.full((3, config.measure.window), np.nan)
        self.totals = np.zeros(calibration.EXPECTED_2 + 1 + self.regression)
        self.totals[calibration.INFLATION] = 1.0
        self.bets = np.zeros((2, calibration.PAID + 1))
        self.error_model = _error_model(config, score.inputs) if self.regression else None

    def run(self, chunk: Chunk) -> None:
        """Fills `chunk.expected`, and `kept.expected` by slot."""
        chunk.expected = np.full(len(chunk.events), np.nan)
        if not self.active or not len(chunk.kind):
            return
        losses = np.full((2, len(chunk.kind)), np.nan)
        losses[calibration.TRUE, chunk.learned] = chunk.error
        if self.error_model is None:
            scores = self.kept.scores[0]
            calibration.calibrate(chunk.kind, chunk.slot, losses, scores, self.binary, self.bins)
        else:
            losses[calibration.EXPECTED] = self._errors(chunk, losses[calibration.TRUE])
        chunk.expected = losses[calibration.EXPECTED, chunk.predicted]
        kept = self.kept.expected, self.kept.number
        calibration.follow(chunk.kind, chunk.slot, losses, *kept, self.rings, self.totals, self.bets)

    def _errors(self, chunk: Chunk, loss: Floats) -> Floats:
        """What the model of the error says at each operation; at LEARN it learns after that."""
        assert self.error_model is not None
        numbers = len(self.score.inputs.numbers)
        rows, point = self.kept.X[chunk.slot], self.kept.scores[0][chunk.slot, :1]
        X = np.hstack([rows[:, :numbers], point, rows[:, numbers:]])
        scores = np.full((len(X), 1), np.nan)
        target = np.where(loss <= calibration.WILDEST, loss, np.nan)
        row = np.repeat(np.arange(len(X)), 1 + (chunk.kind == LEARN))
        kind = chunk.kind[row]
        kind[:-1][row[:-1] == row[1:]] = PREDICT
        self.error_model.run(kind, row, target[row], X, scores)
        scores[np.isnan(point)] = np.nan
        expected: Floats = np.clip(scores[:, 0], 0, calibration.WILDEST)
        return expected

    def figures(self) -> dict[str, Any]:
        """The level as it stands: estimated, realised as far as labels are there, and fused; None = not known yet.

        `fused` is `estimated` plus the mean residual of the newest labels (prediction-powered inference, Angelopoulos
        et al. 2023). Its interval is where the loss of these predictions will lie if residuals go on as among those
        labels: the reach of `interval`, and that of the mean residual, √inflation · that of a confidence sequence for
        0/1 losses (it may be looked at as often as one likes), as errors that have nothing to do with each other.
        """
        expected, loss, residuals = self.rings
        known = ~np.isnan(expected)
        expected, labelled = expected[known], ~np.isnan(loss)
        estimated = float(expected.mean()) if len(expected) else None
        losses, residuals = loss[labelled], residuals[~np.isnan(residuals)]
        spread = float(calibration.variance(expected, self.totals).sum())
        figures: dict[str, Any] = {
            "level": LEVEL,
            "window": len(expected),
            "estimated": estimated,
            "interval": self._interval(estimated, self._reach(spread, len(expected))),
            "labels": len(losses),
            "realised": float(losses.mean()) if len(losses) else None,
            "realised_interval": None,
            "calibrated_on": int(self.totals[calibration.LABELLED]),
        }
        if len(losses) > 1:
            realised_spread = float(losses.var(ddof=1)) * len(losses)
            figures["realised_interval"] = self._interval(
                figures["realised"], self._reach(realised_spread, len(losses))
            )
        return figures | self._fused(estimated, residuals, self._reach(spread, len(expected)))

    def _reach(self, spread: float, n: int) -> float:
        """Of the mean of n losses, whose variances have the sum `spread`, to either side."""
        t = float(stdtrit(self.totals[calibration.BLOCK] + 3, (1 + LEVEL) / 2))
        return t * math.sqrt(self._inflation() * spread) / n if n else 0.0

    def _inflation(self) -> float:
        return max(1.0, float(self.totals[calibration.INFLATION]))

    def _interval(self, mean: float | None, reach: float) -> Interval:
        if mean is None or not self.totals[calibration.BLOCK]:
            return None
        return self._between(mean - reach, mean + reach)

    def _fused(self, estimated: float | None, residuals: Floats, reach: float) -> dict[str, Any]:
        if estimated is None or not len(residuals):
            return {"fused": None, "fused_interval": None}
        if self.regression:
            shift = float(residuals.mean())
            shift_reach = self._reach(float(residuals.var()) * len(residuals), len(residuals))
        else:
            shift, shift_reach = self._shift()
        fused = self._between(estimated + shift, estimated + shift)[0]
        return {"fused": fused, "fused_interval": self._interval(estimated + shift, math.hypot(reach, shift_reach))}

    def _shift(self) -> tuple[float, float]:
        """The mean residual of the newest block of labels that has enough of them, and its reach."""
        young, old = self.bets
        half_full = young[calibration.N] >= self.rings.shape[1] / 2
        sequence = young if half_full or not old[calibration.N] else old
        shift = 2 * sequence[calibration.WEIGHTED] / sequence[calibration.WEIGHT] - 1
        reach = 2 * (math.log(2 / (1 - LEVEL)) + sequence[calibration.PAID]) / sequence[calibration.WEIGHT]
        return float(shift), math.sqrt(self._inflation()) * float(reach)

    def _between(self, low: float, high: float) -> list[float]:
        most = float("inf") if self.regression else 1.0
        return [float(min(max(low, 0.0), most)), float(min(max(high, 0.0), most))]

    def to_state(self) -> dict[str, Any]:
        arrays = {name: getattr(self, name).copy() for name in ("bins", "rings", "totals", "bets")}
        return arrays | {"error_model": self.error_model.to_state() if self.error_model else None}

    def load(self, state: dict[str, Any]) -> None:
        for name in ("bins", "rings", "totals", "bets"):
            setattr(self, name, state[name].copy())
        if self.error_model is not None:
            self.error_model.load(state["error_model"])


def _error_model(config: Config, inputs: Inputs) -> LinearModel:
    """The champion's inputs and, as the last number, its prediction."""
    extended = Inputs((*inputs.numbers, "prediction"), inputs.categories, inputs.width, inputs.vocabulary)
    task = configuration.Task(type="regression", label_timeout_ms=config.task.label_timeout_ms)
    return LinearModel({"lr": RATE, "intercept_lr": RATE}, task, extended)
