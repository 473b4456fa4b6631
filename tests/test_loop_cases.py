"""Cases of the loop that were wrong once."""

import numpy as np

from stream_app.config import parse
from stream_app.flow.decode import Decoder
from stream_app.messages import EVENT, Tape, to_json
from stream_app.pipeline import Pipeline

CONFIG = """
name = "loop"
schema.label = "y"
schema.fields.a = { type = "number" }
[[challengers]]
name = "same"
[retrain]
action = "challenge"
trial = 100
proof = 1
"""


def test_a_challenger_promoted_by_command_in_the_epoch_in_which_its_trial_ends():
    config = parse(CONFIG, "loop", {})
    pipeline = Pipeline(config)
    raw = [to_json({"a": i % 7, "y": i % 2}) for i in range(512)]
    tape = Tape(
        np.full(512, EVENT, np.uint8), Decoder(config, "events", None)(0, raw), Decoder(config, "labels", None)(0, [])
    )
    out = pipeline.handle(tape.led_by([to_json({"command": "promote", "version": "v2"})]))

    assert pipeline.score.version == "v2"
    assert "promote" in [message.key for message in out.messages if message.stream == "audit"]
