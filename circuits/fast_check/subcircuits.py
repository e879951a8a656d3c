"""A part's netlist, opened: every subcircuit in it a definition of its own, and the wires in it that can be cut.

A definition that stands in two places would be probed in both, so each place gets its own copy, named by its path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from inmateria.errors import NetlistError
from netlists.definitions import spliced
from netlists.lines import logical_lines
from netlists.reader import Part

_VOLTAGE = re.compile(r"\bv\(\s*([^(),\s]+)\s*(?:,\s*([^(),\s]+)\s*)?\)", re.IGNORECASE)
_CONTROLLED = re.compile(r"[+-]?[\d.{]")
RAMP_FROM = 0.2
"""Share of its supplies that a part starts up from: a vendor's macromodel (Boyle's) holds currents that no supply
feeds, and has no solution near 0 V."""
_GROUND = ("0", "gnd")


@dataclass
class _Definition:
    """A ``.subckt``: its pins, what stands behind them on its line, and its elements."""

    pins: list[str]
    behind: str
    body: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Wire:
    """A connection inside a part that can be cut: of one element to a node.

    Attributes
    ----------
    path : tuple of str
        Instances from the part down to where the element stands.
    line : int
        The element's place there.
    node : str
        What it is connected to.
    word : int
        Which of the element's words is the node; 0 for an expression, in which it is ``V(node)``.
    """

    path: tuple[str, ...]
    line: int
    node: str
    word: int
    element: str

    @property
    def name(self) -> str:
        """The element and the node, from the part down: ``X1 out``, ``Xuser.X1 m``."""
        return f"{'.'.join((*self.path, self.element))} {self.node}"

    @property
    def amplifier(self) -> str:
        """The element alone: wires of one amplifier share it."""
        return ".".join((*self.path, self.element))


class Opened:
    """A part's subcircuit with a copy of its own for every subcircuit inside.

    Parameters
    ----------
    part : Part

    Raises
    ------
    NetlistError
        For a subcircuit that places itself, or one that is nowhere defined.
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        self._found = _definitions(part.library)
        self._places: dict[tuple[str, ...], _Definition] = {}
        self._open(part.subckt.lower(), (), ())

    def _open(self, name: str, path: tuple[str, ...], above: tuple[str, ...]) -> None:
        if name in above or name not in self._found:
            problem = "places itself" if name in above else "is nowhere defined"
            raise NetlistError(f"part {self.part.subckt}", name, problem, "mend the subcircuit's file")
        definition = self._places[path] = self._found[name]
        for line in definition.body:
            if line[0] in "xX":
                instance, _, inner, _ = _placed(line)
                self._open(inner, (*path, instance), (*above, name))

    @property
    def subckt(self) -> str:
        """Name of the copy."""
        return _copy_name(())

    @property
    def active(self) -> bool:
        """Whether anything in it can amplify: something beside R, L, C and sources."""
        return any(line[0].lower() not in "rlckvi.x" for place in self._places.values() for line in place.body)

    @property
    def supplies(self) -> tuple[str, ...]:
        """Constant voltages to ground, the part's own and those of vendors' op-amps in it, as they are written."""
        return tuple(self._supplies().values())

    def _supplies(self) -> dict[tuple[tuple[str, ...], int], str]:
        found = {}
        for path, place in self._places.items():
            for number, line in enumerate(place.body):
                words = line.split()
                own = line[0] in "vV" and (self._own(path) or line.startswith("Vsupply_"))
                if own and len(words) in (4, 5) and words[2] in _GROUND and words[-1] not in ("0", "{0}"):
                    found[path, number] = words[-1]
        return found

    def wires(self) -> Iterator[Wire]:
        """Every wire to cut: the pins of all subcircuits inside; of controlled sources of the part itself the controls.

        Those of a subcircuit inside it, such as a vendor's op-amp, are that one's own business: its pins are cut.
        """
        for path, place in self._places.items():
            for number, line in enumerate(place.body):
                words = line.split()
                kind = words[0][0].lower()
                if kind == "x":
                    instance, nodes, _, _ = _placed(line)
                    yield from (
                        Wire(path, number, node, k, instance)
                        for k, node in enumerate(nodes, start=1)
                        if node.lower() not in _GROUND
                    )
                elif self._own(path) and kind in "begh":
                    yield from _controls(path, number, words, line)

    def _own(self, path: tuple[str, ...]) -> bool:
        """Whether elements at a path are the part's own: its wrapper's, or those of the user's subcircuit in it."""
        return not path or (self.part.level == "user" and path == ("Xuser",))

    def text(self, cut: Wire | None = None, ac: tuple[int, int] = (0, 0), ramp_s: float | None = None) -> str:
        """The definitions as a netlist.

        Parameters
        ----------
        cut : Wire, optional
            Where a probe is: a voltage source from the node to the element, ``Vprobe``, and a current source into the
            element's side, node ``probe``.
        ac : tuple of int
            Amplitude of the voltage (V) and current (A) source in ``.ac``.
        ramp_s : float, optional
            Time in which the `supplies` rise from `RAMP_FROM` of themselves, s.
        """
        ramped = self._supplies() if ramp_s is not None else {}
        texts = []
        for path, place in self._places.items():
            lines = [f".subckt {_copy_name(path)} {' '.join(place.pins)} {place.behind}".rstrip()]
            for number, line in enumerate(place.body):
                if (path, number) in ramped:
                    whole = ramped[path, number].strip("{}")
                    first = f"{{{RAMP_FROM}*({whole})}}"
                    line = f"{' '.join(line.split()[:3])} PWL(0 {first} {ramp_s!r} {{{whole}}})"
                here = cut is not None and (path, number) == (cut.path, cut.line)
                lines.append(self._line(path, line, cut if here else None))
                if here and cut is not None:
                    lines += [
                        f"Vprobe {cut.node} probe DC 0 AC {ac[0]}",
                        f"Iprobe 0 probe DC 0 AC {ac[1]}",
                    ]
            texts.append("\n".join([*lines, f".ends {_copy_name(path)}"]))
        return "\n".join(texts) + "\n"

    @staticmethod
    def _line(path: tuple[str, ...], line: str, cut: Wire | None) -> str:
        """One element, with its subcircuit's copy, and with the probe where it is cut."""
        if line[0] in "xX":
            instance, nodes, _, behind = _placed(line)
            if cut is not None:
                nodes[cut.word - 1] = "probe"
            return " ".join([instance, *nodes, _copy_name((*path, instance)), behind]).rstrip()
        if cut is None:
            return line
        if cut.word:
            words = line.split()
            words[cut.word] = "probe"
            return " ".join(words)

        def swapped(match: re.Match[str]) -> str:
            names = ["probe" if name == cut.node else name for name in match.groups() if name is not None]
            return f"V({','.join(names)})"

        return _VOLTAGE.sub(swapped, line)


def _controls(path: tuple[str, ...], number: int, words: list[str], line: str) -> Iterator[Wire]:
    """Nodes that a controlled source listens to."""
    if words[0][0] in "eEgG" and len(words) >= 6 and _CONTROLLED.match(words[5]):
        found = [(words[3], 3), (words[4], 4)]
    else:
        named = dict.fromkeys(name for match in _VOLTAGE.finditer(line) for name in match.groups() if name is not None)
        found = [(name, 0) for name in named]
    yield from (Wire(path, number, node, word, words[0]) for node, word in found if node.lower() not in _GROUND)


def _copy_name(path: tuple[str, ...]) -> str:
    return "_".join(("opened", *path)).lower()


def _placed(line: str) -> tuple[str, list[str], str, str]:
    """Name, nodes and subcircuit (small letters) of an ``X`` line, and what stands behind them."""
    joined = re.sub(r"\s*=\s*", "=", line).split()
    count = next((k for k, word in enumerate(joined) if "=" in word or word.lower() in ("params:", "params")), None)
    words, rest = joined[:count], [] if count is None else joined[count:]
    return words[0], words[1:-1], words[-1].lower(), " ".join(rest)


def _definitions(text: str) -> Mapping[str, _Definition]:
    """All subcircuits of a netlist and of what it includes, by name in small letters."""
    found: dict[str, _Definition] = {}
    open_ones: list[_Definition] = []
    for line in spliced(logical_lines(text, title=False)):
        words = line.text.split()
        first = words[0].lower()
        if first == ".subckt":
            _, nodes, name, behind = _placed(" ".join([words[1], *_last(words[2:], words[1])]))
            open_ones.append(_Definition(nodes, behind))
            found[name] = open_ones[-1]
        elif first == ".ends":
            open_ones.pop()
        elif open_ones:
            open_ones[-1].body.append(line.text)
    return found


def _last(words: list[str], name: str) -> list[str]:
    """The words of a ``.subckt`` line with its name where an ``X`` line has it: behind the nodes."""
    joined = re.sub(r"\s*=\s*", "=", " ".join(words)).split()
    count = next((k for k, w in enumerate(joined) if "=" in w or w.lower() in ("params:", "params")), len(joined))
    return [*joined[:count], name, *joined[count:]]
