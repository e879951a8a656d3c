"""The noise currents of every element at a bias, from ngspice's ``.noise``.

The elements that make noise are taken out of the circuit and placed alone, each of their nodes held at its voltage by a
source, so that an element's noise flows into the holding sources and nowhere else. An output adds their currents with
random weights, w_n for node n. Of the output's noise ngspice tells every element's part, kind by kind
(``onoise_q.x1.q1_ic``), and with G_mn the density of the element's currents into nodes m and n, A^2/Hz, that part is

    S(f) = sum_mn w_m w_n Re G_mn(f),

from which a few choices of the weights give G. One process with a gain g_n at each node has G = g g^T: where a kind of
noise sits inside of the element, in series with its base, say, what flows at its terminals is correlated, and comes
out so. Currents of the nodes add up to zero, ground's included. What an element's own capacitances do is in G at the
frequencies asked for; of phases between its terminals only the real part is.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from circuits.ngspice.engine import Engine, Vectors
from circuits.noise.elements import Element, NoisyElements
from inmateria.checks import FloatArray
from inmateria.errors import EngineError, TrustWarning
from netlists.spice_numbers import format_number

PER_DECADE = 5
"""Frequencies at which noise is asked for."""
_MORE = 2
"""Choices of weights beyond those that the unknowns need."""
_FIT = 1e-5
"""How well they must agree, of the largest."""
_LEAST = 1e-9
"""A part of so little of an element's noise, in power, is left out: where it is small it is rounding."""
_SENSE_OHM = 1e3
_SUM, _IN = "inmateriasum", "inmateriain"
"""Nodes that no circuit has."""


@dataclass(frozen=True, eq=False)
class Density:
    """One kind of noise of one element.

    Attributes
    ----------
    name : str
        ngspice's vector, ``onoise_q.x1.q1_ic``.
    element : Element
    matrix : ndarray, shape (n_frequencies, n_nodes, n_nodes)
        One-sided densities of the currents into `element.nodes`, A^2/Hz.
    """

    name: str
    element: Element
    matrix: FloatArray


def densities(
    engine: Engine, noisy: NoisyElements, volts: Mapping[str, float], band_Hz: tuple[float, float], dialect: str | None
) -> tuple[FloatArray, list[Density]]:
    """Noise of all elements with their nodes at `volts`.

    Parameters
    ----------
    engine : Engine
    noisy : NoisyElements
    volts : mapping of str to float
        Of nodes, V; 0 for those that are not told.
    band_Hz : (float, float)
        Lowest and highest frequency, Hz.
    dialect : str or None

    Returns
    -------
    frequencies : ndarray, shape (n_frequencies,)
        Hz.
    list of Density
        Those that are not zero.

    Raises
    ------
    EngineError
        If ngspice's parts fit no currents between an element's nodes, or are not the whole.
    NetlistError, ConvergenceError
        As `Engine.run`.
    """
    unknowns = max((element.ways * (element.ways + 1) // 2 for element in noisy.elements), default=0)
    if not unknowns:
        return np.zeros(0), []
    rng = np.random.default_rng(0)
    nodes = noisy.nodes
    weights, heard = [], list[Vectors]()
    for _ in range(unknowns + _MORE):
        weights.append(dict(zip(nodes, rng.standard_normal(len(nodes)).tolist(), strict=True)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrustWarning)  # the circuit is run as itself, and doubted there
            heard.append(engine.run(_held(noisy, volts, weights[-1], band_Hz), dialect=dialect))
    parts = kinds(heard[0], noisy.elements)
    powers = {name: np.stack([np.asarray(vectors[name]) ** 2 for vectors in heard]) for name in parts}
    _check_complete(heard, powers)
    largest = dict[str, float]()
    for name, element in parts.items():
        largest[element.name] = max(largest.get(element.name, 0.0), float(powers[name].max()))
    return np.asarray(heard[0]["frequency"]), [
        _solved(name, element, weights, powers[name] / _SENSE_OHM**2)
        for name, element in parts.items()
        if powers[name].max() > _LEAST * largest[element.name]
    ]


def _check_complete(heard: Sequence[Vectors], powers: Mapping[str, FloatArray]) -> None:
    """Refuse parts that are not the whole: names of elements that end as kinds do can be read in two ways."""
    for k, vectors in enumerate(heard):
        ours = sum((power[k] for power in powers.values()), np.zeros(len(vectors["frequency"])))
        own = sum(np.asarray(vectors[f"onoise_{name}"]) ** 2 for name in (f"r{_SUM}", f"r{_IN}"))
        if not np.allclose(ours + own, np.asarray(vectors["onoise_spectrum"]) ** 2, rtol=_FIT, atol=0.0):
            problem = "the parts that ngspice tells are not the whole of the noise"
            raise EngineError(
                "noise", "elements", problem, "rename elements whose names end in e.g. _thermal, _id, _rb"
            )


def _held(
    noisy: NoisyElements, volts: Mapping[str, float], weights: Mapping[str, float], band_Hz: tuple[float, float]
) -> str:
    """The deck that hears the currents into held nodes; an output of 1 V is 1 A / `_SENSE_OHM`."""
    lines = ["elements that make noise, alone", *noisy.cards, *(element.line for element in noisy.elements)]
    for k, (node, weight) in enumerate(weights.items()):
        lines += [
            f"Vnoisehold{k} {node} 0 {format_number(volts.get(node, 0.0))}",
            f"Fnoisehold{k} 0 {_SUM} Vnoisehold{k} {format_number(weight)}",
        ]
    lines += [
        f"R{_SUM} {_SUM} 0 {format_number(_SENSE_OHM)}",
        f"V{_IN} {_IN} 0 DC 0 AC 1",
        f"R{_IN} {_IN} 0 1",
    ]
    low, high = band_Hz
    return "\n".join([*lines, f".noise v({_SUM}) V{_IN} dec {PER_DECADE} {low!r} {high!r} 1", ".end", ""])


def kinds(heard: Vectors, elements: Sequence[Element]) -> dict[str, Element]:
    """Vectors of the parts, ``onoise_r1_thermal`` (``onoise.m1.id`` of BSIM4), and whose they are.

    It is the element with the longest name that fits. An element's sum is left out where its parts are told.
    """
    known = {element.name: element for element in elements}
    parts, sums = dict[str, Element](), dict[str, Element]()
    for vector, values in heard.items():
        name = vector[len("onoise") + 1 :]
        if not vector.startswith(("onoise_", "onoise.")) or len(values) != len(heard["frequency"]):
            continue
        if name in known:
            sums[vector] = known[name]
            continue
        ends = (k for k in range(len(name), 0, -1) if name[k : k + 1] in ("_", ".") and name[:k] in known)
        end = next(ends, None)
        if end is not None:
            parts[vector] = known[name[:end]]
    told = {element.name for element in parts.values()}
    return parts | {vector: element for vector, element in sums.items() if element.name not in told}


def _solved(name: str, element: Element, weights: Sequence[Mapping[str, float]], told: FloatArray) -> Density:
    """G of one kind of noise from its parts of the outputs (A^2/Hz, a row for each choice of weights)."""
    *free, last = element.nodes if not element.grounded else (*element.nodes, "0")
    differences = np.array([[row[node] - row.get(last, 0.0) for node in free] for row in weights])
    upper = np.triu_indices(len(free))
    twice = np.where(upper[0] == upper[1], 1.0, 2.0)
    products = differences[:, upper[0]] * differences[:, upper[1]] * twice
    solution, *_ = np.linalg.lstsq(products, told, rcond=None)
    if np.max(np.abs(products @ solution - told)) > _FIT * np.max(told):
        problem = "its parts fit no currents between the element's nodes"
        raise EngineError("noise", name, problem, "leave it out with noise=0, or report the circuit")
    among = np.zeros((told.shape[1], len(free), len(free)))
    among[:, upper[0], upper[1]] = among[:, upper[1], upper[0]] = solution.T
    # Where ground is none of the nodes, the last one takes what the others give.
    back = np.eye(len(free)) if element.grounded else np.vstack([np.eye(len(free)), -np.ones(len(free))])
    return Density(name, element, back @ among @ back.T)
