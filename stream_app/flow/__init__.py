"""The stages of the way of the data, in their order; the only place that knows it.

Rules:
1. A stage takes a chunk, reads columns, adds its own; it does no I/O and knows no clock.
2. What a stage remembers is in `to_state(live)` (plain data) and comes back with `load`.
3. What it puts out must not depend on how the stream was cut into chunks: sums run one by one, and whatever happens
   "now and then" happens on the grid (`chunk.closes`).
4. No input raises: a bad record is a `Reject` that says why.
"""

STAGES = ("validate", "join", "features", "score", "measure", "detect", "decide")
