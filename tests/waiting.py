"""How long tests wait for what must happen: against hanging, never a measure of speed; many times what it may take."""

TIMEOUT_S = 300.0  # the machine may be busy with other things
