"""Currents of a trajectory in time, and their spectral densities.

What an ammeter at electrode k sees is the Ramo-Shockley current (W. Shockley, J. Appl. Phys. 9, 635, 1938; S. Ramo,
Proc. IRE 27, 584, 1939): every hop displaces charge at all electrodes, by the difference of their unit potentials
phi_k between its ends (1 at electrode k itself, 0 at all others),

    I_k = e dN_k/dt - d/dt sum_i e phi_k(r_i) n_i,

with N_k the holes that came in through electrode k less those that left. So the currents add up to zero at every
moment. Their means over a step of time are exact: only the holes that crossed and the occupations at its edges count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dnpu_models.monte_carlo.trajectory import Trajectory
from dnpu_models.network.constants import ELEMENTARY_CHARGE
from dnpu_models.network.network import DopantNetwork
from inmateria.checks import FloatArray
from inmateria.errors import InputError

ComplexArray = NDArray[np.complex128]


@dataclass(frozen=True, eq=False)
class CurrentRecord:
    """Currents of one trajectory in equal steps of time.

    Attributes
    ----------
    step_s : float
    voltages_V : ndarray, shape (n_steps + 1, n_electrodes) or (n_electrodes,)
        At the edges of the steps, or at all times.
    currents_A : ndarray, shape (n_steps, n_electrodes)
        Mean over each step, into the device, with the displacement by all hops.
    counted_A : ndarray, shape (n_steps, n_electrodes)
        The same of the holes that crossed the electrode alone.
    hops : int
    final : ndarray of uint8, shape (n_sites,)
        Occupation (0 or 1) at the end; can be given as `initial` of a further record.
    """

    step_s: float
    voltages_V: FloatArray
    currents_A: FloatArray
    counted_A: FloatArray
    hops: int
    final: NDArray[np.uint8]

    @property
    def times_s(self) -> FloatArray:
        """Middle of each step, shape (n_steps,)."""
        return np.asarray((np.arange(len(self.currents_A)) + 0.5) * self.step_s)

    def spectrum(self, windows: int) -> CurrentSpectrum:
        """Spectral densities of the electrode currents and between them.

        The record is cut into `windows` windows of length T, and the periodograms of the steps' means are averaged:

            S_jk(f) = (2/T) < X_j(f) X_k(f)* >,   X(f) = sum_m dt I_m exp(-2 pi i f t_m),   f = 1/T, ... < 1/(2 dt).

        Means over steps of dt fold the spectrum: what is estimated is sum_m S(f + m/dt) sinc^2(pi (f dt + m)), which is
        S itself where S is white, and at frequencies far below 1/dt.

        Parameters
        ----------
        windows : int
            More windows, smaller errors and fewer frequencies. A window has to be long compared with the slowest
            relaxation.

        Raises
        ------
        InputError
            For fewer than 2 windows, or windows of fewer than 4 steps.
        """
        length = len(self.currents_A) // windows if windows >= 1 else 0
        if windows < 2 or length < 4:
            problem = f"does not cut {len(self.currents_A)} steps into at least 2 windows of at least 4 steps"
            fix = f"give 2 to {len(self.currents_A) // 4}, or record more steps"
            raise InputError("windows", windows, problem, fix)
        electrodes = self.currents_A.shape[1]
        steps = self.currents_A[: windows * length] - self.currents_A[: windows * length].mean(axis=0)
        waves = np.fft.rfft(steps.reshape(windows, length, electrodes), axis=1)[:, 1 : (length + 1) // 2]
        scale = 2 * self.step_s / length
        density = scale * np.einsum("wfj,wfk->fjk", waves, waves.conj(), optimize=True) / windows
        stderr = np.einsum("fkk->fk", density).real / np.sqrt(windows)
        frequencies = np.arange(1, (length + 1) // 2) / (length * self.step_s)
        return CurrentSpectrum(frequencies, density, stderr, windows)


@dataclass(frozen=True, eq=False)
class CurrentSpectrum:
    """One-sided spectral densities of the electrode currents.

    Attributes
    ----------
    frequencies_Hz : ndarray, shape (n_frequencies,)
    density_A2_per_Hz : ndarray of complex, shape (n_frequencies, n_electrodes, n_electrodes)
        S_jk(f); Hermitian, the diagonal real.
    stderr_A2_per_Hz : ndarray, shape (n_frequencies, n_electrodes)
        Standard error of the diagonal: of a mean of independent exponential deviates (2 `windows` S/<S> follows
        chi-square with as many degrees of freedom).
    windows : int
    """

    frequencies_Hz: FloatArray
    density_A2_per_Hz: ComplexArray
    stderr_A2_per_Hz: FloatArray
    windows: int


def record_currents(
    network: DopantNetwork,
    trajectory: Trajectory,
    volts: FloatArray,
    step_s: float,
    steps: int,
    progress: Callable[[int, int], None] | None,
) -> CurrentRecord:
    """Follow a settled trajectory through equal steps of time at `volts` (V): one setting, or the steps' edges."""
    changing = volts.ndim == 2
    table = np.atleast_2d(volts)
    edges = (table - table[0]) / network.thermal_energy_eV + trajectory.energies.v
    step = step_s * network.attempt_rate_Hz
    entered, mirrored, hops = [], [], 0
    portion = max(min(steps, -(-steps // 100)), 1)
    for first in range(0, steps, portion):
        more = min(portion, steps - first)
        part = trajectory.record(
            step, more, network.unit_potentials, edges[first : first + more + 1] if changing else None
        )
        entered.append(part.entered)
        mirrored.append(np.diff(part.mirrored, axis=0))
        hops += part.made
        if progress is not None:
            progress(first + more, steps)
    holes = np.concatenate(entered).astype(float)
    unit = ELEMENTARY_CHARGE / step_s
    return CurrentRecord(
        step_s=step_s,
        voltages_V=volts,
        currents_A=unit * (holes - np.concatenate(mirrored)),
        counted_A=unit * holes,
        hops=hops,
        final=trajectory.occupied.copy(),
    )
