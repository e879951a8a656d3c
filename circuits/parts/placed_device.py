"""A device that is a netlist, at its place in a circuit: cards, and the currents of its terminals in a run.

Into each terminal leads a source of 0 V, which tells its current. The netlist begins where it rests at the terminals'
voltages of time 0: transients here start from initial conditions, and its capacitors would start empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from circuits.signals.transient import Transient
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from netlists.reader import Part
from netlists.spice_numbers import format_number


@dataclass(frozen=True, eq=False)
class PlacedDevice:
    """A netlist between the nodes of a circuit.

    Parameters
    ----------
    device : Device
        One that is a netlist: it has `netlist` and `settled_V`.
    nodes : sequence of str
        Circuit node of each terminal.
    start_V : ndarray, shape (n_terminals,)
        Terminal voltages at time 0.
    reference : str
        Its name in the circuit.
    """

    device: Any
    nodes: Sequence[str]
    start_V: FloatArray
    reference: str = "device"

    @property
    def part(self) -> Part:
        """The netlist, whose text the circuit has to hold."""
        part: Part = self.device.netlist
        return part

    @property
    def cards(self) -> str:
        """The netlist's line, a source of 0 V into each terminal, and the voltages that it begins with."""
        name = self.reference
        lines = [f"V{name}_{k} {node} {name}_{k} 0" for k, node in enumerate(self.nodes)]
        lines.append(self.part.instance(name, {pin.name: f"{name}_{k}" for k, pin in enumerate(self.part.pins)}))
        inside = self.device.settled_V(self.start_V, f"x{name}")
        lines += [f".ic v({node})={format_number(volts)}" for node, volts in inside.items()]
        return "\n".join([*lines, ""])

    @property
    def saved(self) -> list[str]:
        """Vectors that a run has to keep: voltages and currents of the terminals."""
        return [f"v({node})" for node in self.nodes] + self._sensed

    @property
    def _sensed(self) -> list[str]:
        return [f"i(v{self.reference.lower()}_{k})" for k in range(len(self.nodes))]

    def told(self, run: Transient) -> Transient:
        """A run with the terminals' currents in `device_A`, and no longer among its vectors."""
        values = dict(run.values)
        currents = np.stack([values.pop(name) for name in self._sensed], axis=1)
        noise_A = run.device_A if run.device_A.shape == currents.shape else 0.0
        return replace(run, values=values, device_A=currents + noise_A)


def coupled(device: Any) -> bool:
    """Whether a device has a kernel to be coupled by; a netlist has one where noise is added to it, of the noise."""
    return hasattr(device, "kernel") or not hasattr(device, "netlist")


def placed_device(
    device: Any, nodes: Sequence[str], start_V: FloatArray, temperature_K: float, reference: str = "device"
) -> PlacedDevice | None:
    """The device at its place, if it is a netlist; None of one that is coupled by its kernel.

    Raises
    ------
    InputError
        If the circuit is not as warm as the device's static currents.
    """
    if not hasattr(device, "netlist"):
        return None
    if abs(device.temperature_K - temperature_K) > 1e-6:
        problem = f"is not the circuit's {temperature_K:g} K, at which its netlist would stand there"
        raise InputError("temperature_K", device.temperature_K, problem, "make device and circuit as warm")
    return PlacedDevice(device, nodes, np.asarray(start_V, dtype=float), reference)
