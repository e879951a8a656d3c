"""inmateria: SPICE-level simulation of circuits that learn."""
