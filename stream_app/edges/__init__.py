"""Everything that touches the world: sources, the log on disk, subscribers. The core imports none of it."""
