"""What a device must offer to be stepped by a circuit simulator: two compiled functions and two flat arrays.

The functions run inside ngspice's callbacks, without Python, so they are Numba-compiled and see only float64 arrays:

    evaluate(t, voltages, params, state, out)   currents `out` (A, into the terminals) at time t (s) for terminal
                                                `voltages` (V); may be asked many times per step; its result must not
                                                depend on how often (scratch space in `state` may change);
    advance(dt, voltages, params, state)        the step of `dt` (s) ending at `voltages` was accepted. A run starts
                                                at time 0; the steps add up to the time of its last point.

`params` is constant; everything that changes, random-generator words included, lies in `state`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from inmateria.checks import FloatArray


@dataclass(frozen=True, eq=False)
class SteppableKernel:
    """Compiled device, ready to be stepped.

    Attributes
    ----------
    evaluate, advance : Numba dispatchers
        As the module's docstring says.
    params : ndarray, float64
        Constant parameters.
    state : ndarray, float64
        Initial state; a run works on a copy.
    conductances_S : ndarray, shape (n_terminals, n_terminals)
        Small-signal conductances where the run starts, for the check of the loop gain.
    c_functions : tuple of str, optional
        ``module:name`` of ready-made C functions for `evaluate` and `advance` (signature in `pointers`), which a
        module keeps compiled on disk; without them they are made at each start, which takes seconds. A wrapper's is
        ``module:name(inner)``, where the function `name` makes it from the C function that `inner` refers to.
    many : tuple of str, optional
        ``module:name`` of two C functions of the same signature that evaluate a static device at many settings in one
        call, in double and in single precision: the first argument is their number, voltages and currents are tables
        (n_terminals, number).
    """

    evaluate: Callable[..., Any]
    advance: Callable[..., Any]
    params: FloatArray
    state: FloatArray
    conductances_S: FloatArray
    c_functions: tuple[str, str] | None = None
    many: tuple[str, str] | None = None


@runtime_checkable
class Device(Protocol):
    """Voltages in, currents out."""

    @property
    def terminals(self) -> tuple[str, ...]:
        """Names of the terminals, in the order of all arrays."""

    @property
    def limits_V(self) -> FloatArray:
        """Lowest and highest voltage allowed at each terminal, V, (n_terminals, 2)."""

    def currents(self, voltages: FloatArray) -> FloatArray:
        """Currents (A, into the terminals) at `voltages` (V), both (..., n_terminals)."""


@runtime_checkable
class Differentiable(Device, Protocol):
    """A device with exact small-signal conductances."""

    def conductances(self, voltages: FloatArray) -> FloatArray:
        """dI_j/dV_k in S, (..., n_terminals, n_terminals)."""


@runtime_checkable
class Steppable(Device, Protocol):
    """A device that a circuit can step through time."""

    def kernel(self, voltages: FloatArray, *, seed: int) -> SteppableKernel:
        """Compiled form, settled at `voltages` (V, (n_terminals,))."""


class LoopDevice(Protocol):
    """What the loop asks of a device: terminals with limits, static currents, and a compiled kernel."""

    @property
    def terminals(self) -> tuple[str, ...]:
        """Names of the terminals."""

    @property
    def limits_V(self) -> FloatArray:
        """Lowest and highest voltage of each terminal, V, (n_terminals, 2)."""

    def currents(self, voltages: Any) -> FloatArray:
        """Static currents into the terminals, A."""

    def kernel(self, voltages: Any, *, seed: int = 0) -> SteppableKernel:
        """Compiled form for co-simulation."""


class TrainableDevice(LoopDevice, Protocol):
    """A device with exact conductances beside what the loop asks."""

    def conductances(self, voltages: Any) -> FloatArray:
        """dI_j/dV_k, S."""

    def follow(self, voltages: Any) -> FloatArray:
        """Currents along a path of neighbouring settings, A."""
