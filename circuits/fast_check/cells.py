"""One part with its surroundings in the circuit: sources at its inputs, and behind it what hangs on its output there.

A node's levels are its voltage before and after an edge of gate and pattern. What comes from the device is a current.
Of the parts behind, each stands there once, its own output open: they load, and what they say does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from circuits.fast_check.subcircuits import Opened, Wire
from circuits.parts.assembly import Placement
from netlists.reader import library
from netlists.spice_numbers import format_number

Levels = tuple[float, float]
"""Before and after an edge, V or A."""
OPTIONS = ".options reltol=1e-4 vntol=1e-7 abstol=1e-11 method=gear maxord=2 itl1=500"
"""Gear's second-order steps, twenty a period of the crossover: unlike the trapezoidal rule they do not ring by
themselves, and they take less than 1 % a period off an oscillation."""
OUT = "out"
"""The output pin of every part."""
LEAD = "device_leads"


@dataclass(frozen=True)
class Cell:
    """A part at its place, and its surroundings.

    Attributes
    ----------
    placement : Placement
    inputs : mapping of str to (float, float)
        Levels of the nodes at its inputs, V.
    currents : mapping of str to (float, float)
        Of nodes that the device drives: the current into them, A.
    leads : tuple of Placement
        Between the device and those nodes.
    loads : tuple of Placement
        What hangs on its output.
    others : mapping of str to (float, float)
        Levels of the loads' other nodes, V.
    tones : mapping of str to float
        Peaks of the sines at its inputs, V or A.
    """

    placement: Placement
    inputs: Mapping[str, Levels]
    currents: Mapping[str, Levels] = field(default_factory=dict)
    leads: tuple[Placement, ...] = ()
    loads: tuple[Placement, ...] = ()
    others: Mapping[str, Levels] = field(default_factory=dict)
    tones: Mapping[str, float] = field(default_factory=dict)

    @property
    def out(self) -> str:
        """Node of its output."""
        return self.placement.nodes[OUT]

    @cached_property
    def opened(self) -> Opened:
        """The part's netlist, opened."""
        return Opened(self.placement.part)

    @property
    def key(self) -> tuple[object, ...]:
        """What cells have in common that are alike: parts, values, levels and loads by the pin they hang on."""

        def one(there: Placement) -> tuple[object, ...]:
            behind = tuple(pin for pin, node in there.nodes.items() if node == self.out)
            return there.part.library, tuple(sorted(there.values.items())), behind

        given = {**self.inputs, **self.currents}
        levels = tuple(
            (pin, given.get(node), self.tones.get(node)) for pin, node in self.placement.nodes.items() if pin != OUT
        )
        return one(self.placement), levels, tuple(map(one, self.leads)), tuple(sorted(map(repr, map(one, self.loads))))

    @property
    def supply_V(self) -> float:
        """What stands at its supply pins, the largest of its own sources, or its figure `vsupply`; else 15 V."""
        if self.placement.part.supplied:
            return self.inputs[self.placement.nodes["vp"]][1]
        numbers = [abs(float(text)) for text in self.opened.supplies if _is_number(text)]
        return max(numbers, default=self.placement.figure("vsupply") or 15.0)

    def deck(
        self,
        analysis: str,
        *,
        sources: Mapping[str, str] | None = None,
        kick: str = "0",
        cut: Wire | None = None,
        ac: tuple[int, int] = (0, 0),
        ramp_s: float | None = None,
    ) -> str:
        """A whole deck.

        Parameters
        ----------
        analysis : str
            Its card or cards.
        sources : mapping of str to str, optional
            Waveforms at the nodes of inputs and currents; by default each stands before the edge.
        kick : str, optional
            Waveform of a current out of the output, A.
        cut, ac, ramp_s
            As `Opened.text`.
        """
        opened, given = self.opened, sources or {}
        lines = [
            "a part with its surroundings",
            library([there.part for there in (self.placement, *self.leads, *self.loads)]),
            opened.text(cut, ac, ramp_s),
            OPTIONS,
        ]
        stand = {**self.others, **self.inputs}
        lines += [f"V{n} {n} 0 {given.get(n, format_number(v[0]))}" for n, v in stand.items() if n != self.out]
        ends = {there.nodes["in"]: f"{there.nodes['in']}_device" for there in self.leads}
        lines += [f"I{n} 0 {ends.get(n, n)} {given.get(n, format_number(v[0]))}" for n, v in self.currents.items()]
        for k, there in enumerate(self.leads):
            lines.append(_instance(f"lead{k}", there, {OUT: ends[there.nodes["in"]], "neighbour": "0"}))
        values = " ".join(f"{name}={format_number(v)}" for name, v in self.placement.values.items())
        pins = " ".join(self.placement.nodes[pin.name] for pin in self.placement.part.pins)
        lines.append(f"Xpart {pins} {opened.subckt} {values}".rstrip())
        for k, there in enumerate(self.loads):
            free = {OUT: f"load{k}"} | ({"neighbour": "0"} if there.part.name == LEAD else {})
            lines.append(_instance(f"load{k}", there, free))
        lines += [f"Ikick {self.out} 0 {kick}", analysis, ".end", ""]
        return "\n".join(lines)


def cell_of(
    reference: str,
    placed: Mapping[str, Placement],
    levels: Mapping[str, Levels],
    currents: Mapping[str, Levels],
    tones: Mapping[str, float],
) -> Cell:
    """The cell of a part in a circuit.

    Parameters
    ----------
    reference : str
    placed : mapping of str to Placement
        All parts of the circuit.
    levels : mapping of str to (float, float)
        Levels of nodes, V; a node that is not among them stands at 0 V.
    currents : mapping of str to (float, float)
        Currents of the device into nodes, A.
    tones : mapping of str to float
        Peaks of sines at nodes, V, or A into them.
    """
    there = placed[reference]
    inputs = [node for pin, node in there.nodes.items() if pin != OUT and node != "0"]
    driven = {node: currents[node] for node in inputs if node in currents}
    others = [(name, one) for name, one in placed.items() if name != reference]
    leads = tuple(one for _, one in others if one.part.name == LEAD and one.nodes["in"] in driven)
    loads = tuple(
        one for _, one in others if any(pin != OUT and node == there.nodes[OUT] for pin, node in one.nodes.items())
    )
    beside = {
        node
        for one in loads
        for pin, node in one.nodes.items()
        if pin not in (OUT, "neighbour") and node not in ("0", there.nodes[OUT])
    }
    return Cell(
        there,
        {node: levels.get(node, (0.0, 0.0)) for node in dict.fromkeys(inputs) if node not in driven},
        driven,
        leads,
        loads,
        {node: levels.get(node, (0.0, 0.0)) for node in sorted(beside) if node not in driven},
        {node: tones[node] for node in inputs if node in tones},
    )


def _instance(name: str, there: Placement, free: Mapping[str, str]) -> str:
    """A part as it stands in the circuit, some of its pins on nodes of their own."""
    return there.part.instance(name, {**there.nodes, **free}, **there.values)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
