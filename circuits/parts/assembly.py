"""A circuit put together from parts: which part stands where, with which values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from PySpice.Spice.Netlist import Circuit

from circuits.parts.chosen import chosen_part
from circuits.parts.component_errors import with_errors
from circuits.parts.placed_device import PlacedDevice
from circuits.parts.preamble import preamble
from circuits.parts.temperature import NOMINAL_K
from netlists.reader import SUPPLIES, Part
from netlists.spice_numbers import format_number

BOARD_ONLY = ("inverter",)
"""Parts that are at no other level."""


@dataclass(frozen=True)
class Placement:
    """A part at its place.

    Attributes
    ----------
    part : Part
    values : mapping
        Parameters that are not the part's defaults.
    nodes : mapping of str to str
        Node of each pin.
    """

    part: Part
    values: Mapping[str, float]
    nodes: Mapping[str, str] = field(default_factory=dict)

    def figure(self, name: str) -> float:
        """A parameter's value here; 0 where the part has none of that name, as ideal ones have no errors."""
        return float(self.values.get(name, self.part.defaults.get(name, 0.0)))


class Assembly:
    """A circuit while it is put together.

    Parameters
    ----------
    title : str
    parts : mapping of str to Part
        Parts that take the place of the ideal ones, by name.
    errors : mapping of str to float, optional
        What components deviate by; see `circuits.parts.component_errors`.
    temperature_K : float, optional
        Of all parts, in the deck's ``.temp``.

    Attributes
    ----------
    circuit : Circuit
        PySpice's.
    placed : dict of str to Placement
        Every part by its reference.
    sources : list of str
        Nodes that ideal sources hold.
    """

    def __init__(
        self,
        title: str,
        parts: Mapping[str, Part],
        errors: Mapping[str, float] | None = None,
        temperature_K: float = NOMINAL_K,
    ) -> None:
        self.circuit = Circuit(title)
        self.placed: dict[str, Placement] = {}
        self.sources: list[str] = []
        self._parts, self._errors, self._temperature_K = parts, errors or {}, temperature_K

    def part(self, name: str) -> Part:
        """The part that stands for a name."""
        return chosen_part(self._parts, name, "board" if name in BOARD_ONLY else "ideal")

    def add(self, name: str, reference: str, nodes: Mapping[str, str], **values: float) -> None:
        """Place a part.

        Raises
        ------
        InputError
            For pins and parameters that it does not have.
        """
        part = self.part(name)
        values = with_errors(reference, part, values, self._errors)
        if part.supplied:
            nodes = {**SUPPLIES, **nodes}
        self.placed[reference] = Placement(part, values, dict(nodes))
        part.instance(reference, nodes, **values)  # checks pins and values
        order = [nodes[pin.name] for pin in part.pins]
        self.circuit.X(reference, part.subckt, *order, **{k: format_number(v) for k, v in values.items()})

    def add_signed(self, name: str, reference: str, nodes: Mapping[str, str], sign: str, **values: float) -> None:
        """Place a part whose parameter `sign` may have either sign, an inverter before it where it has the other one.

        A board's integrator only inverts, its amplifier of variable gain never does: their defaults have the sign.

        Raises
        ------
        InputError
            As `add`.
        """
        part = self.part(name)
        if part.level == "board" and part.defaults[sign] * values[sign] < 0.0:
            turned = f"{reference}_in"
            self.add("inverter", f"{reference}inv", {"in": nodes["in"], "out": turned})
            nodes, values = {**nodes, "in": turned}, {**values, sign: -values[sign]}
        self.add(name, reference, nodes, **values)

    def source(self, name: str, value: str | float) -> None:
        """A voltage source between ground and the node of its own name."""
        self.sources.append(name)
        self.circuit.V(name, name, self.circuit.gnd, value if isinstance(value, str) else format_number(value))

    def resistor(self, name: str, one: str, other: str, ohm: float) -> None:
        """A resistor between two nodes."""
        self.circuit.R(name, one, other, format_number(ohm))

    def finish(self, initial: str = "", devices: Sequence[PlacedDevice] = ()) -> Circuit:
        """The circuit with the parts' library, what else it begins with, and the options that suit the parts.

        Devices that are netlists stand in it, too.
        """
        parts = [placement.part for placement in self.placed.values()] + [device.part for device in devices]
        cards = "".join(device.cards for device in devices)
        self.circuit.raw_spice = preamble(parts, self._temperature_K, self._parts.get("rails")) + initial + cards
        return self.circuit
