"""EDDM with arl0, recomputed from the whole stream at every answer."""

import math

import numpy as np
from scipy.special import xlogy

from detectors.eddm import LOG_RUN_LENGTHS
from tests.naive._shared import restart
from tests.naive.ecdd import exponent


def twin(x, arl0, errors):
    level = exponent(arl0 * 75 / errors, LOG_RUN_LENGTHS)
    memory = 40 * errors

    def likelihood(answers, rate):
        return xlogy(errors, rate) + xlogy(answers - errors, 1 - rate)

    def first(x):
        places = np.concatenate([[0], np.flatnonzero(x >= 0.5) + 1])  # the first distance is from the start
        distances = places[errors:] - places[:-errors]
        for i, distance in enumerate(distances):
            longest = max(distances[max(0, (i // memory - 1) * memory - 1) : i + 1])
            rate = 2 * errors / (distance + longest)
            apart = likelihood(distance, errors / distance) + likelihood(longest, errors / longest)
            ratio = apart - likelihood(distance, rate) - likelihood(longest, rate)
            if distance < longest and ratio > level + math.log(rate):
                return places[i + errors] - 1, ratio, level + math.log(rate)
        return None

    return restart(x, first)
