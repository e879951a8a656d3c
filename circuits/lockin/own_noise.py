"""Noise of a lock-in's electronics, by ``.noise`` at references that stand still: for the error budget.

What arises before the mixers is referred to the input and counts at the tones; what arises in mixer and filter is the
variance at the filter's end, as the density of white noise at its beginning that would give as much. That variance has
the band of who reads: the noise of the last amplifier is not filtered any more. The reference is a sine: the noise of a
mixer that depends on it is its mean over the references.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from circuits.lockin.netlist import LockInBlock
from circuits.ngspice.engine import Engine
from circuits.noise.output_noise import elements_of, output_noise
from inmateria.checks import FloatArray
from lockin.theory import enbw_Hz

_BELOW = 1e-3
"""The filter's noise is summed from this share of its bandwidth on."""
_LOBES = 200
"""Of sinc^2, that are summed; the rest holds 1/(2 pi^2 200) of it."""
GATE = "xgate."
"""Instance of the mixer that switches the lock-ins on."""


@dataclass(frozen=True)
class Averaged:
    """A reading that is a mean over time, as the learning loop's integrators take it.

    Attributes
    ----------
    window_s : float
        Over which the mean is meant, s.
    open_s : float
        How long the integrator listens, s: what arises in the gate and behind it is integrated while the gate is
        closed, too.
    """

    window_s: float
    open_s: float


def own_noise(
    engine: Engine,
    circuit: str,
    source: str,
    probes: Sequence[LockInBlock],
    heard: FloatArray,
    at_Hz: FloatArray,
    read_Hz: float,
    averaged: Averaged | None = None,
) -> tuple[Callable[[FloatArray], FloatArray], float]:
    """Noise before the mixers, and behind them.

    Parameters
    ----------
    engine : Engine
    circuit : str
        Title line and circuit, with a lock-in for each reference.
    source : str
        Name of the current source at the input, which has ``AC 1``.
    probes : sequence of LockInBlock
        The lock-ins.
    heard : ndarray, shape (n_frequencies,)
        Size of the transfer from the source to the first probe's mixer, V/A.
    at_Hz : ndarray, shape (n_frequencies,)
        Its frequencies, Hz.
    read_Hz : float
        Band in which the filter's end is read, Hz: of a transient half the rate of its points.
    averaged : Averaged, optional
        Where the filter's end is not read at an instant, but its mean over time.

    Returns
    -------
    before : callable
        One-sided density of noise before the mixers at frequencies (Hz), referred to the input, A^2/Hz.
    behind : float
        Of noise behind them, V^2/Hz: at the filter's beginning, or before the mean over time.

    Raises
    ------
    NetlistError, ConvergenceError, EngineError
        As `Engine.run`.
    """
    found = elements_of(engine, circuit)
    band = float(at_Hz[0]), float(at_Hz[-1])
    frequency, density = output_noise(engine, circuit, found, probes[0].node("mixer_x"), source, band)
    longer = 1.0 if averaged is None else averaged.open_s / averaged.window_s
    front = density() - density(*_stages(probes[0])) + (longer - 1.0) * density(GATE)
    referred = front / np.interp(np.log(frequency), np.log(at_Hz), heard) ** 2

    def before(frequency_Hz: FloatArray) -> FloatArray:
        where = np.clip(frequency_Hz, frequency[0], frequency[-1])
        return np.asarray(np.interp(np.log(where), np.log(frequency), referred))

    lowest = _BELOW / (probes[0].settings.time_constant if averaged is None else averaged.open_s)
    powers: list[float] = []
    for probe in probes:
        f, density = output_noise(engine, circuit, found, probe.node("x"), source, (lowest, read_Hz))
        found_there = density(*_stages(probe))
        if averaged is None:
            powers.append(float(np.trapezoid(found_there, f) / enbw_Hz(probe.settings)))
        else:
            powers.append(longer * _heard_by_mean(f, found_there, averaged.open_s))
    return before, float(np.mean(powers))


def _heard_by_mean(f: FloatArray, density: FloatArray, time_s: float) -> float:
    """Density of white noise whose mean over a time varies as much: 2 T times the integral of S(f) sinc^2(f T)."""
    fine = np.linspace(0.0, _LOBES / time_s, 64 * _LOBES + 1)
    there = np.interp(np.log(np.maximum(fine, f[0])), np.log(f), density)
    return float(2.0 * time_s * np.trapezoid(there * np.sinc(fine * time_s) ** 2, fine))


def _stages(probe: LockInBlock) -> tuple[str, ...]:
    """Beginnings of the names of the instances of mixer and filter."""
    return tuple(f"x{probe.name}_{stage}" for stage in ("mix", "lp"))
