"""The temperature that parts' figures are stated at, and what leakage does at others."""

NOMINAL_K = 300.15
"""27 degC: ngspice's own nominal temperature, at which kT/q is 25.865 mV. Data sheets' 25 degC are two kelvin below."""
ZERO_CELSIUS_K = 273.15
LEAKAGE_DOUBLES_K = 10.0
"""Leakage of junctions doubles every 10 K."""


def leakage_A(nominal_A: float, temperature_K: float) -> float:
    """Leakage of a junction, A, at a temperature, of one stated at `NOMINAL_K`."""
    return float(nominal_A * 2.0 ** ((temperature_K - NOMINAL_K) / LEAKAGE_DOUBLES_K))
