"""Static currents and conductances of a netlist, by ngspice: many settings a run, each on a copy of its own.

Copies share no node, so no setting knows of its neighbours, and a netlist with several states is found in the one that
ngspice finds from rest. Conductances are ngspice's own: in an ``.ac`` analysis copy k of a setting has 1 V at its
terminal k alone, and the real parts of all currents are dI_j/dV_k. At so low a frequency what stores charge or heat
follows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from circuits.ngspice.engine import Engine, Vectors
from circuits.parts.temperature import ZERO_CELSIUS_K
from inmateria.checks import FloatArray
from inmateria.errors import ConvergenceError
from netlists.reader import Part
from netlists.spice_numbers import format_number

COPIES = 100
"""Copies of the netlist in a run: of a network of ten elements some 0.8 ms each; more of them gain nothing."""
TOGETHER = 1000
"""Settings of a path in a run."""
FREQUENCY_HZ = 1e-6
"""Of the small-signal analysis; a time constant of 100 s changes a conductance by 4e-7."""
OPTIONS = ".options reltol=1e-9 vntol=1e-9 abstol=1e-15 itl1=500 itl2=500"
"""Currents to nine digits, so that differences over a millionth of a range are derivatives."""


@cache
def static_engine() -> Engine:
    """The ngspice of this process for static questions, started at the first one; it ends with the process."""
    return Engine()


def currents(part: Part, volts: FloatArray, temperature_K: float) -> FloatArray:
    """Currents into the terminals, A, (n, n_terminals), at `volts`, V, of the same shape.

    Raises
    ------
    ConvergenceError
        With the voltages at which the netlist has no solution.
    NetlistError, EngineError
        If ngspice rejects the netlist, or fails.
    """
    return _in_groups(volts, COPIES, lambda group: _currents(part, group, temperature_K))


def conductances(part: Part, volts: FloatArray, temperature_K: float) -> FloatArray:
    """dI_j/dV_k, S, (n, n_terminals, n_terminals); arguments and errors as `currents`."""
    group = max(1, COPIES // volts.shape[1])
    return _in_groups(volts, group, lambda chosen: _conductances(part, chosen, temperature_K))


def along(part: Part, volts: FloatArray, temperature_K: float) -> FloatArray:
    """`currents` along a path of settings on one copy, each found from the one before: ten times as fast.

    A ``.dc`` analysis counts the settings, and the terminals' sources look their voltages up: `pwl` at whole numbers.
    """
    return _in_groups(volts, TOGETHER, lambda group: _along(part, group, temperature_K))


def settled(part: Part, volts: FloatArray, temperature_K: float, instance: str) -> dict[str, float]:
    """Voltage of each inner node of a netlist that rests at terminal voltages, V; errors as `currents`.

    Parameters
    ----------
    part : Part
    volts : ndarray, shape (n_terminals,)
    temperature_K : float
    instance : str
        Its name in the circuit, such as ``xdevice``, with which the nodes' names begin.
    """
    found = static_engine().run(_deck(part, volts[None], temperature_K, ".op", instances=[instance], inner=True))
    inside = f"{instance.lower()}."
    return {name: float(value[0]) for name, value in found.items() if name.startswith(inside) and "#" not in name}


def _in_groups(volts: FloatArray, size: int, ask: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """Answers of all settings; a group that has no solution is asked one by one, to name the setting."""
    answers = []
    for first in range(0, len(volts), size):
        group = volts[first : first + size]
        try:
            answers.append(ask(group))
        except ConvergenceError as error:
            for one in group if len(group) > 1 else ():
                answers.append(_alone(one, ask))
            if len(group) == 1:
                raise _at(group[0], error) from error
    return np.concatenate(answers)


def _alone(volts: FloatArray, ask: Callable[[FloatArray], FloatArray]) -> FloatArray:
    try:
        return ask(volts[None])
    except ConvergenceError as error:
        raise _at(volts, error) from error


def _at(volts: FloatArray, error: ConvergenceError) -> ConvergenceError:
    """The error with the setting it belongs to."""
    shown = ", ".join(f"{v:.6g}" for v in volts)
    found = type(error)("voltages", f"({shown}) V", f"the device has no solution: {error.problem}", error.fix)
    found.node, found.words, found.deck = error.node, error.words, error.deck
    return found


def _currents(part: Part, volts: FloatArray, temperature_K: float) -> FloatArray:
    found = static_engine().run(_deck(part, volts, temperature_K, ".op"))
    return _into(found, *volts.shape).real


def _along(part: Part, volts: FloatArray, temperature_K: float) -> FloatArray:
    if len(volts) < 2:
        return _currents(part, volts, temperature_K)
    terminals, last = range(volts.shape[1]), len(volts) - 1
    lines = [*_head(part, temperature_K), "Vnumber number 0 0"]
    for k, values in enumerate(volts.T.tolist()):
        rows = [f",{number},{format_number(value)}" for number, value in enumerate(values)]
        ends = f"-1,{format_number(values[0])}", f",{last + 1},{format_number(values[-1])}"
        lines += [f"B{k} t{k} 0 V=pwl(V(number),{ends[0]}", *(f"+ {row}" for row in rows), f"+ {ends[1]})"]
    lines.append(part.instance("x0", {pin.name: f"t{k}" for k, pin in enumerate(part.pins)}))
    lines.append(".save " + " ".join(f"i(b{k})" for k in terminals))
    found = static_engine().run("\n".join([*lines, f".dc Vnumber 0 {last} 1", ".end", ""]))
    return np.stack([-found[f"b{k}#branch"] for k in terminals], axis=1)


def _conductances(part: Part, volts: FloatArray, temperature_K: float) -> FloatArray:
    n, terminals = volts.shape
    driven = np.tile(np.arange(terminals), n)
    line = f".ac lin 1 {FREQUENCY_HZ:g} {FREQUENCY_HZ:g}"
    found = static_engine().run(_deck(part, np.repeat(volts, terminals, axis=0), temperature_K, line, driven))
    table = _into(found, n * terminals, terminals).real.reshape(n, terminals, terminals)
    return np.ascontiguousarray(np.swapaxes(table, 1, 2))


def _into(found: Vectors, copies: int, terminals: int) -> np.ndarray:
    """Currents into the terminals: those of the sources that drive them, turned round."""
    return np.array([[-found[f"v{m}_{k}#branch"][0] for k in range(terminals)] for m in range(copies)])


def _head(part: Part, temperature_K: float) -> list[str]:
    """What every deck begins with."""
    temperature = f".temp {temperature_K - ZERO_CELSIUS_K:.10g}"
    return ["static currents of a device", part.library.rstrip("\n"), OPTIONS, temperature]


def _deck(
    part: Part,
    volts: FloatArray,
    temperature_K: float,
    analysis: str,
    driven: np.ndarray | None = None,
    *,
    instances: list[str] | None = None,
    inner: bool = False,
) -> str:
    """Copies of the netlist, each with a source at every terminal."""
    copies, terminals = volts.shape
    names = [f"x{m}" for m in range(copies)] if instances is None else instances
    lines = _head(part, temperature_K)
    for m, setting in enumerate(volts.tolist()):
        for k, value in enumerate(setting):
            small = " ac 1" if driven is not None and driven[m] == k else ""
            lines.append(f"V{m}_{k} t{m}_{k} 0 dc {format_number(value)}{small}")
        nodes = {pin.name: f"t{m}_{k}" for k, pin in enumerate(part.pins)}
        lines.append(part.instance(names[m], nodes))
    if not inner:
        lines.append(".save " + " ".join(f"i(v{m}_{k})" for m in range(copies) for k in range(terminals)))
    return "\n".join([*lines, analysis, ".end", ""])
