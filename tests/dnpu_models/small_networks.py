"""Networks of a few sites, for which everything can be computed exactly."""

from __future__ import annotations

from typing import Any

import numpy as np

from dnpu_models.network.geometry import Electrode, Rectangle
from dnpu_models.network.network import DopantNetwork

SIDE = 60e-9
THREE_SIDE = 50e-9
THREE_SITES = [[10e-9, 10e-9], [13e-9, 14e-9], [40e-9, 10e-9]]


def small_network(n_sites: int, seed: int, *, temperature_K: float = 77.0, **changes: Any) -> DopantNetwork:
    """A few sites in a square, three point electrodes on its edge, unit potentials that add up to 1."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0.1 * SIDE, 0.9 * SIDE, (n_sites, 2))
    x, y = points.T / SIDE
    settings: dict[str, Any] = {
        "acceptors_m": points,
        "donors_m": rng.uniform(0, SIDE, (1, 2)),
        "site_energies_eV": rng.normal(0, 0.02, n_sites),
        "electrodes": (Electrode(0, SIDE / 2), Electrode(SIDE, SIDE / 2), Electrode(SIDE / 2, SIDE)),
        "shape": Rectangle(SIDE, SIDE),
        "temperature_K": temperature_K,
        "localisation_m": 20e-9,
        "relative_permittivity": 10.0,
        "attempt_rate_Hz": 1e12,
        "limit_V": 1.0,
        "unit_potentials": np.stack([(1 - x) * (1 - y), x * (1 - y), y], axis=1),
    }
    return DopantNetwork(**(settings | changes))


def chain(energies_eV: list[float], **changes: Any) -> DopantNetwork:
    """Sites on a line between two electrodes; the first only reaches the left one, the last only the right one."""
    n = len(energies_eV)
    x = (np.arange(n) + 1.0) * 10e-9
    length = (n + 1) * 10e-9
    settings: dict[str, Any] = {
        "acceptors_m": np.stack([x, np.full(n, 10e-9)], axis=1),
        "donors_m": np.empty((0, 2)),
        "site_energies_eV": energies_eV,
        "electrodes": (Electrode(0, 10e-9), Electrode(length, 10e-9)),
        "shape": Rectangle(length, 20e-9),
        "unit_potentials": np.stack([1 - x / length, x / length], axis=1),
        "hop_max_m": 12e-9 if n > 1 else np.inf,
    }
    return small_network(1, 0, **(settings | changes))


def three_sites(**changes: Any) -> DopantNetwork:
    """Three sites between two point electrodes, at the temperature and localisation of the measured device."""
    settings: dict[str, Any] = {
        "acceptors_m": THREE_SITES,
        "donors_m": [[10e-9, 40e-9]],
        "site_energies_eV": [0.0, 0.1, -0.1],
        "electrodes": (Electrode(0, THREE_SIDE / 2), Electrode(THREE_SIDE, THREE_SIDE / 2)),
        "shape": Rectangle(THREE_SIDE, THREE_SIDE),
        "temperature_K": 77.0,
        "localisation_m": 10e-9,
        "relative_permittivity": 10.0,
        "attempt_rate_Hz": 1e12,
        "unit_potentials": [[0.8, 0.2], [0.7, 0.3], [0.2, 0.8]],
    }
    return DopantNetwork(**(settings | changes))
