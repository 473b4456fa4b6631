"""What a season and its own past do not explain of a signal, each residual from all values before it."""

import collections
import math

import numpy as np
from scipy.special import ndtri

from tests.naive._scores import ranked


def untied(x, ever):
    """(index, what is to be explained, what is chance in it): normal scores where six of the first 64 are one value."""
    if max(collections.Counter(x[:64]).values()) >= 6:
        return [(at, ndtri(u), ndtri(u) - ndtri(middle)) for at, u, middle in ranked(x, 0, 64, ever)], 8
    scale = 2.0 ** -math.frexp(next(value for value in x if value))[1]
    return [(at, value * scale, 0.0) for at, value in enumerate(x)], 4


def deseasoned(values, period, visits):
    phases = [[] for _ in range(period)]
    for at, value, chance in values:
        mine = phases[at % period]
        if len(mine) >= visits:
            pooled = sum(np.var(phase) * len(phase) for phase in phases if phase)
            pooled /= sum(len(phase) - 1 for phase in phases if phase)
            spread = np.var(mine) * len(mine) + 16 * pooled
            left = (value - np.mean(mine)) / math.sqrt(1 + 1 / len(mine))
            yield at, left * math.sqrt(pooled * (len(mine) + 15) / spread), chance
        mine.append(value)


def whitened(values):
    rows, wanted, lags = [], [], [0.0, 0.0, 0.0]
    for at, value, chance in values:
        row = np.array([1, *lags])
        if len(rows) >= 64:
            past = np.array(rows)
            spread = np.linalg.inv(1e-8 * np.eye(4) + past.T @ past)
            yield at, (value - row @ spread @ past.T @ wanted) / math.sqrt(1 + row @ spread @ row), chance
        rows.append(row)
        wanted.append(value)
        lags = [value - chance, *lags[:2]]


def residuals(x, season, dependence, ever):
    """(index, residual) of each value that is fed."""
    values, visits = untied(list(x), ever)
    values = deseasoned(values, season, visits) if season else values
    values = whitened(values) if dependence else values
    return [(at, left) for at, left, _ in values if at >= 64]
