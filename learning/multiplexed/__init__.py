"""multiplexed."""
