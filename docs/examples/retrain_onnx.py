"""As retrain.py, beside which it lies, but with boosted trees as an ONNX file, which score and do not learn on.

    driftline triggers flights.toml --follow --group trainer --exec "python retrain_onnx.py flights.toml"

Needs pandas, scikit-learn, skl2onnx and onnxruntime.
"""

import base64
import sys

import numpy as np
import onnxruntime
from retrain import main
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder


def boosted(X, y, task):
    """`state` and `classes` of an ONNX artefact: boosted trees over imputed numbers and one-hot categories."""
    numbers, texts = list(X.select_dtypes("number")), list(X.select_dtypes(exclude="number"))
    X = X.astype(dict.fromkeys(numbers, "float32"))  # as they will come in
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    parts = [("numbers", SimpleImputer(keep_empty_features=True), numbers), ("texts", one_hot, texts)]
    trees = GradientBoostingRegressor() if task == "regression" else GradientBoostingClassifier()
    model = make_pipeline(ColumnTransformer([part for part in parts if part[2]]), trees)
    model.fit(X, y.astype(float) if task == "regression" else y)
    types = [(name, (FloatTensorType if name in numbers else StringTensorType)([None, 1])) for name in X]
    options = {} if task == "regression" else {"zipmap": False}
    onnx = to_onnx(model, initial_types=types, options=options).SerializeToString()
    check(onnx, X, model.predict(X) if task == "regression" else model.predict_proba(X))
    return {"onnx": base64.b64encode(onnx).decode()}, [] if task == "regression" else model.classes_.tolist()


def check(onnx, X, expected):
    """Exporters make mistakes with some models and versions (of missing values above all): nothing wrong gets out."""
    session = onnxruntime.InferenceSession(onnx)
    feeds = {given.name: X[[name]].to_numpy() for given, name in zip(session.get_inputs(), X, strict=True)}
    if not np.allclose(session.run(None, feeds)[-1].reshape(expected.shape), expected, rtol=1e-3, atol=1e-4):
        sys.exit("the ONNX file answers otherwise than the model it was made of; nothing is registered")


if __name__ == "__main__":
    main("onnx", boosted)
