"""Elements of a flattened circuit that may make noise, each as ngspice has expanded it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from netlists.definitions import GROUND
from netlists.lines import positional

_NODES = {"r": (2, 2), "d": (2, 2), "s": (2, 2), "q": (3, 5), "m": (3, 7), "j": (3, 3), "z": (3, 3)}
"""The least and the most nodes between which an element of this letter makes noise."""
_BIN = re.compile(r"\.\d+$")
_KEPT = re.compile(r"\.(model|opt\w*|temp)\b")
_VDMOS = re.compile(r"\bvdmos([np])\s*(\(?)")
"""ngspice's own name of a power MOS transistor's model, on which it hangs if it reads it again."""


@dataclass(frozen=True)
class Element:
    """One element.

    Attributes
    ----------
    name : str
        Full name, ``q.x1.q1``.
    line : str
        Its line.
    nodes : tuple of str
        Nodes between which its noise currents flow, ground left out, each once.
    controls : tuple of str
        Further nodes on which it depends: those that control a switch.
    grounded : bool
        Whether ground is among the nodes.
    """

    name: str
    line: str
    nodes: tuple[str, ...]
    controls: tuple[str, ...]
    grounded: bool

    @property
    def ways(self) -> int:
        """In how many independent ways a current can flow between its nodes."""
        return len(self.nodes) - (not self.grounded)

    @property
    def biased(self) -> bool:
        """Whether its noise depends on its voltages: that of a resistor without a model does not.

        With a value and a model (``r1 a b 1k rm``) it may: 1/f noise is the model's.
        """
        value = positional(self.line)[3:]
        return self.name[0] != "r" or len(value) != 1 or not _is_number(value)


@dataclass(frozen=True)
class NoisyElements:
    """What of an expanded deck (`Engine.expanded`) makes noise.

    Attributes
    ----------
    elements : tuple of Element
    cards : tuple of str
        Models and options that they need.
    """

    elements: tuple[Element, ...]
    cards: tuple[str, ...]

    @property
    def nodes(self) -> tuple[str, ...]:
        """All their nodes, each once."""
        return tuple(dict.fromkeys(node for e in self.elements for node in (*e.nodes, *e.controls)))

    def where(self, *, biased: bool) -> NoisyElements:
        """Those whose noise depends on their voltages, or those whose does not."""
        return NoisyElements(tuple(e for e in self.elements if e.biased == biased), self.cards)


def noisy_elements(expanded: Sequence[str]) -> NoisyElements:
    """The elements that may make noise, out of the lines of an expanded deck."""
    cards = tuple(_VDMOS.sub(r"vdmos \2\1chan ", line) for line in expanded[1:] if _KEPT.match(line))
    named = {line.split()[1] for line in cards if line.startswith(".model")}
    models = named | {_BIN.sub("", name) for name in named}
    found = []
    for line in expanded[1:]:
        least, most = _NODES.get(line[:1], (0, 0))
        words = positional(line)
        # Nodes end where the model stands, at its last place: a node may have a model's name.
        ends = [k for k in range(1 + least, 2 + most) if k < len(words) and words[k] in models]
        at = words[1 : ends[-1] if ends else 1 + most]
        nodes = tuple(dict.fromkeys(node for node in at if node not in GROUND))
        controls = tuple(node for node in words[3:5] if node not in GROUND) if line[:1] == "s" else ()
        element = Element(words[0], line, nodes, controls, any(node in GROUND for node in at)) if at else None
        if element is not None and element.ways > 0:
            found.append(element)
    return NoisyElements(tuple(found), cards)


def _is_number(words: Sequence[str]) -> bool:
    return bool(words) and words[0][:1] in "0123456789.+-"
