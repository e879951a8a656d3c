"""Devices small enough to know everything about: what several tests need in place of a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from dnpu_models.interface.device import SteppableKernel
from dnpu_models.surrogate.chip import ChipSurrogate

Array = NDArray[np.float64]


@cache
def _linear() -> tuple[Any, Any]:
    # Made in a function, so that the engine hands them to its worker by value: tests are no importable module.
    @njit
    def evaluate(t, voltages, params, state, out):  # type: ignore[no-untyped-def]
        n = voltages.size
        for j in range(n):
            out[j] = 0.0
            for k in range(n):
                out[j] += params[j * n + k] * voltages[k]

    @njit
    def advance(dt, voltages, params, state):  # type: ignore[no-untyped-def]
        pass

    return evaluate, advance


def linear_kernel(conductances_S: ArrayLike) -> SteppableKernel:
    """I = G V, compiled from a closure, as a user's script or notebook has it."""
    g = np.array(conductances_S, dtype=float)
    return SteppableKernel(*_linear(), g.ravel(), np.zeros(1), g)


class OneOutput:
    """Eight terminals, +-1 V; out of the first flows a given function of the voltages (m, 8), A. It counts settings."""

    terminals = tuple(f"e{k}" for k in range(8))
    limits_V = np.tile([-1.0, 1.0], (8, 1))

    def __init__(self, function: Callable[[Array], Any]) -> None:
        self.function = function
        self.asked = 0

    def currents(self, voltages: Any) -> Array:
        volts = np.asarray(voltages, dtype=float)
        self.asked += int(np.prod(volts.shape[:-1]))
        assert np.all(np.abs(volts) <= 1 + 1e-12), "beyond the device's range"
        currents = np.zeros_like(volts)
        currents[..., 0] = -self.function(volts)
        return currents


@dataclass(frozen=True)
class Linear:
    """Output current G . V out of the first terminal."""

    conductances_S: tuple[float, ...] = (0.0, 5e-8, 3e-8)
    range_V: tuple[float, float] = (-1.0, 1.0)

    @property
    def terminals(self) -> tuple[str, ...]:
        return tuple(f"e{k}" for k in range(len(self.conductances_S)))

    @property
    def limits_V(self) -> Array:
        return np.tile(self.range_V, (len(self.conductances_S), 1))

    def currents(self, voltages: Any) -> Array:
        volts = np.asarray(voltages, dtype=float)
        currents = np.zeros_like(volts)
        currents[..., 0] = -volts @ np.array(self.conductances_S)
        return currents

    def kernel(self, voltages: Any, *, seed: int = 0) -> SteppableKernel:
        g = np.zeros((len(self.conductances_S),) * 2)
        g[0] = -np.array(self.conductances_S)
        return linear_kernel(g)


def random_chip(
    *sizes: int,
    seed: int,
    scale: float = 1.0,
    kinks: float = 0.3,
    low_V: ArrayLike = -1.0,
    high_V: ArrayLike = 1.0,
    amplification_A: float = 2e-8,
) -> ChipSurrogate:
    """A network with random weights, N(0, scale^2/inputs), and biases, N(0, kinks^2); some 20 nA."""
    rng = np.random.default_rng(seed)
    weights = tuple(rng.normal(0, scale / np.sqrt(a), (b, a)) for a, b in pairwise(sizes))
    biases = tuple(rng.normal(0, kinks, b) for b in sizes[1:])
    low, high = (np.broadcast_to(limit, sizes[:1]) for limit in (low_V, high_V))
    return ChipSurrogate(weights, biases, low, high, amplification_A)


BRIDGE = """* bridge.lib: a bridge of Schottky diodes between resistors; the voltage across it is read as a current
* device output: out
* device inputs: a, b
* device limits: -1 1
.subckt bridge out a b c d e
Ra a na 10meg
Rb b nb 10meg
Rc c na 20meg
Rd d nb 20meg
D1 na p ds
D2 nb p ds
D3 m na ds
D4 m nb ds
Re e p 50meg
Rl p m 20meg
Cl p m 1p
Eread read 0 p m 1
Rread read out 10meg
.ends
.model ds D(is=1e-9 n=1.05)
"""
"""A user's netlist that learns XOR: what is read is near |a - b|."""
