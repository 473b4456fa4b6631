"""What a user of Faust would write: river predicts, then learns; an ADWIN on each feature and on the error.

Run: python faust_river.py BOOTSTRAP EVENTS OUTPUT NAME
"""

import sys

import faust
from river import drift, linear_model, preprocessing

FEATURES = [f"x{i}" for i in range(8)]

bootstrap, source, output, name = sys.argv[1:]
app = faust.App(name, broker=f"kafka://{bootstrap}", value_serializer="json", web_enabled=False)
events = app.topic(source)
predictions = app.topic(output)
alerts = app.topic(f"{name}.alerts")

model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
detectors = {signal: drift.ADWIN() for signal in [*FEATURES, "error"]}


@app.agent(events)
async def score(stream: faust.Stream) -> None:
    """Predict, send, learn, watch."""
    async for event in stream:
        x = {feature: event[feature] for feature in FEATURES}
        probability = model.predict_proba_one(x)[True]
        await predictions.send(value={"id": event["id"], "score": probability})
        model.learn_one(x, bool(event["y"]))
        watched = {**x, "error": (probability >= 0.5) != event["y"]}
        for signal, detector in detectors.items():
            detector.update(watched[signal])
            if detector.drift_detected:
                await alerts.send(value={"id": event["id"], "signal": signal})


if __name__ == "__main__":
    sys.argv[1:] = ["worker", "--loglevel", "warn"]
    app.main()
