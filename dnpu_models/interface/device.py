"""What a device is, and what it may offer beyond that; models and users' own classes are used through this file only.

A device has terminals with limits, and static currents at voltages: a `Device`. Everything else is a capability, a
method or attribute that it has or has not; nothing is inherited and nothing registered, so that a device of one's own
touches no file here (`docs/guides/own_device.md`; `check_device` examines whatever it offers).

=============== ============================================ ===========================================================
capability      what it is used for                          who has it
=============== ============================================ ===========================================================
`conductances`  exact gradients, error budgets, backpropa-   mean field, chip, master equation, open circuit; of kinetic
                gation (where there is no `estimate`)        Monte Carlo they are estimates with errors
`follow`        many neighbouring settings at once: a path   mean field, chip, kinetic Monte Carlo, a user's netlist;
                from one solution to the next                `follow_path` asks all others for `currents`
`kernel`        co-simulation: ngspice, twin, averaged loop; all but the master equation and netlists
                `kernel.many` answers many settings a call
`netlist`       it stands in ngspice's circuits as it is;    a user's netlist (`user_device`)
                `settled_V` tells where it rests
`random`        True: its kernel carries noise, another seed kinetic Monte Carlo, noisy device
                gives other currents; no average to follow
`estimate`      currents with standard errors, for a seed    kinetic Monte Carlo
`at_tempera-    the same device at another temperature than  mean field, a user's netlist
ture`           its `temperature_K`
`measured`      the only terminals whose current is known    chip
`output`,       names of the terminals for output and        a user's netlist
`inputs`        inputs, where a command is told no others
`transimpe-     of the amplifier that reads the output,      a user's netlist; 1e7 ohm, for nanoamperes, of all others
dance_ohm`      where its currents are no nanoamperes
=============== ============================================ ===========================================================

One asks by name, ``hasattr(device, "kernel")``: a `NoisyDevice` passes on what the device beneath offers, which
`isinstance` with a protocol does not see from Python 3.12 on. The protocols below are for type hints.

A kernel is two compiled functions and two flat arrays. The functions run inside ngspice's callbacks, without Python, so
they are Numba-compiled and see only float64 arrays:

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
from typing import Any, Protocol

import numpy as np

from inmateria.checks import FloatArray
from inmateria.errors import InputError


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

    def wrapped(self, module: str, evaluate: str, advance: str) -> tuple[str, str] | None:
        """`c_functions` of a wrapper, whose functions of these names make them from this kernel's; None without."""
        if self.c_functions is None:
            return None
        return f"{module}:{evaluate}({self.c_functions[0]})", f"{module}:{advance}({self.c_functions[1]})"


class Device(Protocol):
    """Voltages in, currents out."""

    @property
    def terminals(self) -> tuple[str, ...]:
        """Names of the terminals, in the order of all arrays."""

    @property
    def limits_V(self) -> FloatArray:
        """Lowest and highest voltage allowed at each terminal, V, (n_terminals, 2)."""

    def currents(self, voltages: Any) -> FloatArray:
        """Static currents (A, into the terminals) at `voltages` (V), both (..., n_terminals)."""


class Differentiable(Device, Protocol):
    """A device with small-signal conductances."""

    def conductances(self, voltages: Any) -> FloatArray:
        """dI_j/dV_k in S, (..., n_terminals, n_terminals)."""


class Steppable(Device, Protocol):
    """A device that a circuit can step through time."""

    def kernel(self, voltages: Any, *, seed: int = 0) -> SteppableKernel:
        """Compiled form, settled at `voltages` (V, (n_terminals,))."""


class InNetlists(Device, Protocol):
    """A device that stands in a circuit as the netlist it is."""

    @property
    def netlist(self) -> Any:
        """Its subcircuit, a `netlists.reader.Part` whose pins are the terminals."""

    @property
    def temperature_K(self) -> float:
        """Of its static currents, K."""

    def settled_V(self, voltages: Any, instance: str) -> dict[str, float]:
        """Voltages of its inner nodes at rest, V, by name, in a circuit that calls it `instance`."""


class Trainable(Differentiable, Steppable, Protocol):
    """A device that learns in a loop, and tells the gradients that the loop's are held against."""


class TrainableNetlist(Differentiable, InNetlists, Protocol):
    """A netlist that does so, in the loop of ngspice."""


def lacking(device: Any) -> dict[str, str]:
    """What a device does not offer, by the capability's name, and what cannot be done with it therefore."""
    found: dict[str, str] = {}
    if not has_exact_slopes(device):
        found["conductances"] = "no exact gradient: no error budget and no plan, and readings are held against nothing"
    if hasattr(device, "netlist"):
        found["kernel"] = "it is a netlist: ngspice runs its loops, the twin and the averaged loop cannot"
    elif not hasattr(device, "kernel"):
        found["kernel"] = "it stands in no circuit: searches and physics-aware training ask it, no loop trains it"
    if not np.all(np.isfinite(device.limits_V)):
        found["limits_V"] = "its ranges have no end: there is nothing to draw settings from"
    return found


def has_exact_slopes(device: Device) -> bool:
    """Whether `conductances` are there and exact: a device that estimates its currents has them with errors only."""
    return hasattr(device, "conductances") and not hasattr(device, "estimate")


def kernel_of(device: Any, voltages: Any, *, seed: int = 0) -> SteppableKernel:
    """The device's `kernel` at voltages (V), for what is compiled around it.

    Raises
    ------
    InputError
        If it has none, with what can be done.
    """
    if hasattr(device, "kernel"):
        kernel: SteppableKernel = device.kernel(voltages, seed=seed)
        return kernel
    name, fix = type(device).__name__, "give the class a method `kernel`, or fit a network to it by `fit_surrogate`"
    if hasattr(device, "netlist"):
        raise InputError("device", name, "is a netlist: it has no compiled kernel", "let ngspice run the whole circuit")
    raise InputError("device", name, "has no compiled `kernel`, so it cannot stand in a transient", fix)


def is_random(device: Device) -> bool:
    """Whether its `kernel` carries noise."""
    return bool(getattr(device, "random", False))


def known_terminals(device: Device) -> tuple[int, ...]:
    """Terminals whose current is known: `measured`, or all."""
    return tuple(getattr(device, "measured", range(len(device.terminals))))


def follow_path(device: Device, voltages: Any) -> FloatArray:
    """Currents (A) along a path of neighbouring settings (V), both (n, n_terminals): by `follow`, or by `currents`."""
    return np.asarray(getattr(device, "follow", device.currents)(voltages))
