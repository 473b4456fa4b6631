"""The same in Quix Streams: river predicts, then learns; an ADWIN on each feature and on the error.

Run: python quix_river.py BOOTSTRAP EVENTS OUTPUT NAME GUARANTEE   (exactly-once or at-least-once)
"""

import sys
from typing import Any

from quixstreams import Application
from river import drift, linear_model, preprocessing

FEATURES = [f"x{i}" for i in range(8)]

bootstrap, source, output, name, guarantee = sys.argv[1:]
app = Application(
    broker_address=bootstrap,
    consumer_group=name,
    auto_offset_reset="earliest",
    processing_guarantee=guarantee,
    loglevel="WARNING",
)
events = app.topic(source, value_deserializer="json")
predictions = app.topic(output, value_serializer="json")

model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
detectors = {signal: drift.ADWIN() for signal in [*FEATURES, "error"]}


def score(event: dict[str, Any]) -> dict[str, Any]:
    """Predict, learn, watch."""
    x = {feature: event[feature] for feature in FEATURES}
    probability = model.predict_proba_one(x)[True]
    model.learn_one(x, bool(event["y"]))
    watched = {**x, "error": (probability >= 0.5) != event["y"]}
    drifted = []
    for signal, detector in detectors.items():
        detector.update(watched[signal])
        if detector.drift_detected:
            drifted.append(signal)
    return {"id": event["id"], "score": probability, "drifted": drifted}


app.dataframe(events).apply(score).to_topic(predictions)

if __name__ == "__main__":
    app.run()
