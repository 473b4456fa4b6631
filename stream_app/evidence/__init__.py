"""What rows of events tell of a change: pure functions of tables, which know no stage and no detector."""
