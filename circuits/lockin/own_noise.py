"""Noise of a lock-in's electronics, by ``.noise`` at references that stand still: for the error budget.

What arises before the mixers is referred to the input and counts at the tones; what arises in mixer and filter is the
variance at the filter's end, as the density of white noise at its beginning that would give as much. That variance has
the band of who reads: the noise of the last amplifier is not filtered any more. The reference is a sine: the noise of a
mixer that depends on it is its mean over the references.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from circuits.lockin.netlist import LockInBlock
from circuits.ngspice.engine import Engine, Vectors
from circuits.noise.densities import kinds
from circuits.noise.elements import Element, noisy_elements
from inmateria.checks import FloatArray
from lockin.theory import enbw_Hz

_PER_DECADE = 20
_BELOW = 1e-3
"""The filter's noise is summed from this share of 1/tau on."""


def own_noise(
    engine: Engine,
    circuit: str,
    source: str,
    probes: Sequence[LockInBlock],
    heard: FloatArray,
    at_Hz: FloatArray,
    read_Hz: float,
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

    Returns
    -------
    before : callable
        One-sided density of noise before the mixers at frequencies (Hz), referred to the input, A^2/Hz.
    behind : float
        Of noise behind them, at the filter's beginning, V^2/Hz.

    Raises
    ------
    NetlistError, ConvergenceError, EngineError
        As `Engine.run`.
    """
    found = noisy_elements(engine.expanded(f"{circuit}\n.end\n")).elements
    rate = 1.0 / probes[0].settings.time_constant

    def density(probe: LockInBlock, node: str, low: float, high: float, *, behind: bool) -> tuple[FloatArray, FloatArray]:
        analysis = f".noise v({probe.node(node)}) {source} dec {_PER_DECADE} {low!r} {high!r} 1"
        vectors = engine.run(f"{circuit}\n{analysis}\n.end\n")
        return np.asarray(vectors["frequency"]), _sum(vectors, found, probe.name, behind=behind)

    frequency, part = density(probes[0], "mixer_x", float(at_Hz[0]), float(at_Hz[-1]), behind=False)
    referred = part / np.interp(np.log(frequency), np.log(at_Hz), heard) ** 2

    def before(frequency_Hz: FloatArray) -> FloatArray:
        where = np.clip(frequency_Hz, frequency[0], frequency[-1])
        return np.asarray(np.interp(np.log(where), np.log(frequency), referred))

    parts = (density(probe, "x", _BELOW * rate, read_Hz, behind=True) for probe in probes)
    variances = [np.trapezoid(part, f) for f, part in parts]
    return before, float(np.mean(variances) / enbw_Hz(probes[0].settings))


def _sum(vectors: Vectors, found: Sequence[Element], name: str, *, behind: bool) -> FloatArray:
    """Density at the output of all elements behind a lock-in's mixer, itself included, or of all before, V^2/Hz."""
    total = np.zeros(len(vectors["frequency"]))
    for vector, element in kinds(vectors, found).items():
        inside = any(f".x{name}_{stage}" in element.name for stage in ("mix", "lp"))
        if inside == behind:
            total += np.asarray(vectors[vector]) ** 2
    return total
