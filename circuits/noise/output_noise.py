"""Noise at a circuit's output, element by element, from one ``.noise`` of the circuit as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from circuits.ngspice.engine import Engine
from circuits.noise.densities import kinds
from circuits.noise.elements import Element, noisy_elements
from inmateria.checks import FloatArray

PER_DECADE = 20


def elements_of(engine: Engine, circuit: str) -> tuple[Element, ...]:
    """The elements of a circuit (title line and circuit) that may make noise; errors as `Engine.expanded`."""
    return noisy_elements(engine.expanded(f"{circuit}\n.end\n")).elements


def output_noise(
    engine: Engine, circuit: str, elements: Sequence[Element], output: str, source: str, band_Hz: tuple[float, float]
) -> tuple[FloatArray, Callable[..., FloatArray]]:
    """Noise at a node, by instances.

    Parameters
    ----------
    engine : Engine
    circuit : str
        Title line and circuit.
    elements : sequence of Element
        Its own, `elements_of`.
    output : str
        The node.
    source : str
        Name of a source with ``AC 1``.
    band_Hz : (float, float)
        Lowest and highest frequency, Hz.

    Returns
    -------
    frequencies : ndarray, shape (n,)
        Hz.
    density : callable
        Called with beginnings of instances' names (``xtia.``) the density of the elements in them, V^2/Hz, (n,); with
        none of all elements.

    Raises
    ------
    NetlistError, ConvergenceError, EngineError
        As `Engine.run`.
    """
    low, high = band_Hz
    vectors = engine.run(f"{circuit}\n.noise v({output}) {source} dec {PER_DECADE} {low!r} {high!r} 1\n.end\n")
    parts = kinds(vectors, elements)

    def density(*instances: str) -> FloatArray:
        total = np.zeros(len(vectors["frequency"]))
        for vector, element in parts.items():
            if not instances or any(f".{instance}" in element.name for instance in instances):
                total += np.asarray(vectors[vector]) ** 2
        return total

    return np.asarray(vectors["frequency"]), density
