"""Evidently's drift report of one window beside a reference, as its documents say; seconds, and what drifted, as JSON.

Both are in memory as frames before the clock runs; the reference is prepared once. The tests are Evidently's choice.

Run: python evidently_drift.py REFERENCE.npy WINDOW.npy
"""

import json
import sys
import time
import warnings

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

warnings.simplefilter("ignore")  # of pandas, about Evidently's code
frames = [pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])]) for X in map(np.load, sys.argv[1:])]
definition = DataDefinition(numerical_columns=list(frames[0].columns))
reference = Dataset.from_pandas(frames[0], data_definition=definition)
started, processor = time.perf_counter(), time.process_time()
found = Report([DataDriftPreset()]).run(Dataset.from_pandas(frames[1], data_definition=definition), reference).dict()
seconds, processor_s = time.perf_counter() - started, time.process_time() - processor
values = [each for each in found["metrics"] if each["config"]["type"].endswith("ValueDrift")]
drifted = [each["config"]["column"] for each in values if each["value"] > each["config"]["threshold"]]
method = values[0]["config"]["method"]
print(json.dumps({"wall_s": seconds, "cpu_s": processor_s, "drifted": drifted, "method": method}))
