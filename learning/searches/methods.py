"""Names of the baselines; light, for the command's help."""

from __future__ import annotations

METHODS = {
    "random": "random_search",
    "differences": "finite_differences",
    "spsa": "spsa",
    "evolution": "differential_evolution",
    "cmaes": "cma_es",
}
"""What a user calls a baseline, and its function in `optimisers`."""

DESCENT = {"looks": 16, "sequences": 30, "step_V": 0.05}
"""Fields of `HgeSettings` that suit the descents among them, chosen on device seeds from 100 on: not the loop's own."""
