"""The sections of a design's file, and which values they take; quantities carry their unit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, model_validator
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from analysis.designs.units import example, quantity
from circuits.choices import LevelName, LossName
from circuits.homodyne.engines import EngineName
from circuits.parts.component_errors import Extreme
from circuits.parts.temperature import NOMINAL_K
from inmateria.errors import InputError
from learning.choices import Polarity


def refuse(problem: str, fix: str) -> PydanticCustomError:
    """What a check of a field raises; braces would be taken for placeholders."""
    return PydanticCustomError("value", "{problem}|{fix}", {"problem": problem, "fix": fix})


@dataclass(frozen=True)
class Quantity:
    """Marks a float as a quantity in a unit, from `low` (or above `above`) to `high`; text with a unit is read."""

    unit: str
    low: float = -math.inf
    high: float = math.inf
    above: float = -math.inf

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        """What pydantic validates with."""
        return core_schema.no_info_plain_validator_function(self.read)

    def read(self, value: Any) -> float:
        """The value in SI units, checked."""
        try:
            found = quantity("value", value, self.unit)
        except InputError as error:
            raise refuse(error.problem, error.fix) from None
        if not (self.low <= found <= self.high and found > self.above):
            raise refuse(f"must be {self._bounds}", "give such a value" if self.unit == "1" else example(self.unit))
        return found

    @property
    def _bounds(self) -> str:
        name = "" if self.unit == "1" else f" {self.unit}"
        bounds = [f"above {self.above:g}{name}"] if self.above > -math.inf else []
        bounds += [f"at least {self.low:g}{name}"] if self.low > -math.inf else []
        bounds += [f"at most {self.high:g}{name}"] if self.high < math.inf else []
        return " and ".join(bounds)


PositiveVolts = Annotated[float, Quantity("V", above=0.0)]
Hertz = Annotated[float, Quantity("Hz", above=0.0)]
Kelvin = Annotated[float, Quantity("K", above=0.0)]
Amperes = Annotated[float, Quantity("A", low=0.0)]
Density = Annotated[float, Quantity("A^2/Hz", low=0.0)]
Fraction = Annotated[float, Quantity("1", low=0.0, high=1.0)]
PositiveFraction = Annotated[float, Quantity("1", above=0.0, high=1.0)]
OpenFraction = Annotated[float, Quantity("1", above=0.0, high=0.9999)]
Ratio = Annotated[float, Quantity("1", low=0.0)]
PositiveRatio = Annotated[float, Quantity("1", above=0.0)]
Cosine = Annotated[float, Quantity("1", low=-1.0, high=1.0)]
Confidence = Annotated[float, Quantity("1", low=0.5, high=0.9999)]
Drift = Annotated[float, Quantity("1/K")]
Seconds = Annotated[float, Quantity("s", above=0.0)]
SmallFraction = Annotated[float, Quantity("1", low=0.0, high=0.9999)]
NotNegativeVolts = Annotated[float, Quantity("V", low=0.0)]
TemperatureChange = Annotated[float, Quantity("K", low=0.0, high=100.0)]
TemperatureRise = Annotated[float, Quantity("K", low=-100.0, high=100.0)]
Ohms = Annotated[float, Quantity("ohm", above=0.0)]
Volts = Annotated[float, Quantity("V")]
Decibels = Annotated[float, Quantity("dB", low=0.0, high=80.0)]
Degrees = Annotated[float, Quantity("deg", above=0.0, high=90.0)]


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


def _name(value: Any) -> Any:
    if isinstance(value, str) and not value.strip():
        raise refuse("is empty", "give a name")
    return value


def _rates(value: Any) -> Any:
    if value == "auto":
        return value
    if isinstance(value, str) or not _as_list(value):
        raise refuse("is no share of the rate", 'write "auto", or numbers above 0 and at most 1')
    return tuple(Quantity("1", above=0.0, high=1.0).read(one) for one in _as_list(value))


def _some(value: int) -> int:
    if value < 0 or value == 1:
        raise refuse("must be 0, or 2 and more", "one board shows no spread")
    return value


Peaks = Annotated[tuple[PositiveVolts, ...], BeforeValidator(_as_list), Field(min_length=1, strict=False)]
Name = Annotated[str, BeforeValidator(_name)]
Range = Annotated[tuple[Volts, Volts], Field(strict=False)]
Rates = Annotated[Any, PlainValidator(_rates)]
"""The word "auto", or a tuple of shares."""
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Samples = Annotated[int, AfterValidator(_some)]


class Section(BaseModel):
    """A table of the file: unknown keys are refused, numbers are not taken for words or the other way round."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class DeviceSection(Section):
    """[device]: a random network of dopants, a measured chip, or a netlist."""

    model: Name = "meanfield"
    """meanfield, kmc, or a file, relative to the design: a chip's, or a netlist whose remarks say the rest."""
    seed: Whole | None = None
    """Of a random network; the default device, 0, if left out."""
    count: Count = 1
    """Devices side by side, their outputs joined: networks of this seed and the next ones, or copies of a chip."""
    temperature: Kelvin | None = None
    """Of a random network, the preset's 77 K if left out; a netlist is as warm as the electronics."""
    output: Name | None = None
    inputs: Annotated[tuple[Name, ...], Field(min_length=1, strict=False)] | None = None
    limits: Range | dict[Name, Range] | None = None
    """Of a netlist, as all below: lowest and highest voltage of all terminals, or of some by their names."""
    supplies: dict[Name, Volts] | None = None
    """Voltage of each pin that stands still and is no terminal."""
    subckt: Name | None = None
    section: Name | None = None
    """Of a library (.lib SECTION)."""
    terminals: Annotated[tuple[Name, ...], Field(min_length=2, strict=False)] | None = None
    """Nodes that are terminals, of a whole circuit without .subckt."""
    transimpedance: Ohms | None = None
    """Of the amplifier that reads the output."""


class TaskSection(Section):
    """[task]: what is learned."""

    name: Name = "XOR"
    """A task of `learning.tasks.library`, or a file (.csv, .npz), relative to the design."""
    swing: PositiveVolts | None = None
    """Difference of input levels; a share of each input's range that suits the task if left out."""
    polarity: Polarity = "free"
    """Whether less current may stand for a higher target."""


class DitherSection(Section):
    """[dither]: the tones."""

    amplitude: (
        Annotated[tuple[PositiveVolts, ...], BeforeValidator(_as_list), Field(min_length=1, strict=False)] | None
    ) = None
    """Peak; one for all trained electrodes, or one for each; 5 mV with ideal parts and 10 mV with real ones if left
    out."""
    spacing: Hertz = 10.0
    """Of the ruler that the tones stand on: their common divisor."""
    base: Hertz | None = None
    """Lowest frequency allowed; the lowest octave that keeps products off the tones if left out."""
    frequencies: Annotated[tuple[Hertz, ...], Field(min_length=1, strict=False)] | None = None
    """The tones themselves, in place of spacing and base."""
    anneal_to: PositiveFraction | None = None
    """Share of the dither that is left at the end; 0.1 with ideal parts and 0.3 with real ones if left out."""
    chopped: bool = False
    """Whether the dither's sign changes from window to window, so that the multipliers' offsets cancel."""

    @model_validator(mode="after")
    def _one_way(self) -> DitherSection:
        given = self.model_fields_set & {"spacing", "base"}
        if self.frequencies is not None and given:
            raise refuse(
                f"frequencies stand beside {min(given)}, and both say where the tones are", "give one or the other"
            )
        return self


class LearningSection(Section):
    """[learning]: how the loop descends; what is left out suits the task."""

    rate: PositiveRatio | None = None
    """V per (V/V) and sequence."""
    step: PositiveVolts | None = None
    """Largest step of a control per sequence."""
    rates: Rates = "auto"
    """Shares of rate and step: one for all trained electrodes, one each, or "auto": each by its slope at the start."""
    sequences: Count | None = None
    looks: Count | None = None
    """Random settings looked at before an attempt."""
    candidates: Count | None = None
    """How many of them, those whose slopes promise most, are followed by their slopes."""
    moves: Whole | None = None
    """So many times, a look each."""
    spread: PositiveFraction | None = None
    """They come from the middle of each range, this share of it."""
    anneal_to: PositiveFraction = 0.1
    """Share of rate and step that is left at the end."""
    restarts: Count = 20
    """Attempts at most."""
    loss: LossName = "squared"


class OwnPart(Section):
    """A user's own subcircuit in a part's place; as `netlists.user_part`."""

    file: Name
    """Of the subcircuit (.lib, .cir), relative to the design."""
    subckt: Name | None = None
    pins: dict[Name, Name] = {}
    supplies: dict[Name, float] = {}
    fixed: dict[Name, float] = {}
    section: Name | None = None
    """Of a library (.lib SECTION)."""
    dialect: Name | None = None
    """Whose language the file is, where it is not ngspice's: pspice, ltspice, hspice."""


class ElectronicsSection(Section):
    """[electronics]: how real the parts are."""

    level: LevelName = "ideal"
    leads: bool = False
    """Whether cables stand before the electrodes."""
    parts: dict[Name, Name | OwnPart] = {}
    """Parts at a level of their own, such as mixer = "transistor", or one's own: mixer = { file = "my.lib" }."""
    values: dict[Name, dict[Name, float]] = {}
    """Error figures of parts, in the part's own units, such as an offset trimmed by hand: mixer = { offset = 1e-4 }."""
    temperature: Kelvin = NOMINAL_K
    supply: PositiveVolts = 15.0
    reference: PositiveVolts | None = None
    """Peak of the references and scale of the multipliers; what suits the mixer's level if left out."""


class NoiseSection(Section):
    """[noise]: of the device's output, and of the electronics."""

    density: Density = 0.0
    """Of the output, one-sided, white."""
    electronics: bool = False
    """Of every resistor and transistor, as ngspice's .noise knows it; runs in ngspice have it."""


class TolerancesSection(Section):
    """[tolerances]: how far components of one kind lie apart, and how they drift."""

    resistor: Fraction = 0.0
    """Largest deviation from the nominal value."""
    capacitor: Fraction = 0.0
    offset: Ratio = 0.0
    """Standard deviation of offsets, in units of each part's own typical figure; 0 leaves that figure as it is."""
    figures: Ratio = 0.0
    """The same of scale errors, nonlinearities, feedthroughs, bias currents and mismatches of transistors."""
    lot: Fraction = 0.0
    """Share of the variance that all instances of a part on a board have in common."""
    distribution: Literal["uniform", "normal"] = "uniform"
    """Of resistors and capacitors: even within the tolerance, or normal with a third of it as standard deviation."""
    resistor_drift: Drift = 50e-6
    """Relative, per K from 27 degC."""
    capacitor_drift: Drift = 100e-6
    ratio_drift: Drift = 5e-6
    """Of ratios of resistors on one network, which track."""
    offset_drift: Ratio = 1.0
    """Factor on the drifts that the parts state of their own offsets."""


class CornersSection(Section):
    """[corners]: extremes at which the nominal design must work, too: all combinations of what the lists name."""

    device_temperature: Annotated[tuple[Kelvin, ...], Field(strict=False)] = ()
    temperature: Annotated[tuple[Kelvin, ...], Field(strict=False)] = ()
    supply: Annotated[tuple[PositiveVolts, ...], Field(strict=False)] = ()
    components: Annotated[tuple[Extreme, ...], Field(strict=False)] = ()
    """All resistors and capacitors as large (slow) or as small (fast) as their tolerances allow."""


class DisturbancesSection(Section):
    """[disturbances]: what moves, one at a time, while the learned controls stand; asked by disturbed_margin_min."""

    drift: SmallFraction = 0.01
    """Share of each control, every one up or down."""
    offset: NotNegativeVolts = 1e-3
    """On each control, every one up or down."""
    temperature: TemperatureChange = 5.0
    """Of the device, up and down; not of a device that knows only its own."""
    noise: Ratio = 1.0
    """Factor on the noise of a window's mean."""


class CriteriaSection(Section):
    """[criteria]: what a design must do to pass; what is left out is not asked."""

    margin_min: Cosine | None = None
    """Of a gate: (min(high) - max(low))/(max - min) of its outputs."""
    separation_min: Amperes | None = None
    """min(high) - max(low)."""
    attempts_max: Count | None = None
    gradient_cosine_min: Cosine | None = None
    """Of the lock-ins' gradient along the path against the exact one; left out: of the loss, above 0 at the start."""
    gradient_error_max: Ratio | None = None
    """|read - exact|/|exact| there."""
    phase_margin_min: Degrees | None = None
    """Of every feedback amplifier with its load; left out: 20 deg, asked of every level with amplifiers."""
    settling_max: Seconds | None = None
    """Of every part after an edge and a load step; left out: the wait between an edge and the window."""
    recovery_max: Seconds | None = None
    """Of every part after an overload; left out: likewise."""
    loop_margin_min: Decibels | None = None
    """Gain margin of every channel of the learning loop, and of all together, at the start of what counts."""
    hold_min: Seconds | None = None
    """How long the gate stays with the integrators' gates closed; as good as margin_min and separation_min ask."""
    hold_warming: TemperatureRise | None = None
    """Change of the electronics' temperature while the gate is held; offsets drift by it."""
    left_on_min: Seconds | None = None
    """How long the gate stays while the loop goes on at the rate and dither of its end."""
    disturbed_margin_min: Cosine | None = None
    """The margin that every disturbance has to leave."""
    yield_min: Fraction | None = None
    """Share of good boards: the lower end of its interval must reach this."""
    pass_probability_min: OpenFraction | None = None
    """Of a single attempt, for a board to be good; left out: as much as lets learning.restarts attempts learn."""


class VerifySection(Section):
    """[verify]: what `inmateria verify` runs."""

    engine: EngineName = "averaged"
    """Of the samples; nominal design and corners run in ngspice."""
    samples: Samples = 100
    """Boards of drawn components; 0 for none."""
    starts: Annotated[int, Field(ge=2)] = 12
    """Starts that every board is trained from, one attempt each."""
    devices: Count = 1
    """Device seeds that the boards go through in turn."""
    confirm: Fraction = 0.1
    """Attempts made again in ngspice, drawn at random: their number, in boards."""
    confidence: Confidence = 0.95
    """Of the interval of the yield."""
