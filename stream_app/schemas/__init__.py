"""The contract with whoever reads the output streams: one type per message, and the published schemas made from them.

The core builds its messages as plain data; `tests/test_schemas.py` holds all that it writes to these types.
"""
