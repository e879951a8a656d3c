"""The temperature that parts' figures are stated at."""

NOMINAL_K = 300.15
"""27 degC: ngspice's own nominal temperature, at which kT/q is 25.865 mV. Data sheets' 25 degC are two kelvin below."""
ZERO_CELSIUS_K = 273.15
