"""The only loops: they read sources, hand records to the core and commit what it gave."""
