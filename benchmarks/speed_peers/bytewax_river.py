"""The same in Bytewax, at least once: river predicts, then learns; an ADWIN on each feature and on the error.

Run: python bytewax_river.py BOOTSTRAP EVENTS OUTPUT NAME
"""

import json
import sys
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.testing import cluster_main
from river import drift, linear_model, preprocessing

FEATURES = [f"x{i}" for i in range(8)]

bootstrap, source, output, name = sys.argv[1:]
model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
detectors = {signal: drift.ADWIN() for signal in [*FEATURES, "error"]}


def score(message: KafkaSourceMessage[Any, Any]) -> KafkaSinkMessage[None, bytes]:
    """Predict, learn, watch."""
    event = json.loads(message.value)
    x = {feature: event[feature] for feature in FEATURES}
    probability = model.predict_proba_one(x)[True]
    model.learn_one(x, bool(event["y"]))
    watched = {**x, "error": (probability >= 0.5) != event["y"]}
    drifted = []
    for signal, detector in detectors.items():
        detector.update(watched[signal])
        if detector.drift_detected:
            drifted.append(signal)
    return KafkaSinkMessage(None, json.dumps({"id": event["id"], "score": probability, "drifted": drifted}).encode())


flow = Dataflow(name.replace(".", "-"))
events = op.input("events", flow, KafkaSource([bootstrap], [source]))
kop.output("predictions", op.map("score", events, score), brokers=[bootstrap], topic=output)

if __name__ == "__main__":
    cluster_main(flow, [], 0)
