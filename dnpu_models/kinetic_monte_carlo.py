"""Kinetic Monte Carlo: exact trajectories of the holes, with their full long-range Coulomb interaction.

The truth at any size, within a stated statistical error; equations in `network`, method in
`kinetic_monte_carlo_kernel`. Currents are counted: holes that come in through an electrode less those that
leave, times e, per time. That is right for the mean; it is not the current at an instant, which has a
displacement part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnpu_models import kinetic_monte_carlo_kernel as kernel
from dnpu_models.constants import ELEMENTARY_CHARGE
from dnpu_models.estimate import Estimate
from dnpu_models.geometry import FloatArray
from dnpu_models.network import DopantNetwork
from inmateria.errors import ConvergenceError, InputError


class _Energies(NamedTuple):
    """One voltage setting in the kernel's units; named there."""

    base: FloatArray
    v: FloatArray
    factored: bool


@dataclass(frozen=True, eq=False)
class KineticMonteCarlo:
    """Exact stochastic model of a dopant network.

    It holds parameters only; every run brings its own state and seed.

    Parameters
    ----------
    network : DopantNetwork
    """

    network: DopantNetwork

    @property
    def terminals(self) -> tuple[str, ...]:
        """Names of the electrodes."""
        return tuple(f"e{k}" for k in range(self.network.n_electrodes))

    @property
    def limit_V(self) -> float:
        """Largest electrode voltage, V."""
        return self.network.limit_V

    @cached_property
    def _tables(self) -> kernel.Tables:
        network = self.network
        coulomb = np.ascontiguousarray(network.coulomb_eV / network.thermal_energy_eV)
        pair_rates = network.hop_prefactors_Hz.T / network.attempt_rate_Hz  # [destination, source]
        contact_rates = network.electrode_prefactors_Hz / network.attempt_rate_Hz
        destination, source = np.nonzero(pair_rates)
        site, electrode = np.nonzero(contact_rates)
        sites = np.arange(network.n_sites + 1)
        with np.errstate(over="ignore"):  # where it overflows it is not used
            factor = pair_rates[destination, source] * np.exp(coulomb[destination, source])
        return kernel.Tables(
            pair_start=np.searchsorted(destination, sites).astype(np.uint64),
            pair_source=source.astype(np.uint64),
            pair_rate=pair_rates[destination, source],
            pair_coulomb=coulomb[destination, source],
            pair_factor=factor,
            contact_start=np.searchsorted(site, sites).astype(np.uint64),
            contact_site=site.astype(np.uint64),
            contact_electrode=electrode.astype(np.uint64),
            contact_rate=contact_rates[site, electrode],
            coulomb=coulomb,
        )

    def _energies(self, voltages: FloatArray) -> _Energies:
        """Energies in kT, from the middle of all that any occupation can reach; whether factors are safe."""
        tables, kt = self._tables, self.network.thermal_energy_eV
        v = voltages / kt
        base = self.network.fixed_energies_eV / kt + self.network.unit_potentials @ v
        low = min(float((base - tables.coulomb.sum(axis=0)).min()), float(v.min()))
        high = max(float(base.max()), float(v.max()))
        closest = float(tables.pair_coulomb.max(initial=0.0))
        slowest = -float(np.log(tables.pair_rate.min(initial=1.0)))
        factored = high - low + closest + slowest < kernel.FACTORED_SPAN
        middle = 0.5 * (low + high)
        return _Energies(base - middle, v - middle, factored)

    def estimate(
        self,
        voltages: Any,
        *,
        seed: int | np.random.Generator,
        hops: int,
        burn_in: int | None = None,
        batches: int = 32,
        initial: Any = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Estimate:
        r"""Mean electrode currents with their standard errors.

        One trajectory per setting: `burn_in` hops that count for nothing, then `hops` in `batches` batches of
        equally many hops (within one). With Q_b the charge that came in and T_b the time of batch b,

            I = sum_b Q_b / sum_b T_b,    stderr^2 = sum_b (Q_b - I T_b)^2 / ((B - 1) B (mean T_b)^2),

        the ratio estimator of renewal theory (W. G. Cochran, Sampling Techniques, 1977, ch. 6; batch means:
        P. W. Glynn and D. L. Iglehart, Math. Oper. Res. 15, 1, 1990). Student's t with B - 1 degrees of
        freedom applies; the bias falls as 1/hops. The waiting time of each state enters as its mean, 1/(total
        rate), which has the same expectation and less scatter than a drawn one.

        The error is honest only if a batch is long compared with the slowest relaxation. At low temperature
        or strong interaction a device may have states that live for 1e5 hops and more, and a run that never
        leaves one reports a small error around its current (seen: eight times the mean current, with 12 % error,
        for one of seven seeds on one device of kmc_dn's thesis set). Compare seeds.

        Parameters
        ----------
        voltages : array_like, shape (..., n_electrodes)
            Electrode voltages, V; each setting of the leading axes gets a trajectory and a random stream of
            its own.
        seed : int or numpy.random.Generator
            Decides everything: the same int gives the same result bit by bit (on the same kind of processor
            and with the same arguments). A Generator advances by one draw.
        hops : int
            Hops counted per setting.
        burn_in : int, optional
            Hops before counting; default ``max(hops // 4, 50 * n_sites)``, or ``hops // 4`` from a given
            `initial`.
        batches : int
            At least 2; the default leaves a standard error that is itself good to 13 %.
        initial : array_like of 0 and 1, shape (n_sites,), optional
            Occupation to start from; default: n_acceptors - n_donors holes (not below 0) on sites drawn by
            the seed.
        progress : callable, optional
            Called as ``progress(done, total)`` with numbers of hops, after the burn-in and each batch.

        Returns
        -------
        Estimate
            Currents in A, positive into the device.

        Raises
        ------
        InputError
            For voltages, seed, numbers of hops or an initial occupation that cannot be used.
        ConvergenceError
            If no hop is possible any more: a mean current does not exist.
        """
        volts = self.network.check_voltages(voltages)
        hops = _count("hops", hops, 1)
        batches = _count("batches", batches, 2)
        if hops < batches:
            raise InputError("hops", hops, f"is less than one for each of {batches} batches", "ask for more hops")
        start = None if initial is None else self._initial(initial)
        if burn_in is None:
            burn_in = hops // 4 if start is not None else max(hops // 4, 50 * self.network.n_sites)
        burn_in = _count("burn_in", burn_in, 0)
        axes, n_electrodes, n_sites = volts.shape[:-1], self.network.n_electrodes, self.network.n_sites
        settings = volts.reshape(-1, n_electrodes)
        value, stderr = np.empty_like(settings), np.empty_like(settings)
        time = np.empty(len(settings))
        occupations = np.empty((len(settings), n_sites))
        final = np.empty((len(settings), n_sites), dtype=np.uint8)
        lengths = np.diff(np.arange(batches + 1) * hops // batches)
        total, done = len(settings) * (burn_in + hops), 0
        unit_A = ELEMENTARY_CHARGE * self.network.attempt_rate_Hz
        for index, stream in enumerate(_streams(seed, len(settings))):
            draw, words = _split(stream)
            occupied = self._random_occupation(draw) if start is None else start.copy()
            energies = self._energies(settings[index])
            self._follow(energies, occupied, words, burn_in, settings[index])
            done += burn_in
            if progress is not None:
                progress(done, total)
            charges, times = np.empty((batches, n_electrodes)), np.empty(batches)
            held = np.zeros(n_sites)
            for b, length in enumerate(lengths.tolist()):
                charges[b], times[b], batch_held = self._follow(energies, occupied, words, length, settings[index])
                held += batch_held
                done += length
                if progress is not None:
                    progress(done, total)
            sum_time = times.sum()
            mean = charges.sum(axis=0) / sum_time
            spread = charges - mean * times[:, None]
            value[index] = unit_A * mean
            stderr[index] = unit_A * np.sqrt((spread**2).sum(axis=0) * batches / (batches - 1)) / sum_time
            time[index] = sum_time / self.network.attempt_rate_Hz
            occupations[index] = held / sum_time
            final[index] = occupied
        return Estimate(
            value=value.reshape(volts.shape),
            stderr=stderr.reshape(volts.shape),
            batches=batches,
            hops=hops,
            time_s=time.reshape(axes),
            occupations=occupations.reshape((*axes, n_sites)),
            final=final.reshape((*axes, n_sites)),
        )

    def currents(self, voltages: Any, seed: int | np.random.Generator, hops: int) -> FloatArray:
        """Mean electrode currents, A, positive into the device: `estimate` without its errors.

        Parameters
        ----------
        voltages : array_like, shape (..., n_electrodes)
            V.
        seed : int or numpy.random.Generator
        hops : int
            Hops counted per setting.

        Raises
        ------
        InputError, ConvergenceError
            As `estimate`.
        """
        return self.estimate(voltages, seed=seed, hops=hops).value

    def _follow(
        self,
        energies: _Energies,
        occupied: NDArray[np.uint8],
        words: NDArray[np.uint64],
        hops: int,
        voltages: FloatArray,
    ) -> tuple[NDArray[np.int64], float, FloatArray]:
        """Advance `occupied` and `words` by `hops`: charge in (e), time (1/nu_0), time held by each site."""
        charge = np.zeros(self.network.n_electrodes, dtype=np.int64)
        held = np.zeros(self.network.n_sites)
        made, time = kernel.run_hops(self._tables, *energies, occupied, words, hops, False, charge, held)
        if made < hops:
            raise ConvergenceError(
                "voltages",
                voltages.tolist(),
                f"stuck with {int(occupied.sum())} holes on {len(occupied)} sites: all rates are 0",
                "raise temperature_K or hop_max_m, or bring electrodes within reach",
            )
        return charge, float(time), held

    def _initial(self, initial: Any) -> NDArray[np.uint8]:
        array = np.asarray(initial)
        if array.shape != (self.network.n_sites,):
            raise InputError("initial", array.shape, f"one value for each of {self.network.n_sites} sites", "check it")
        if array.dtype.kind not in "buif" or not np.all((array == 0) | (array == 1)):
            raise InputError("initial", array.tolist(), "must hold 0 and 1 only", "say which sites hold a hole")
        return array.astype(np.uint8)

    def _random_occupation(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        holes = max(self.network.n_sites - len(self.network.donors_m), 0)
        occupied = np.zeros(self.network.n_sites, dtype=np.uint8)
        occupied[rng.permutation(self.network.n_sites)[:holes]] = 1
        return occupied


def _count(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(name, value, f"must be a whole number of at least {least}", "give an int")
    return int(value)


def _streams(seed: int | np.random.Generator, count: int) -> list[np.random.SeedSequence]:
    """Independent streams, one for each setting."""
    if isinstance(seed, np.random.Generator):
        entropy = seed.integers(0, 2**32, size=8, dtype=np.uint32).tolist()
        return np.random.SeedSequence(entropy).spawn(count)
    return np.random.SeedSequence(_count("seed", seed, 0)).spawn(count)


def _split(stream: np.random.SeedSequence) -> tuple[np.random.Generator, NDArray[np.uint64]]:
    """Return the generator for the start and the words of xoshiro256++ (never all 0, its forbidden state)."""
    start, hopping = stream.spawn(2)
    words = hopping.generate_state(4, np.uint64).astype(np.uint64)
    words[0] |= np.uint64(not words.any())
    return np.random.Generator(np.random.PCG64(start)), words
