"""What must hold for the keys that a configuration shares out between two models: [ab]."""

from typing import TYPE_CHECKING

from stream_app.config.reading import unknown
from stream_app.config.watches import Found

if TYPE_CHECKING:  # the package imports this file
    from stream_app.config import Config

CANDIDATE = "candidate"  # the lane of a model that asks to be promoted


def check_ab(config: "Config") -> Found:
    """Every problem of [ab]."""
    ab = config.ab
    if ab is None:
        return
    lanes = [*(challenger.name for challenger in config.challengers), CANDIDATE]
    if ab.lane not in lanes:
        yield "$.ab.lane", unknown("lane", ab.lane, lanes)
    elif ab.lane == CANDIDATE and not config.challengers and not config.retrain.on:
        yield "$.ab.lane", "no candidate ever comes: name signals in retrain.on, or add [[challengers]]"
    if not 0 < ab.share < 1:
        yield "$.ab.share", f"expected a number between 0 and 1, got {ab.share:g}; 0.1 is a tenth of the keys"
    if ab.by == "key" and config.schema.key is None:
        yield "$.ab.by", 'there is no schema.key to share out by: name one, or write by = "id"'
    if config.schema.label is None:
        yield "$.ab", "compares what was given out by the labels: there is no schema.label"
