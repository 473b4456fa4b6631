"""Sketches: merging, quantiles, round trips."""

import json
from itertools import pairwise

import numpy as np
import pytest

from detectors._sketch import Sketch

DRAWS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "lognormal": lambda rng, n: rng.lognormal(0, 2, n),
    "poisson": lambda rng, n: rng.poisson(3, n).astype(float),
    "one value": lambda rng, n: rng.choice([7.0], n),
    "huge": lambda rng, n: rng.choice([-1.7e308, 0.0, 1.7e308], n),
}
EVERY = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)


def below(sketch, at):
    """The share at or below each edge."""
    return np.interp(at / 4, sketch._ends(), np.r_[0, np.cumsum(sketch.counts)]) / sketch.n


def same(a, b):
    assert a.counts.tolist() == b.counts.tolist()
    assert a.edges.tolist() == b.edges.tolist()
    assert (a.n, a.missing, a.lowest, a.highest) == (b.n, b.missing, b.lowest, b.highest)
    assert (a.mean, a.m2) == pytest.approx((b.mean, b.m2))


@EVERY
def test_survives_json(draw):
    sketch = Sketch.of(draw(np.random.default_rng(0), 3000))

    same(Sketch.from_dict(json.loads(json.dumps(sketch.to_dict()))), sketch)
    assert len(json.dumps(sketch.to_dict())) < 6000


@EVERY
def test_counts_are_exact_at_the_edges(draw):
    x = draw(np.random.default_rng(0), 3000)
    sketch = Sketch.of(np.r_[x, np.nan, np.inf])

    assert (sketch.n, sketch.missing) == (3000, 2)
    assert np.cumsum(sketch.counts)[:-1].tolist() == [np.sum(x <= edge) for edge in sketch.edges]
    assert (sketch.lowest, sketch.highest) == (x.min(), x.max())


@EVERY
def test_merging_is_off_by_at_most_a_bin(draw):
    rng = np.random.default_rng(0)
    parts = [Sketch.of(part) for part in (draw(rng, 2000), draw(rng, 3000), draw(rng, 1000))]
    x = draw(np.random.default_rng(0), 6000)
    left = parts[0].merge(parts[1]).merge(parts[2])
    right = parts[0].merge(parts[1].merge(parts[2]))
    values = np.quantile(x / 4, np.linspace(0.01, 0.99, 50)) * 4
    exact = np.mean(x[:, None] <= values, axis=0)

    for merged in (left, right, parts[2].merge(parts[0]).merge(parts[1])):
        assert merged.n == pytest.approx(6000)
        assert len(merged.edges) <= 2 * 128
        if draw in (DRAWS["normal"], DRAWS["lognormal"]):
            assert np.abs(below(merged, values) - exact).max() < 2 / 128 + 0.02  # and the noise of drawing anew
    assert np.abs(below(left, values) - below(right, values)).max() < 2 / 128
    assert (left.mean, left.lowest) == pytest.approx((right.mean, right.lowest))


def test_equal_edges_merge_exactly():
    a = Sketch.of(np.repeat([1.0, 2.0, 3.0], [50, 30, 20]))
    b = Sketch.of(np.repeat([1.0, 2.0, 3.0], [10, 80, 10]))
    both = a.merge(b)

    same(both, Sketch.of(np.repeat([1.0, 2.0, 3.0], [60, 110, 30])))
    assert both.m2 == pytest.approx(200 * np.var(np.repeat([1.0, 2.0, 3.0], [60, 110, 30])))


def test_categories_merge_exactly():
    rng = np.random.default_rng(0)
    x = np.minimum(rng.zipf(2.0, 3000), 100).astype(float)
    merged = Sketch.of(x[:1000], categories=True).merge(Sketch.of(x[1000:], categories=True))

    same(merged, Sketch.of(x, categories=True))


def test_merging_with_nothing_and_with_other_kinds():
    some, none = Sketch.of(np.arange(9.0)), Sketch.of(np.array([np.nan]))

    same(none.merge(some), some.merge(none))
    assert none.merge(some).missing == 1
    with pytest.raises(ValueError, match="do not merge"):
        some.merge(Sketch.of(np.arange(9.0), categories=True))
    with pytest.raises(ValueError, match="no quantiles"):
        none.quantile(0.5)


@pytest.mark.parametrize(
    "draw", [DRAWS["normal"], DRAWS["lognormal"], DRAWS["huge"]], ids=["normal", "lognormal", "huge"]
)
def test_quantiles(draw):
    x = draw(np.random.default_rng(0), 20_000)
    sketch = Sketch.of(x)
    steps = [sketch.quantile(q) for q in np.linspace(0, 1, 50)]

    assert all(low <= high for low, high in pairwise(steps))
    assert (steps[0], steps[-1]) == (x.min(), x.max())
    for q in (0.1, 0.5, 0.9):
        assert np.mean(x < sketch.quantile(q)) - 1 / 128 <= q <= np.mean(x <= sketch.quantile(q)) + 1 / 128


@EVERY
def test_coarser_bins_are_even_and_exact(draw):
    x = draw(np.random.default_rng(0), 20_000)
    coarse = Sketch.of(x).coarse(10)

    assert np.cumsum(coarse.counts)[:-1].tolist() == [np.sum(x <= edge) for edge in coarse.edges]
    assert len(coarse.edges) <= 20
    if len(np.unique(x)) == len(x):
        assert np.abs(coarse.counts / 20_000 - 0.1).max() < 2 / 128


@pytest.mark.parametrize("change", [{"counts": [1.0]}, {"edges": [2.0, 1.0]}, {"counts": [-1.0, 1.0, 1.0]}])
def test_what_is_no_sketch_is_refused(change):
    plain = Sketch.of(np.array([1.0, 2.0])).to_dict() | {"edges": [1.0, 2.0], "counts": [1.0, 1.0, 0.0]}
    Sketch.from_dict(plain)
    with pytest.raises(ValueError, match="rising edges"):
        Sketch.from_dict(plain | change)
    with pytest.raises(ValueError, match="to_dict"):
        Sketch.from_dict({"edges": []})
