"""Noise of the electronics between the device's output and the loss, for the budget of an opened loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from circuits.homodyne import netlist
from circuits.homodyne.loop import HomodyneLoop
from circuits.ngspice.engine import Engine
from circuits.noise.elements import Element
from circuits.noise.output_noise import elements_of, output_noise
from inmateria.checks import FloatArray
from netlists.spice_numbers import format_number

GATE = "xloss."
"""The part of the loss holds the gate: what arises in it is heard while the gate is closed, too."""


def loss_noise(
    loop: HomodyneLoop, engine: Engine, currents_A: Sequence[float], longer: float
) -> Callable[[FloatArray], FloatArray]:
    """Density of the loss's noise, the mean over the patterns, V^2/Hz.

    Parameters
    ----------
    loop : HomodyneLoop
        Opened; baseline and gain stand.
    engine : Engine
    currents_A : sequence of float
        Output current at rest, out of the device, at each pattern.
    longer : float
        For how long the lock-ins listen, over the time that the gate is open.

    Returns
    -------
    callable
        One-sided density at frequencies (Hz).

    Raises
    ------
    InputError, NetlistError, ConvergenceError, EngineError
        As `netlist.loss_deck` and `Engine.run`.
    """
    tones = loop.dither.frequencies_Hz
    low, high = 0.5 * min(tones), 2.0 * max(tones)
    found: tuple[Element, ...] = ()
    each = []
    for pattern, current in enumerate(currents_A):
        deck = netlist.loss_deck(loop, loop.sequence.targets_V[pattern])
        circuit = f"{deck}\nInoise 0 el{loop.output} DC {format_number(current)} AC 1"
        found = found or elements_of(engine, circuit)  # the same at all patterns
        frequency, density = output_noise(engine, circuit, found, "loss", "Inoise", (low, high))
        each.append(density() + (longer - 1.0) * density(GATE))
    mean = np.mean(each, axis=0)
    return lambda f: np.asarray(np.interp(np.log(f), np.log(frequency), mean))
