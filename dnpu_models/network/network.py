"""The dopant network: where the sites, fixed charges and electrodes are, and the numbers all models share.

Acceptors hold at most one hole each; donors are fixed positive charges; electrodes are reservoirs of holes. The
energy of a hole on site i (DESIGN of the hopping model; Tertilt et al., PR Applied 17, 064025; kmc_dn) is

    E_i = e phi(r_i) + K [ sum_d 1/|r_i - r_d| - sum_{j != i} (1 - n_j)/|r_i - r_j| ] + eps_i,
    K = e^2/(4 pi eps_r eps_0),

with phi(r) = sum_k V_k phi_k(r), and a hole hops from i to j at the rate (Miller and Abrahams 1960)

    nu_0 exp(-2 r_ij/a) min(1, exp(-dE/kT)),
    dE = E_j - E_i - K/r_ij between acceptors,   dE = E_j - E_i to or from an electrode, where E = e V_k.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from dnpu_models.network.constants import BOLTZMANN_EV, COULOMB_EV_M
from dnpu_models.network.electrostatics import unit_potentials
from dnpu_models.network.geometry import Disc, Electrode, Rectangle, Shape
from inmateria.checks import FloatArray, array, count, not_negative, positive
from inmateria.errors import InputError

COLDEST_K = 1e-3
OFF_BOUNDARY = 1e-6
TOUCHING = 1e-6
"""Sites closer than this fraction of the localisation length overlap: their interaction would be rounding."""


@dataclass(frozen=True)
class Preset:
    """Recipe for random networks: everything but the random positions and energies."""

    name: str
    source: str
    shape: Shape
    acceptors: int
    donors: int
    electrodes: tuple[Electrode, ...]
    temperature_K: float
    localisation_m: float
    relative_permittivity: float
    disorder_eV: float
    attempt_rate_Hz: float
    hop_min_m: float
    hop_max_m: float
    limit_V: float


_KMC_DN_RADIUS_M = 1.0 / np.sqrt(30.0)
PRESETS: dict[str, Preset] = {
    "tertilt2022": Preset(
        name="tertilt2022",
        source="Tertilt et al., PR Applied 17, 064025 (2022), as in the public simulator's own file",
        shape=Disc(150e-9),
        acceptors=200,
        donors=3,
        electrodes=Disc(150e-9).ring_of_electrodes(8, 60e-9),
        temperature_K=77.0,
        localisation_m=20e-9,
        relative_permittivity=10.0,
        disorder_eV=0.1,
        attempt_rate_Hz=1e12,
        hop_min_m=3e-9,
        hop_max_m=60e-9,
        limit_V=1.0,
    ),
    # Dimensionless in the source (kT = 1, unit square, I_0 = 100 kT, a = 0.25 R, R = N^(-1/2)); here 1 m and kT = 1 eV.
    "kmc_dn": Preset(
        name="kmc_dn",
        source="kmc_dn (GPL-3), thesis set: dimensionless, kT = 1",
        shape=Rectangle(1.0, 1.0),
        acceptors=30,
        donors=3,
        electrodes=tuple(
            Electrode(x, y, 0.1)
            for x, y in [(0, 0.25), (0, 0.75), (1, 0.25), (1, 0.75), (0.25, 0), (0.75, 0), (0.25, 1), (0.75, 1)]
        ),
        temperature_K=1.0 / BOLTZMANN_EV,
        localisation_m=0.25 * _KMC_DN_RADIUS_M,
        relative_permittivity=COULOMB_EV_M / (100.0 * _KMC_DN_RADIUS_M),
        disorder_eV=0.0,
        attempt_rate_Hz=1.0,
        hop_min_m=0.0,
        hop_max_m=np.inf,
        limit_V=100.0,
    ),
}


@dataclass(frozen=True, eq=False)
class DopantNetwork:
    """One device: positions, energies, electrodes and physical parameters; immutable and checked when built.

    Parameters
    ----------
    acceptors_m : ndarray, shape (n_sites, 2)
        Positions of the acceptors, m.
    donors_m : ndarray, shape (n_donors, 2)
        Positions of the fixed positive charges, m.
    site_energies_eV : ndarray, shape (n_sites,)
        eps_i, the disorder of the acceptor levels, eV.
    electrodes : tuple of Electrode
        Contacts on the boundary.
    shape : Disc or Rectangle
    temperature_K, localisation_m, relative_permittivity, attempt_rate_Hz : float
        T, a, eps_r and nu_0.
    hop_min_m, hop_max_m : float
        Hops between acceptors shorter or longer than these are left out, as are hops to electrodes longer than
        `hop_max_m`.
    limit_V : float
        Electrode voltages beyond +- this are refused.
    unit_potentials : ndarray, shape (n_sites, n_electrodes), optional
        phi_k at the sites (V per V); by default the finite-element solution for the shape.
    preset, seed : optional
        Where the network came from; for provenance only.

    Raises
    ------
    InputError
        If a field has a wrong shape, is not finite or has an impossible value.
    """

    acceptors_m: FloatArray
    donors_m: FloatArray
    site_energies_eV: FloatArray
    electrodes: tuple[Electrode, ...]
    shape: Shape
    temperature_K: float
    localisation_m: float
    relative_permittivity: float
    attempt_rate_Hz: float
    hop_min_m: float = 0.0
    hop_max_m: float = float("inf")
    limit_V: float = float("inf")
    unit_potentials: FloatArray = field(default=None)  # type: ignore[arg-type]
    preset: str | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        acceptors = self._array("acceptors_m", self.acceptors_m, (None, 2))
        if len(acceptors) == 0:
            raise InputError("acceptors_m", [], "an empty device conducts nothing", "place at least one acceptor")
        donors: Any = np.empty((0, 2)) if np.size(self.donors_m) == 0 else self.donors_m
        if len(self._array("donors_m", donors, (None, 2))) >= len(acceptors):
            problem = f"as many donors as acceptors ({len(acceptors)}) leave no hole"
            raise InputError("donors_m", len(donors), problem, "place fewer donors or more acceptors")
        self._array("site_energies_eV", self.site_energies_eV, (len(acceptors),))
        if not isinstance(self.shape, Disc | Rectangle):
            raise InputError("shape", self.shape, "is no shape", "give a Disc or a Rectangle")
        if not isinstance(self.electrodes, Iterable) or not all(isinstance(e, Electrode) for e in self.electrodes):
            raise InputError("electrodes", self.electrodes, "must be a tuple of Electrode", "give at least one")
        object.__setattr__(self, "electrodes", tuple(self.electrodes))
        if not self.electrodes:
            raise InputError("electrodes", (), "a device needs electrodes", "give at least one")
        for e in self.electrodes:
            centre = np.array([[e.x_m, e.y_m]])
            off = np.hypot(*(self.shape.boundary_point(self.shape.arc_position(centre)) - centre)[0])
            if off > OFF_BOUNDARY * self.shape.perimeter_m:
                raise InputError("electrodes", e, f"lies {off:.3g} m off the boundary", "place it on the boundary")
        not_negative("hop_min_m", self.hop_min_m, "m")
        units = {"temperature_K": "K", "localisation_m": "m", "relative_permittivity": "1", "attempt_rate_Hz": "Hz"}
        for name, unit in units.items():
            positive(name, getattr(self, name), unit)
        for name, unit in {"hop_max_m": "m", "limit_V": "V"}.items():
            if getattr(self, name) != np.inf:
                positive(name, getattr(self, name), unit)
        if self.temperature_K < COLDEST_K:
            fix = f"stay above {COLDEST_K} K"
            raise InputError("temperature_K", self.temperature_K, "makes all rates underflow", fix)
        if not self.hop_min_m < self.hop_max_m:
            raise InputError("hop_min_m", self.hop_min_m, f"must lie in [0, hop_max_m = {self.hop_max_m})", "lower it")
        outside = np.nonzero(~self.shape.contains(acceptors))[0]
        if len(outside):
            place, problem = acceptors[outside[0]].tolist(), f"acceptor {outside[0]} lies outside"
            raise InputError("acceptors_m", place, problem, "move it inside")
        gaps = self.distances_m + np.diag(np.full(len(acceptors), np.inf))
        if gaps.min() <= TOUCHING * self.localisation_m:
            pair = np.unravel_index(np.argmin(gaps), gaps.shape)
            raise InputError("acceptors_m", [int(k) for k in pair], "two acceptors overlap", "move one of them")
        if self.donor_distances_m.min(initial=np.inf) <= TOUCHING * self.localisation_m:
            raise InputError("donors_m", self.donors_m.tolist(), "a donor lies on an acceptor", "move it")
        if self.unit_potentials is None:
            phi = unit_potentials(self.shape, self.electrodes).at(acceptors)
            phi.setflags(write=False)
            object.__setattr__(self, "unit_potentials", phi)
        else:
            self._array("unit_potentials", self.unit_potentials, (len(acceptors), len(self.electrodes)))

    def _array(self, name: str, value: Any, shape: tuple[int | None, ...]) -> FloatArray:
        values: FloatArray = array(name, value, shape)
        values.setflags(write=False)
        object.__setattr__(self, name, values)
        return values

    @classmethod
    def random(cls, *, seed: int, preset: str = "tertilt2022", **changes: Any) -> Self:
        """A random network: acceptors and donors uniform over the shape, site energies normal.

        Parameters
        ----------
        seed : int
            Decides positions and energies (numpy PCG64).
        preset : str
            ``"tertilt2022"`` or ``"kmc_dn"``.
        **changes
            Fields of the preset to change, e.g. ``acceptors=100, temperature_K=150``.

        Raises
        ------
        InputError
            If the preset or a field is unknown, or a value impossible.
        """
        if not isinstance(preset, str) or preset not in PRESETS:
            raise InputError("preset", preset, "is unknown", f"choose one of {', '.join(PRESETS)}")
        known = {f.name for f in fields(Preset)} - {"name", "source"}
        for name in changes:
            if name not in known:
                fix = f"choose from {', '.join(sorted(known))}"
                raise InputError(name, changes[name], "is no field of a preset", fix)
        recipe = replace(PRESETS[preset], **changes)
        count("seed", seed, 0)
        if not isinstance(recipe.shape, Disc | Rectangle):
            raise InputError("shape", recipe.shape, "is no shape", "give a Disc or a Rectangle")
        not_negative("disorder_eV", recipe.disorder_eV, "eV")
        count("acceptors", recipe.acceptors)
        count("donors", recipe.donors, 0)
        rng = np.random.default_rng(seed)
        return cls(
            acceptors_m=recipe.shape.sample(rng, recipe.acceptors),
            donors_m=recipe.shape.sample(rng, recipe.donors),
            site_energies_eV=rng.normal(0.0, recipe.disorder_eV, recipe.acceptors),
            preset=preset if not changes else f"{preset}, changed: {', '.join(sorted(changes))}",
            seed=seed,
            **{f.name: getattr(recipe, f.name) for f in fields(cls) if f.name in known},
        )

    @property
    def n_sites(self) -> int:
        """Number of acceptors."""
        return len(self.acceptors_m)

    @property
    def n_electrodes(self) -> int:
        """Number of electrodes."""
        return len(self.electrodes)

    @property
    def thermal_energy_eV(self) -> float:
        """kT in eV."""
        return BOLTZMANN_EV * self.temperature_K

    @cached_property
    def distances_m(self) -> FloatArray:
        """|r_i - r_j|, m, (n_sites, n_sites)."""
        d = self.acceptors_m[:, None, :] - self.acceptors_m[None, :, :]
        return np.asarray(np.hypot(d[..., 0], d[..., 1]))

    @cached_property
    def donor_distances_m(self) -> FloatArray:
        """Distance of every acceptor from every donor, m, (n_sites, n_donors)."""
        d = self.acceptors_m[:, None, :] - self.donors_m[None, :, :]
        return np.asarray(np.hypot(d[..., 0], d[..., 1]))

    @cached_property
    def electrode_distances_m(self) -> FloatArray:
        """Distance of every acceptor from every electrode, m, (n_sites, n_electrodes)."""
        return np.stack([self.shape.distance(self.acceptors_m, e) for e in self.electrodes], axis=1)

    @cached_property
    def coulomb_eV(self) -> FloatArray:
        """K/r_ij, eV, zero on the diagonal, (n_sites, n_sites)."""
        k = COULOMB_EV_M / self.relative_permittivity
        return np.asarray(k / (self.distances_m + np.diag(np.full(self.n_sites, np.inf))))

    @cached_property
    def fixed_energies_eV(self) -> FloatArray:
        """Site energy without electrodes and with every acceptor holding its hole, eV, (n_sites,)."""
        k = COULOMB_EV_M / self.relative_permittivity
        return np.asarray(self.site_energies_eV + (k / self.donor_distances_m).sum(axis=1))

    @cached_property
    def hop_prefactors_Hz(self) -> FloatArray:
        """nu_0 exp(-2 r_ij/a) between acceptors, 1/s, zero where no hop is allowed, (n_sites, n_sites)."""
        r = self.distances_m
        allowed = (r >= self.hop_min_m) & (r <= self.hop_max_m) & (r > 0)
        return np.where(allowed, self.attempt_rate_Hz * np.exp(-2 * r / self.localisation_m), 0.0)

    @cached_property
    def electrode_prefactors_Hz(self) -> FloatArray:
        """nu_0 exp(-2 r/a) between sites and electrodes, 1/s, zero beyond `hop_max_m`, (n_sites, n_electrodes)."""
        r = self.electrode_distances_m
        return np.where(r <= self.hop_max_m, self.attempt_rate_Hz * np.exp(-2 * r / self.localisation_m), 0.0)

    @property
    def limits_V(self) -> FloatArray:
        """Lowest and highest voltage of each electrode, V, (n_electrodes, 2)."""
        return np.tile([-self.limit_V, self.limit_V], (self.n_electrodes, 1))

    def check_voltages(self, voltages: Any) -> FloatArray:
        """Return the electrode voltages as float array (..., n_electrodes), or say what is wrong with them.

        Raises
        ------
        InputError
            If the last axis is not one voltage per electrode, or a voltage is not finite or beyond the limit.
        """
        volts: FloatArray = array("voltages", voltages, (..., self.n_electrodes))
        worst = float(np.max(np.abs(volts), initial=0.0))
        if worst > self.limit_V * (1 + 1e-9):
            raise InputError("voltages", worst, f"is beyond the device's limit of +-{self.limit_V:g} V", "lower it")
        return volts


class NetworkModel:
    """What all models of a network have in common: its electrodes are their terminals."""

    network: DopantNetwork

    @property
    def terminals(self) -> tuple[str, ...]:
        """Names of the electrodes."""
        return tuple(f"e{k}" for k in range(self.network.n_electrodes))

    @property
    def limits_V(self) -> FloatArray:
        """Lowest and highest voltage of each electrode, V, (n_electrodes, 2)."""
        return self.network.limits_V

    def one_setting(self, voltages: Any) -> FloatArray:
        """Voltages of one setting, checked, (n_electrodes,); raises `InputError` as `DopantNetwork.check_voltages`."""
        volts = self.network.check_voltages(voltages)
        if volts.ndim != 1:
            raise InputError("voltages", volts.shape, "one setting at a time", "loop over the settings")
        return volts


def check_frequencies(frequencies_Hz: Any) -> FloatArray:
    """Frequencies as an array (n,), or `InputError` where they are none."""
    frequencies: FloatArray = array("frequencies_Hz", frequencies_Hz, (None,))
    if not np.all(frequencies >= 0):
        raise InputError("frequencies_Hz", frequencies.tolist(), "must not be negative", "check them")
    return frequencies
