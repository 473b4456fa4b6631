"""The mean run length of glr at given limits h, from which detectors/glr.py takes its constant `GROWTH`.

Its scores in control are the same for every signal, so one signal stands for all. Run: python
benchmarks/score_levels.py
"""

import math

import numpy as np

from detectors import make

LIMITS = {6: 1, 8: 5, 10: 20, 12: 100}  # h: millions of observations

if __name__ == "__main__":
    print("h, alarms, mean run length, its log less h plus log(h) / 2, standard error")
    for limit, millions in LIMITS.items():
        rng = np.random.default_rng(limit)
        detector = make("glr")
        detector._limit = limit  # noqa: SLF001 (what is calibrated here)
        alarms = sum(len(detector.update_many(rng.random(1_000_000))) for _ in range(millions))
        length = millions * 1e6 / alarms - detector.params["warm_up"]
        growth = math.log(length) - limit + math.log(limit) / 2
        print(f"{limit} {alarms} {length:.0f} {growth:.3f} ± {1 / math.sqrt(alarms):.3f}")
