"""Components of a loop that are not alike: what resistors, capacitors and figures do to each instance's parameters.

An error e is a number for one component: the relative deviation of a resistor or capacitor, or the figure itself, in
the part's own unit. Parameters follow from it:

    resistor     tau (1 + e), rate/(1 + e), rf (1 + e)
    capacitor    its error ctol = e; where a part has none (ideal ones) tau (1 + e), rate/(1 + e)
    ratio        of resistors on one network: amplitude (1 + e); gain errors of summing and limiting stages e
    offset       e, in V; of a multiplier's full scale where the part has it so
    figure       e: scale errors, nonlinearities, feedthroughs, bias currents, mismatch of a pair of transistors

A change of temperature moves all resistors and all capacitors together, by drift times the change. Ratios track: they
move by the little that networks do. Offsets move by the part's own drift, whatever they were trimmed to.

What is a difference within one instance (an offset of a pair, a ratio, a mismatch) is a row of its own and says how far
the pair matches. What instances of a part have in common is the lot they come from (`Tolerances.lot`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtr, ndtri

from circuits.parts.temperature import NOMINAL_K
from inmateria.errors import InputError
from netlists.reader import Part

Kind = Literal["resistor", "capacitor", "ratio", "offset", "figure"]
Effect = Literal["scales", "divides", "is"]
Distribution = Literal["uniform", "normal"]
Extreme = Literal["slow", "fast"]

_EFFECTS: tuple[tuple[str, Kind, str, Effect], ...] = (
    ("lowpass", "resistor", "tau", "scales"),
    ("integrator", "resistor", "rtol", "is"),
    ("integrator", "resistor", "rate", "divides"),
    ("transimpedance", "resistor", "rf", "scales"),
    ("dither_sum", "ratio", "rtol", "is"),
    ("dither_sum", "ratio", "tolerance", "is"),
    ("inverter", "ratio", "tolerance", "is"),
    ("switching_mixer", "ratio", "tolerance", "is"),
    ("limiter", "ratio", "tolerance", "is"),
    ("dither_sum", "ratio", "amplitude", "scales"),
    ("dither_sum", "ratio", "esum", "is"),
    ("difference", "ratio", "tolerance", "is"),
    ("limiter", "ratio", "escale", "is"),
    ("absolute_error", "ratio", "tolerance", "is"),
    ("hinge", "ratio", "egain", "is"),
    ("device_leads", "resistor", "r", "scales"),
    ("lowpass", "capacitor", "ctol", "is"),
    ("integrator", "capacitor", "ctol", "is"),
    ("device_leads", "capacitor", "c", "scales"),
    ("lowpass", "offset", "vos", "is"),
    ("integrator", "offset", "vos", "is"),
    ("transimpedance", "offset", "vos", "is"),
    ("difference", "offset", "vos", "is"),
    ("limiter", "offset", "vos", "is"),
    ("limiter", "offset", "offset", "is"),
    ("dither_sum", "offset", "offset", "is"),
    ("dither_sum", "offset", "xos", "is"),
    ("dither_sum", "offset", "yos", "is"),
    ("variable_gain", "offset", "vos", "is"),
    ("variable_gain", "offset", "offset", "is"),
    ("mixer", "offset", "xos", "is"),
    ("mixer", "offset", "yos", "is"),
    ("mixer", "offset", "offset", "is"),
    ("switching_mixer", "offset", "offset", "is"),
    ("switching_mixer", "offset", "vos", "is"),
    ("inverter", "offset", "vos", "is"),
    ("dither_sum", "offset", "vos", "is"),
    ("squared_error", "offset", "ios", "is"),
    ("squared_error", "offset", "xos", "is"),
    ("squared_error", "offset", "yos", "is"),
    ("squared_error", "offset", "offset", "is"),
    ("squared_error", "offset", "vos", "is"),
    ("absolute_error", "offset", "vos", "is"),
    ("absolute_error", "offset", "offset", "is"),
    ("hinge", "offset", "xos", "is"),
    ("hinge", "offset", "yos", "is"),
    ("hinge", "offset", "vos", "is"),
    ("hinge", "offset", "offset", "is"),
    ("lowpass", "figure", "ibias", "is"),
    ("integrator", "figure", "ibias", "is"),
    ("integrator", "figure", "ron", "is"),
    ("integrator", "figure", "ileak", "is"),
    ("transimpedance", "figure", "ibias", "is"),
    ("variable_gain", "figure", "ios", "is"),
    ("variable_gain", "figure", "egain", "is"),
    ("variable_gain", "figure", "eslope", "is"),
    ("variable_gain", "figure", "feed", "is"),
    ("dither_sum", "figure", "escale", "is"),
    ("dither_sum", "figure", "xfeed", "is"),
    ("dither_sum", "figure", "yfeed", "is"),
    ("mixer", "figure", "escale", "is"),
    ("mixer", "figure", "xnonlin", "is"),
    ("mixer", "figure", "ynonlin", "is"),
    ("mixer", "figure", "xfeed", "is"),
    ("mixer", "figure", "yfeed", "is"),
    ("switching_mixer", "figure", "egain", "is"),
    ("squared_error", "figure", "escale", "is"),
    ("squared_error", "figure", "nonlin", "is"),
    ("squared_error", "figure", "feed", "is"),
    ("hinge", "figure", "escale", "is"),
    ("mixer", "figure", "mismatch", "is"),
    ("switching_mixer", "figure", "mismatch", "is"),
    ("switching_mixer", "figure", "vcomp", "is"),
    ("limiter", "figure", "mismatch", "is"),
    ("integrator", "figure", "mismatch", "is"),
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
    kind : {"resistor", "capacitor", "ratio", "offset", "figure"}
    parameter : str
        What it moves.
    effect : {"scales", "divides", "is"}
        How.
    nominal : float
        The parameter's value at an error of 0 ("scales", "divides"), or the figure that the part states.
    drift_per_K : float
        What the part states of the figure's change with temperature; 0 if nothing.
    most : float
        Largest magnitude of the figure that its maker lets pass; infinite if none is stated.
    """

    name: str
    part: str
    kind: Kind
    parameter: str
    effect: Effect
    nominal: float
    drift_per_K: float = 0.0
    most: float = math.inf

    @property
    def figure(self) -> str:
        """The name without the instance: what components of one place in all channels share."""
        return self.name.partition(".")[2]

    @property
    def stated(self) -> float:
        """The error that the part's own figures stand for."""
        return self.nominal if self.effect == "is" else 0.0

    def moved(self, value: float, error: float) -> float:
        """The parameter with this error, `value` being what other components have made of it so far."""
        if self.effect == "scales":
            return value * (1.0 + error)
        return value / (1.0 + error) if self.effect == "divides" else error


def components_of(reference: str, part: Part, values: Mapping[str, float]) -> tuple[Component, ...]:
    """The components of a part at one place, where it has these values beside its defaults."""
    known, found = {**part.defaults, **values}, []
    drifts, maxima = ({one.name: one.default for one in stated} for stated in (part.drifts, part.maxima))
    for name, kind, figure, effect in _EFFECTS:
        if name != part.name or (effect in ("scales", "divides") and "rtol" in known):
            continue  # where resistors are of a series, an error beside `rtol` would be rounded away
        parameter = figure
        if figure == "ctol" and figure not in known:
            parameter, effect = _WITHOUT_CTOL[name]
        if parameter in known:
            found.append(
                Component(
                    f"{reference}.{figure}", name, kind, parameter, effect, float(known[parameter]),
                    drifts.get(parameter, 0.0), maxima.get(parameter, math.inf),
                )
            )  # fmt: skip
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
        Largest relative deviation; a ratio of resistors deviates as a resistor does.
    offset, figures : float
        Standard deviation of offsets, and of other figures, in units of each part's typical figure; they are normal,
        and cut at the largest value that the part states.
    distribution : {"uniform", "normal"}
        Of resistors and capacitors: even within the tolerance, or normal with a third of it as standard deviation
        and nothing beyond it.
    lot : float
        Share of the variance that all instances of a part on a board have in common, 0 to 1.

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
    figures: float = 0.0
    lot: float = 0.0

    def __post_init__(self) -> None:
        for name in ("resistor", "capacitor", "offset", "figures"):
            value = getattr(self, name)
            if not (0.0 <= value < np.inf) or (name in ("resistor", "capacitor") and value >= 1.0):
                raise InputError(name, value, "is no tolerance", "give a fraction such as 0.01")
        if not 0.0 <= self.lot <= 1.0:
            raise InputError("lot", self.lot, "is no share", "give a number from 0 to 1")
        if self.distribution not in ("uniform", "normal"):
            raise InputError("distribution", self.distribution, "is unknown", "choose uniform or normal")

    def spread(self, component: Component) -> float:
        """How far a component's error lies from what its part states: a tolerance, or a standard deviation."""
        if component.kind in ("offset", "figure"):
            return abs(component.nominal) * (self.offset if component.kind == "offset" else self.figures)
        return self.capacitor if component.kind == "capacitor" else self.resistor

    def error(self, component: Component, z: float) -> float:
        """The error of a component at the place `z` of a standard normal distribution."""
        size = self.spread(component)
        if component.kind in ("offset", "figure"):
            return size * _cut(z, component.most / size)
        return size * (2.0 * float(ndtr(z)) - 1.0 if self.distribution == "uniform" else _cut(z, 3.0) / 3.0)


def _cut(z: float, most: float) -> float:
    """The same place of a standard normal distribution without what lies beyond +-`most`."""
    beyond = float(ndtr(-most))
    return float(ndtri(beyond + float(ndtr(z)) * (1.0 - 2.0 * beyond)))


@dataclass(frozen=True)
class Drift:
    """What temperature does to components, from 27 degC on.

    Parameters
    ----------
    resistor, capacitor, ratio : float
        Relative change, 1/K.
    offset : float
        Factor on the drifts that the parts state of their own figures.
    """

    resistor: float = 50e-6
    capacitor: float = 100e-6
    ratio: float = 5e-6
    offset: float = 1.0

    def change(self, component: Component, temperature_K: float) -> float:
        """How much a component's error changes to another temperature, typically."""
        if component.kind in ("offset", "figure"):
            return self.offset * component.drift_per_K * (temperature_K - NOMINAL_K)
        return float(getattr(self, component.kind)) * (temperature_K - NOMINAL_K)


def nominal_errors(
    parts: Sequence[Component],
    *,
    tolerances: Tolerances | None = None,
    extreme: Extreme | None = None,
    drift: Drift | None = None,
    temperature_K: float = NOMINAL_K,
) -> dict[str, float]:
    """`HomodyneLoop.component_errors` of the board that is as its parts state, at a temperature.

    Offsets drift away from zero. At an extreme all resistors and capacitors are as large ("slow") or as small ("fast")
    as their tolerances allow; ratios track and stay.
    """
    found = {}
    for component in parts:
        error = component.stated
        if extreme is not None and tolerances is not None and component.kind in ("resistor", "capacitor"):
            error += tolerances.spread(component) * (1.0 if extreme == "slow" else -1.0)
        if drift is not None:
            error += drift.change(component, temperature_K) * (-1.0 if component.stated < 0.0 else 1.0)
        if error != component.stated:
            found[component.name] = error
    return found


def draw_errors(
    parts: Sequence[Component],
    tolerances: Tolerances,
    rng: np.random.Generator,
    *,
    drift: Drift | None = None,
    temperature_K: float = NOMINAL_K,
) -> dict[str, float]:
    """`HomodyneLoop.component_errors` of one board: an error for each component, drawn one after the other.

    Drifts of offsets and ratios are drawn, too: normal, the typical one as standard deviation. A seed is the same board
    at every temperature. Components that are left as their part states them are not among them.
    """
    found, lots = {}, dict[str, float]()
    of_lots, of_drifts = rng.spawn(2)
    for component in parts:
        error = component.stated
        if tolerances.spread(component) > 0.0:
            z = float(rng.normal())
            if tolerances.lot > 0.0:
                common = lots.setdefault(f"{component.part}.{component.figure}", float(of_lots.normal()))
                z = math.sqrt(tolerances.lot) * common + math.sqrt(1.0 - tolerances.lot) * z
            error = tolerances.error(component, z)
        if drift is not None:
            alone = 1.0 if component.kind in ("resistor", "capacitor") else float(of_drifts.normal())
            error += drift.change(component, temperature_K) * alone
        if error != component.stated:
            found[component.name] = error
    return found
