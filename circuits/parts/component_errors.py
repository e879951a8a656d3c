"""Components of a loop that are not alike: what resistors, capacitors and offsets do to each instance's parameters.

An error e is a number for one component: the relative deviation of a resistor or capacitor, or an offset in units of
the part's own typical figure. Parameters follow from it:

    resistor     tau (1 + e), rate/(1 + e), rf (1 + e), amplitude (1 + e); gain errors of summing and limiting stages e
    capacitor    its error ctol = e; where a part has none (ideal ones) tau (1 + e), rate/(1 + e)
    offset       e times the typical figure

A change of temperature moves all components of a kind together: resistors and capacitors by drift times the change,
offsets by that share of themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from inmateria.errors import InputError
from netlists.reader import Part

Kind = Literal["resistor", "capacitor", "offset"]
Effect = Literal["scales", "divides", "is", "typical"]
Distribution = Literal["uniform", "normal"]
NOMINAL_K = 298.15
"""Temperature that the parts' figures are stated at."""

_EFFECTS: tuple[tuple[str, Kind, str, Effect], ...] = (
    ("lowpass", "resistor", "tau", "scales"),
    ("integrator", "resistor", "rate", "divides"),
    ("transimpedance", "resistor", "rf", "scales"),
    ("dither_sum", "resistor", "amplitude", "scales"),
    ("dither_sum", "resistor", "esum", "is"),
    ("difference", "resistor", "tolerance", "is"),
    ("limiter", "resistor", "escale", "is"),
    ("absolute_error", "resistor", "tolerance", "is"),
    ("hinge", "resistor", "egain", "is"),
    ("device_leads", "resistor", "r", "scales"),
    ("lowpass", "capacitor", "ctol", "is"),
    ("integrator", "capacitor", "ctol", "is"),
    ("device_leads", "capacitor", "c", "scales"),
    ("lowpass", "offset", "vos", "typical"),
    ("integrator", "offset", "vos", "typical"),
    ("transimpedance", "offset", "vos", "typical"),
    ("difference", "offset", "vos", "typical"),
    ("limiter", "offset", "vos", "typical"),
    ("limiter", "offset", "offset", "typical"),
    ("dither_sum", "offset", "offset", "typical"),
    ("variable_gain", "offset", "offset", "typical"),
    ("mixer", "offset", "offset", "typical"),
    ("squared_error", "offset", "offset", "typical"),
    ("squared_error", "offset", "vos", "typical"),
    ("absolute_error", "offset", "vos", "typical"),
    ("absolute_error", "offset", "offset", "typical"),
    ("hinge", "offset", "vos", "typical"),
    ("hinge", "offset", "offset", "typical"),
)
_WITHOUT_CTOL: dict[str, tuple[str, Effect]] = {"lowpass": ("tau", "scales"), "integrator": ("rate", "divides")}


@dataclass(frozen=True)
class Component:
    """One component of a loop.

    Attributes
    ----------
    name : str
        Instance, as in the deck without its X, and figure: ``"mix3.offset"``, ``"w0.rate"``, ``"w0.ctol"``.
    part : str
        The part that stands there.
    kind : {"resistor", "capacitor", "offset"}
    parameter : str
        What it moves.
    effect : {"scales", "divides", "is", "typical"}
        How.
    nominal : float
        The parameter's value at an error of 0 ("scales", "divides"), or the figure that the part states.
    """

    name: str
    part: str
    kind: Kind
    parameter: str
    effect: Effect
    nominal: float

    @property
    def figure(self) -> str:
        """The name without the instance: what components of one place in all channels share."""
        return self.name.partition(".")[2]

    @property
    def stated(self) -> float:
        """The error that the part's own figures stand for."""
        return {"scales": 0.0, "divides": 0.0, "is": self.nominal, "typical": 1.0}[self.effect]

    def moved(self, value: float, error: float) -> float:
        """The parameter with this error, `value` being what other components have made of it so far."""
        if self.effect == "scales":
            return value * (1.0 + error)
        if self.effect == "divides":
            return value / (1.0 + error)
        return error if self.effect == "is" else error * self.nominal


def components_of(reference: str, part: Part, values: Mapping[str, float]) -> tuple[Component, ...]:
    """The components of a part at one place, where it has these values beside its defaults."""
    known, found = {**part.defaults, **values}, []
    for name, kind, figure, effect in _EFFECTS:
        if name != part.name:
            continue
        parameter = figure
        if figure == "ctol" and figure not in known:
            parameter, effect = _WITHOUT_CTOL[name]
        if parameter in known:
            found.append(Component(f"{reference}.{figure}", name, kind, parameter, effect, float(known[parameter])))
    return tuple(found)


def with_errors(
    reference: str, part: Part, values: Mapping[str, float], errors: Mapping[str, float]
) -> dict[str, float]:
    """A part's values at one place, its components having the errors that are named."""
    changed = dict(values)
    for component in components_of(reference, part, values):
        if component.name in errors:
            before = changed.get(component.parameter, component.nominal)
            changed[component.parameter] = component.moved(before, float(errors[component.name]))
    return changed


@dataclass(frozen=True)
class Tolerances:
    """How far components of a kind lie apart.

    Parameters
    ----------
    resistor, capacitor : float
        Largest relative deviation.
    offset : float
        Standard deviation of offsets in units of each part's typical figure; they are normal.
    distribution : {"uniform", "normal"}
        Of resistors and capacitors: even within the tolerance, or normal with a third of it as standard deviation
        and nothing beyond it.

    A tolerance of 0 leaves what the part states.

    Raises
    ------
    InputError
        For a negative number, a tolerance of 1 or more, or an unknown distribution.
    """

    resistor: float = 0.0
    capacitor: float = 0.0
    offset: float = 0.0
    distribution: Distribution = "uniform"

    def __post_init__(self) -> None:
        for name in ("resistor", "capacitor", "offset"):
            value = getattr(self, name)
            if not (0.0 <= value < np.inf) or (name != "offset" and value >= 1.0):
                raise InputError(name, value, "is no tolerance", "give a fraction such as 0.01")
        if self.distribution not in ("uniform", "normal"):
            raise InputError("distribution", self.distribution, "is unknown", "choose uniform or normal")

    def draw(self, component: Component, rng: np.random.Generator) -> float:
        """An error of one component."""
        size = float(getattr(self, component.kind))
        if component.kind == "offset":
            error = float(rng.normal(0.0, 1.0)) * size
        elif self.distribution == "uniform":
            error = float(rng.uniform(-1.0, 1.0)) * size
        else:
            error = float(rng.normal(0.0, 1.0)) / 3.0
            while abs(error) > 1.0:
                error = float(rng.normal(0.0, 1.0)) / 3.0
            error *= size
        return error if size > 0.0 else component.stated


@dataclass(frozen=True)
class Drift:
    """What temperature does to all components of a kind, per K from 25 degC.

    Parameters
    ----------
    resistor, capacitor : float
        Relative change, 1/K.
    offset : float
        Change as a share of the offset itself, 1/K.
    """

    resistor: float = 50e-6
    capacitor: float = 100e-6
    offset: float = 0.01

    def at(self, component: Component, error: float, temperature_K: float) -> float:
        """A component's error at another temperature."""
        change = float(getattr(self, component.kind)) * (temperature_K - NOMINAL_K)
        return error * (1.0 + change) if component.kind == "offset" else error + change


def draw_errors(
    parts: Sequence[Component],
    tolerances: Tolerances,
    rng: np.random.Generator,
    *,
    drift: Drift | None = None,
    temperature_K: float = NOMINAL_K,
) -> dict[str, float]:
    """`HomodyneLoop.component_errors` of one board: an error for each component, drawn one after the other.

    Those that are left as their part states them are not among them.
    """
    found = {}
    for component in parts:
        error = tolerances.draw(component, rng)
        if drift is not None:
            error = drift.at(component, error, temperature_K)
        if error != component.stated:
            found[component.name] = error
    return found
