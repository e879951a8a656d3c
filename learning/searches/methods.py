"""Names of the baselines; light, for the command's help."""

from __future__ import annotations

METHODS = {
    "random": "random_search",
    "differences": "finite_differences",
    "spsa": "spsa",
    "evolution": "differential_evolution",
}
"""What a user calls a baseline, and its function in `optimisers`."""
