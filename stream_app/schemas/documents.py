"""The published documents: a JSON Schema (2020-12) of each stream, and an AsyncAPI 3.0 description of the topics."""

from typing import Any

import msgspec

from stream_app.schemas import alerts, metrics, records

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TYPES: dict[str, tuple[Any, ...]] = {  # stream → its message, or one of several
    "alerts": (alerts.Alert,),
    "triggers": (alerts.Trigger, alerts.Promotion),
    "predictions": (records.Prediction,),
    "outcomes": (records.Outcome,),
    "metrics": metrics.METRICS,
    "dead-letters": (records.DeadLetter,),
    "models": (records.ModelVersion,),
    "archive": (records.Artefact,),
    "audit": (records.Audit,),
    "panes": (records.Pane,),
    "features": (records.FeatureValues,),
    "control": (records.Command,),
}
CLOUD_EVENTS = ("alerts", "triggers")
KEYS = {
    "alerts": "incident id", "triggers": "model", "predictions": "event id", "outcomes": "event id",
    "metrics": "signal", "dead-letters": "record id, else STREAM/OFFSET", "models": "model version",
    "archive": "VERSION/PART", "audit": "what was done", "panes": "signal", "features": "BY=KEY",
    "control": "none; the partition is the shard",
}  # fmt: skip


def schema(stream: str) -> dict[str, Any]:
    """The JSON Schema of the records of one stream.

    >>> schema("alerts")["$ref"]
    '#/$defs/Alert'
    """
    refs, definitions = msgspec.json.schema_components(TYPES[stream], ref_template="#/$defs/{name}")
    root = refs[0] if len(refs) == 1 else {"oneOf": list(refs)}
    return {"$schema": DIALECT, "title": f"driftline {stream}", **root, "$defs": definitions}


def asyncapi() -> dict[str, Any]:
    """All topics that driftline writes, and the one it takes commands from, as an AsyncAPI 3.0 document."""
    parameter = {"name": {"description": "`name` of the configuration.", "default": "flights"}}
    server = {
        "host": "{bootstrap}",
        "protocol": "kafka",
        "description": "[kafka] bootstrap of the configuration.",
        "variables": {"bootstrap": {"default": "127.0.0.1:9092", "description": "HOST:PORT of a broker."}},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "driftline",
            "version": "1.0.0",
            "description": "The streams of one monitor. Events and labels are as [schema] of its configuration says.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"kafka": server},
        "channels": {
            stream: {
                "address": "{name}." + stream,
                "title": stream,
                "parameters": parameter,
                "messages": {"record": {"$ref": f"#/components/messages/{stream}"}},
            }
            for stream in TYPES
        },
        "operations": {stream: _operation(stream) for stream in TYPES},
        "components": {"messages": {stream: _message(stream) for stream in TYPES}},
    }


def _operation(stream: str) -> dict[str, Any]:
    return {
        "action": "receive" if stream == "control" else "send",
        "channel": {"$ref": f"#/channels/{stream}"},
        "messages": [{"$ref": f"#/channels/{stream}/messages/record"}],
    }


def _message(stream: str) -> dict[str, Any]:
    what = metrics.__doc__ if stream == "metrics" else TYPES[stream][0].__doc__
    kind = "application/cloudevents+json" if stream in CLOUD_EVENTS else "application/json"
    return {
        "summary": str(what).split("\n", maxsplit=1)[0],
        "contentType": kind,
        "payload": {"schemaFormat": "application/schema+json;version=draft-2020-12", "schema": _file(stream)},
        "bindings": {"kafka": {"key": {"type": "string", "description": KEYS[stream]}}},
    }


def _file(stream: str) -> dict[str, str]:
    return {"$ref": f"schemas/{stream}.schema.json"}
