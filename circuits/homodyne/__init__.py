"""homodyne."""
