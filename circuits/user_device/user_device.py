"""A user's own subcircuit as the device: `user_device`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from circuits.parts.temperature import NOMINAL_K
from circuits.user_device import statics
from circuits.user_device.remarks import remarks_of
from dnpu_models.interface.limits import within_limits
from inmateria.checks import FloatArray, array, positive
from inmateria.errors import InputError
from inmateria.spelling import did_you_mean
from netlists.flat_circuit import flat_circuit, has_subcircuit, is_whole_circuit
from netlists.reader import Part, Pin
from netlists.user_part import subcircuit_pins, user_part

_NOISE = re.compile(r"\btrnoise\b|\btrrandom\b", re.IGNORECASE)
Limits = tuple[float, float] | Mapping[str, tuple[float, float]] | FloatArray


@dataclass(frozen=True, eq=False)
class UserDevice:
    """A netlist whose terminals are its subcircuit's pins; made by `user_device`.

    It offers `currents` and `conductances`, by ngspice, and stands in circuits that ngspice runs as the netlist it is,
    with its own time constants; there it begins settled. It has no `kernel`: the loops without ngspice refuse it.

    Attributes
    ----------
    netlist : Part
        The subcircuit, its supplies inside.
    limits_V : ndarray, shape (n_terminals, 2)
        Lowest and highest voltage of each terminal, V.
    output : str
        The terminal whose current is the output, unless a `Bench` says otherwise.
    inputs : tuple of str
        Those that get a task's inputs; the first ones besides the output where none were named.
    temperature_K : float
    transimpedance_ohm : float
        Of the amplifier that reads the output: so much that the largest output current gives a few volts.
    """

    netlist: Part
    limits_V: FloatArray
    output: str
    inputs: tuple[str, ...] = ()
    temperature_K: float = NOMINAL_K
    transimpedance_ohm: float = 1e7

    @property
    def terminals(self) -> tuple[str, ...]:
        """Names of the terminals: the subcircuit's pins but for supplies, in its order."""
        return tuple(pin.name for pin in self.netlist.pins)

    @property
    def random(self) -> bool:
        """Whether the netlist holds sources of noise."""
        return _NOISE.search(self.netlist.text) is not None

    def at_temperature(self, temperature_K: float) -> UserDevice:
        """The same netlist at another temperature (K)."""
        return replace(self, temperature_K=positive("temperature_K", temperature_K, "K"))

    def currents(self, voltages: Any) -> FloatArray:
        """Static currents into the terminals.

        Parameters
        ----------
        voltages : array_like, shape (..., n_terminals)
            V.

        Returns
        -------
        ndarray, shape (..., n_terminals)
            A.

        Raises
        ------
        InputError
            For voltages of another shape, or beyond the limits.
        ConvergenceError
            If the netlist has no solution somewhere.
        NetlistError, EngineError
            If ngspice rejects the netlist, or fails.
        """
        volts = self._checked(voltages)
        flat = volts.reshape(-1, volts.shape[-1])
        return statics.currents(self.netlist, flat, self.temperature_K).reshape(volts.shape) if len(flat) else volts

    def follow(self, voltages: Any) -> FloatArray:
        """Currents (A) along a path of settings (V), both (n, n_terminals), each found from the one before."""
        volts = self._checked(voltages)
        return statics.along(self.netlist, volts, self.temperature_K) if len(volts) else volts

    def conductances(self, voltages: Any) -> FloatArray:
        """dI_j/dV_k, S, (..., n_terminals, n_terminals), by ngspice's small-signal analysis; as `currents`."""
        volts = self._checked(voltages)
        flat, n = volts.reshape(-1, volts.shape[-1]), volts.shape[-1]
        found = statics.conductances(self.netlist, flat, self.temperature_K) if len(flat) else np.zeros((0, n, n))
        return found.reshape(*volts.shape, n)

    def settled_V(self, voltages: Any, instance: str) -> dict[str, float]:
        """Voltages of the inner nodes at rest, V, by their names in a circuit that calls the device `instance`."""
        return statics.settled(self.netlist, self._checked(voltages), self.temperature_K, instance)

    def _checked(self, voltages: Any) -> FloatArray:
        """Voltages within the limits, as an array."""
        return within_limits(voltages, self.terminals, self.limits_V)


def user_device(
    source: str | Path | Any,
    *,
    terminals: Sequence[str] | None = None,
    output: str | None = None,
    inputs: Sequence[str] | None = None,
    limits_V: Limits | None = None,
    supplies: Mapping[str, float] | None = None,
    subckt: str | None = None,
    section: str | None = None,
    temperature_K: float = NOMINAL_K,
    transimpedance_ohm: float | None = None,
) -> UserDevice:
    """Make a device of a netlist.

    What is not given here is taken from the file's own remarks (``* device output: out``; see the guide "A netlist as
    the device").

    Parameters
    ----------
    source : path, or PySpice or InSpice SubCircuit or Circuit
        A file with ``.subckt``, of which only definitions are taken, not its sources and analyses; or a whole circuit,
        of which all elements are taken but voltage sources between a terminal and ground.
    terminals : sequence of str, optional
        Of a whole circuit the nodes that are terminals, required; of a subcircuit all pins but supplies.
    output : str, optional
        Pin whose current is the output: it is held at 0 V, and the current read. ``out`` if there is such a pin.
    inputs : sequence of str, optional
        Pins that get a task's inputs. All pins but output and supplies are trained.
    limits_V : tuple, mapping or array
        Lowest and highest voltage, V: of all terminals, of some by their names, or (n_terminals, 2). Required here or
        in the file.
    supplies : mapping, optional
        Voltage (V) of each pin that stands still, e.g. ``{"vdd": 1.8, "gnd": 0.0}``: no terminals.
    subckt : str, optional
        Which subcircuit; needed if the file has several that no other one uses.
    section : str, optional
        Which section (``.lib NAME`` to ``.endl``) of the file; needed where it has some.
    temperature_K : float, optional
        Of static currents, K; a circuit has to be as warm.
    transimpedance_ohm : float, optional
        Of the amplifier that reads the output, ohm; 1e7, for nanoamperes, if nobody says.

    Raises
    ------
    InputError
        For pins that are not there, limits that are missing or none, an output that may not stand at 0 V.
    NetlistError
        If the file cannot be read, or holds no such subcircuit.
    """
    said = remarks_of(source)
    subckt = said.subckt if subckt is None else subckt
    section = said.section if section is None else section
    supplies = {**said.supplies, **{name.lower(): value for name, value in (supplies or {}).items()}}
    if limits_V is None or isinstance(limits_V, Mapping):
        limits_V = {**(said.limits_V or {}), **{name.lower(): pair for name, pair in (limits_V or {}).items()}} or None
    out = said.output if output is None else output
    wanted = said.inputs if inputs is None else inputs
    known = {*supplies, *wanted, *(() if out is None else (out,))}
    chosen = said.terminals if terminals is None else tuple(terminals)
    if chosen and subckt is None and is_whole_circuit(source):
        source = flat_circuit(source, [*chosen, *supplies])
    elif subckt is None and section is None and not has_subcircuit(source):
        fix = (
            "name the nodes that are its terminals: terminals=('out', 'a'), or in the file '* device terminals: out, a'"
        )
        raise InputError("terminals", None, "is missing: the netlist is a whole circuit without .subckt", fix)
    pins = [pin for pin in subcircuit_pins(source, subckt, section, known) if pin not in supplies]
    out = _pin("output", "out" if out is None else out, pins, "say which pin with output=...")
    named = tuple(_pin("inputs", name, pins) for name in wanted)
    if out in named or len(set(named)) != len(named):
        raise InputError("inputs", named, f"name a pin twice, or the output {out!r}", "name each once")
    if len(pins) < 2:
        raise InputError("pins", pins, "leave nothing that could be trained", "name fewer supplies")
    limits = _limits(limits_V, pins)
    low, high = limits[pins.index(out)]
    if not low <= 0.0 <= high:
        raise InputError(f"limits_V[{out!r}]", (low, high), "leave out 0 V, where the output stands", "include 0 V")
    ohm = said.transimpedance_ohm if transimpedance_ohm is None else transimpedance_ohm
    like = Part("device", "user", "", "", "", tuple(Pin(name, "") for name in pins), (), "", "")
    return UserDevice(
        user_part(source, like, subckt=subckt, section=section, supplies=supplies),
        limits,
        out,
        named,
        positive("temperature_K", temperature_K, "K"),
        positive("transimpedance_ohm", 1e7 if ohm is None else ohm, "ohm"),
    )


def _pin(field: str, name: str, pins: Sequence[str], fix: str | None = None) -> str:
    """A pin by its name, whatever its case."""
    if str(name).lower() not in pins:
        known = f"choose from {', '.join(pins)}"
        raise InputError(field, name, "is no pin of the device", did_you_mean(str(name).lower(), pins, fix or known))
    return str(name).lower()


def _limits(given: Any, pins: Sequence[str]) -> FloatArray:
    """Limits of all terminals, (n_terminals, 2)."""
    if given is None:
        fix = "say limits_V=(-1.0, 1.0), or write '* device limits: -1 1' into the file"
        raise InputError("limits_V", None, "says nothing of the voltages that the device stands", fix)
    if isinstance(given, Mapping):
        own = {_pin("limits_V", name, pins): pair for name, pair in given.items() if name != ""}
        missing = [name for name in pins if name not in own]
        if missing and "" not in given:
            raise InputError(
                "limits_V", sorted(own), f"say nothing of {', '.join(missing)}", "give a pair of volts each"
            )
        given = [own.get(name, given.get("")) for name in pins]
    elif np.shape(given) == (2,):
        given = [given] * len(pins)
    limits = array("limits_V", given, (len(pins), 2))
    for name, (low, high) in zip(pins, limits.tolist(), strict=True):
        if not low < high:
            raise InputError(f"limits_V[{name!r}]", (low, high), "is no range", "give the lower voltage first, in V")
    return limits
