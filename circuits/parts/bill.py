"""The bill of materials of a circuit of level board: what one buys, how often, and where it stands.

Integrated circuits and diodes are the parts with a `component` line in their header. Resistors and capacitors are the
elements of the board's circuits, with the values that ngspice finds for them, errors left out; what is called
``Rpar...`` or ``Cpar...`` is no component of its own but belongs to another, such as a capacitor's leakage. Resistors
below 1 ohm are wires. Every integrated circuit has 100 nF at each supply beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from circuits.parts.assembly import Placement
from inmateria.errors import EngineError
from inmateria.run_folder import run_folder
from netlists.check import run_deck_file
from netlists.lines import logical_lines
from netlists.reader import Part, needed
from netlists.spice_numbers import quantity, read_as

ERRORS = ("rtol", "ctol", "tolerance")
"""Parameters that say by how much a resistor or capacitor is off: 0 on a bill."""
DECOUPLING = "100 nF"
WIRE_OHM = 1.0
CLASSES = {"A": "below 1 EUR", "B": "1 to 5 EUR", "C": "5 to 20 EUR", "D": "above 20 EUR"}
"""Price classes of a single piece."""
_ELEMENT = re.compile(r"^\s*\d+ : ([rc])\.(x\S+)\.(\S+) \S+ \S+\s+(\S+)", re.MULTILINE | re.IGNORECASE)


@dataclass
class Item:
    """One line of a bill.

    Attributes
    ----------
    kind : str
        ``"IC"``, ``"D"``, ``"R"``, ``"C"`` or ``"supply"``.
    value : str
        Number of the part, or value with its unit.
    maker, package, price : str
        As the part's header states them; of resistors and capacitors what is usual. `price` is a class of `CLASSES`.
    places : list of str
        Instance and element: ``"sum0.R1"``.
    per_package : int
        How many are in a package.
    """

    kind: str
    value: str
    maker: str
    package: str
    price: str
    places: list[str] = field(default_factory=list)
    per_package: int = 1

    @property
    def quantity(self) -> int:
        """Packages to buy."""
        return -(-len(self.places) // self.per_package)


@dataclass(frozen=True)
class Bill:
    """A bill of materials.

    Attributes
    ----------
    items : tuple of Item
        Integrated circuits, diodes, resistors, capacitors, in this order, the most numerous first.
    not_built : tuple of str
        Parts that stand there as equations: blocks of another level.
    supply_V : float
        Either supply.
    current_A : float
        That the integrated circuits draw from either without signal or load.
    """

    items: tuple[Item, ...]
    not_built: tuple[str, ...]
    supply_V: float
    current_A: float

    @property
    def power_W(self) -> float:
        """Without signal or load."""
        return 2.0 * self.supply_V * self.current_A

    @property
    def rows(self) -> list[dict[str, str | int]]:
        """One row an item, with numbered designators: U1, D1, R1, C1."""
        counts: dict[str, int] = {}
        rows: list[dict[str, str | int]] = []
        for item in self.items:
            letter = {"IC": "U", "supply": "PS"}.get(item.kind, item.kind)
            first = counts.get(letter, 0) + 1
            counts[letter] = first + item.quantity - 1
            names = f"{letter}{first}" if item.quantity == 1 else f"{letter}{first}-{letter}{counts[letter]}"
            rows.append(
                {
                    "quantity": item.quantity, "kind": item.kind, "value": item.value, "maker": item.maker,
                    "package": item.package, "price_class": item.price, "designators": names,
                    "places": " ".join(item.places),
                }
            )  # fmt: skip
        return rows


def bill_of(placed: Mapping[str, Placement], rails: Part) -> Bill:
    """The bill of materials of a circuit's parts.

    Parameters
    ----------
    placed : mapping of str to Placement
        Parts by reference; of those that are not of level board only the names are told.
    rails : Part
        What makes the supplies.

    Raises
    ------
    EngineError
        Without ngspice, which works out the values.
    """
    built = {reference: there for reference, there in placed.items() if there.part.level == "board"}
    items: dict[tuple[str, str], Item] = {}
    drawn_A, inside = 0.0, set()

    def take(
        kind: str, place: str, *, value: str, package: str, price: str, maker: str = "any", per_package: int = 1
    ) -> None:
        new = Item(kind, value, maker, package, price, per_package=per_package)
        items.setdefault((kind, value + package), new).places.append(place)

    for reference, there in built.items():
        for path, component in components_inside(there.part):
            place = ".".join((reference, *path))
            inside.add(f"x{place}".lower())
            drawn_A += component.defaults.get("iq", 0.0)
            take("IC" if component.supplied else "D", place, **_bought(component))
    for letter, reference, element, value in _values(built, inside):
        place = f"{reference}.{element.upper()}"
        if letter == "r" and value >= WIRE_OHM:
            exact = "0.1 %" if "tolerance" in built[reference].part.defaults else "1 %"
            take("R", place, value=quantity(value, "ohm"), package=f"0207, metal film, E96, {exact}", price="A")
        elif letter == "c":
            farad = quantity(value, "F").replace("µ", "u")
            take("C", place, value=farad, package="film or C0G, E12", price="A" if value < 1e-6 else "B")
    supplied = [item for item in items.values() if item.kind == "IC"]
    for item in supplied:
        for k in range(2 * item.quantity):
            take("C", f"{item.value}:{k + 1}", value=DECOUPLING, package="X7R, beside a supply pin", price="A")
    take("supply", "rails", **_bought(rails))
    kinds = ("IC", "D", "R", "C", "supply")
    ranked = sorted(items.values(), key=lambda item: (kinds.index(item.kind), -item.quantity, item.value))
    missing = tuple(
        f"{reference} ({there.part.subckt})" for reference, there in placed.items() if reference not in built
    )
    return Bill(tuple(ranked), missing, rails.defaults["vsupply"], drawn_A)


class _Bought(TypedDict):
    value: str
    maker: str
    package: str
    price: str
    per_package: int


def _bought(component: Part) -> _Bought:
    """What one buys, as a component's header states it; of one's own part its name."""
    own = f"{component.subckt}; of one's own; any; any"
    number, maker, package, price = (component.component if component.level == "board" else own).split("; ")
    many = re.search(r", (\d+) in a package", package)
    return {
        "value": number, "maker": maker, "package": package.replace(many[0], "") if many else package,
        "price": price.removeprefix("class "), "per_package": int(many[1]) if many else 1,
    }  # fmt: skip


def components_inside(part: Part) -> Iterator[tuple[tuple[str, ...], Part]]:
    """Every component that a part places, with the instances on the way to it; a part that is one itself is all."""
    if part.component:
        yield (), part
        return
    subckts = {one.subckt: one for one in needed([part])}
    for line in logical_lines(part.text, title=False):
        words = line.text.split()
        if words[0][0] in "xX":
            used = next((subckts[word] for word in words if word in subckts), None)
            if used is not None:
                for path, component in components_inside(used):
                    yield (words[0], *path), component


def _values(built: Mapping[str, Placement], inside: set[str]) -> Sequence[tuple[str, str, str, float]]:
    """Letter, reference, element and value of the resistors and capacitors that are no component's own."""
    lines = ["values of the components", *(one.text for one in needed(there.part for there in built.values()))]
    for reference, there in built.items():
        exact = {name: 0.0 for name in ERRORS if name in there.part.defaults}
        lines.append(there.part.instance(reference, there.nodes, **{**there.values, **exact}))
    lines += [".control", "listing expand", "quit 0", ".endc", ".end", ""]
    with run_folder() as folder:
        deck = folder / "bill.cir"
        deck.write_text("\n".join(lines), encoding="utf-8")
        told = run_deck_file(deck)
    if not told.passed:
        raise EngineError("bill of materials", told.output[-300:], "ngspice cannot read the parts", "check them")
    found = []
    for letter, path, element, value in _ELEMENT.findall(told.output):
        if path in inside or any(path.startswith(f"{one}.") for one in inside) or element[1:].startswith("par"):
            continue
        reference = next(name for name in built if name.lower() == path[1:].split(".")[0])
        found.append((letter, reference, element, read_as(value)))
    return found
