"""The commands over the streams and over a cluster; `cli.py` holds the group and those of the embedded engine."""
