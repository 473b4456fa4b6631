"""The board: what the output streams tell, folded into bounded memory, and the documents that pages are drawn from.

Rules:
1. Only records of output streams come in, never the raw log: what a page shows, a subscriber could have known.
2. How the records were cut, and which shard's or stream's came first, does not show.
3. Memory is bounded by the configuration, never by the length of the stream. What is thinned keeps minima and maxima.
"""
