"""ngspice."""
