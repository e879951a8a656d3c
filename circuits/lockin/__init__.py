"""lockin."""
