"""Slow, obvious twins of the detectors: each keeps the whole stream since the last reset and recomputes everything.

`twin(name)(x, **params)` gives (index, statistic, threshold) of each drift; its file is named as the detector's.
"""

import importlib


def twin(name):
    return importlib.import_module(f"tests.naive.{name}").twin
