"""Trains a linear model on the rows that a trigger names, and registers it as a version of the monitor.

    driftline triggers flights.toml --follow --group trainer --exec "python retrain.py flights.toml"

Needs pandas and scikit-learn. docs/training.md explains each step; retrain_onnx.py does the same with boosted trees.
"""

import io
import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression, Ridge

ENOUGH = 100  # rows
PATIENCE_S = float(os.environ.get("PATIENCE_S", "600"))


def table(csv, config):
    """Inputs and labels of offset, id, time, inputs…, label: numbers as floats (missing: NaN), the rest as text."""
    rows = pd.read_csv(io.BytesIO(csv), dtype=str, keep_default_na=False)
    X, y = rows.iloc[:, 3:-1], rows.iloc[:, -1]
    texts = [name for name, field in config["schema"]["fields"].items() if field["type"] == "category"]
    X = X.apply(lambda column: column if column.name in texts else pd.to_numeric(column).astype(float))
    return X[y != ""], y[y != ""]


def linear(X, y, task):
    """`state` and `classes` of a linear artefact: scaled numbers, and one weight for each category."""
    numbers, texts = X.select_dtypes("number"), X.select_dtypes(exclude="number")
    mean, variance = numbers.mean().fillna(0), numbers.var(ddof=0).fillna(0)
    scaled = ((numbers - mean) / np.sqrt(variance.where(variance > 0))).fillna(0)
    words = [(field, text) for field in texts for text in sorted({*texts[field]} - {""})]
    Z = np.column_stack([scaled, *(texts[field] == text for field, text in words)])
    named, classes, target = fitted(Z, y, task)
    state = {"numbers": {}, "categories": {field: {} for field in texts}, "intercept": named.pop(), "target": target}
    for name in numbers:
        spread = {"mean": mean[name], "variance": variance[name], "count": len(X)}
        state["numbers"][name] = {**spread, "weight": named.pop(0)}
    for (field, text), weight in zip(words, named, strict=True):
        state["categories"][field][text] = weight
    return state, classes


def fitted(Z, y, task):
    """One weight for each column of Z and the intercept, the classes, and where the target of a regression lies."""
    if task == "regression":
        y = y.astype(float)
        model = Ridge().fit(Z, (y - y.mean()) / y.std(ddof=0))
        target = {"mean": y.mean(), "variance": y.var(ddof=0), "count": len(y)}
        return [*model.coef_.tolist(), float(model.intercept_)], [], target
    model = LogisticRegression(max_iter=1000).fit(Z, y)
    classes = model.classes_.tolist()
    weights = np.vstack([model.coef_.T, model.intercept_])
    if task == "binary":
        return weights[:, 0].tolist(), classes, None  # those of the second class
    weights = weights if len(classes) > 2 else np.hstack([0 * weights, weights])
    return [dict(zip(classes, row, strict=True)) for row in weights.tolist()], classes, None


def artefact(X, y, task, use, learn, about):
    """The document that `driftline models add` takes."""
    state, classes = learn(X, y, task)
    inputs = {"numbers": list(X.select_dtypes("number")), "categories": list(X.select_dtypes(exclude="number"))}
    found = {"artefact": 1, "use": use, "task": task, "classes": classes, "inputs": inputs}
    return json.dumps({**found, "state": state, "about": about})


def main(use, learn):
    """The trigger on standard input → a new version of the monitor's model, once for each trigger."""
    file, trigger = sys.argv[1], json.load(sys.stdin)
    config, train = tomllib.loads(Path(file).read_text("utf-8")), trigger["data"]["train"]
    shard = ["--shard", trigger["source"].rpartition("/")[2]]
    since = ["driftline", "rows", file, "--from", str(train["from_offset"]), *shard]
    until_s = time.monotonic() + PATIENCE_S
    while True:  # the trigger comes soon after the change: labels of the new kind are still on their way
        X, y = table(subprocess.run(since, check=True, stdout=subprocess.PIPE).stdout, config)
        enough = len(y) >= ENOUGH and (y != y.iloc[0]).any()
        if enough or time.monotonic() > until_s:
            break
        time.sleep(10)
    if not enough:
        sys.stderr.write(f"{len(y)} labelled rows, {y.nunique()} different labels: too few to learn from\n")
        return
    about = {"trainer": sys.argv[0], "trigger": trigger["id"], "rows": len(y), **train}
    task = config.get("task", {}).get("type", "binary")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "model.json"
        made.write_text(artefact(X, y, task, use, learn, about), "utf-8")
        add = ["driftline", "models", "add", file, str(made), "--trigger", trigger["id"], *shard]
        subprocess.run(add, check=True)


if __name__ == "__main__":
    main("linear", linear)
