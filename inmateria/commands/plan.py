"""`inmateria plan`: dither and filter for a wanted gradient error on a device, and how long a reading takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from inmateria.commands.frame import Frame, Json
from inmateria.commands.options import DeviceName, DeviceSeed, Electrodes, Seed
from inmateria.errors import InputError
from inmateria.terminal.output import stderr
from inmateria.terminal.progress import compilation_told

if TYPE_CHECKING:
    import xarray as xr

    from analysis.gradients.planner import GradientPlan, GradientRequirements
    from inmateria.checks import FloatArray
    from learning.bench.bench import Bench

FILES = ("plan.nc", "plan.png")
_FEW, _MANY = 64, 640
"""Settings that judge: of 64 the time still depends on their luck, of 640 it hardly does (docs/error_budget.md)."""
Corrected = Literal["auto", "yes", "no"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """A device, the wanted error, and within which bounds."""

    as_json: Json = False
    out: Annotated[Path | None, typer.Option(help="Folder for summary, curves and figure.")] = None
    seed: Seed = 0
    device_seed: DeviceSeed = None
    device: DeviceName = "meanfield"
    electrodes: Electrodes = None
    error: Annotated[float, typer.Option(help="Wanted error of the gradient, relative to its size.")] = 0.1
    share: Annotated[float, typer.Option(help="Share of all settings at which a reading is to be that good.")] = 0.9
    confidence: Annotated[float, typer.Option(help="Confidence of that share.")] = 0.95
    points: Annotated[
        int | None,
        typer.Option(
            help="Random settings that judge; others choose the dither. Left out: 64, of a chip's file 640, or what "
            "the confidence needs.",
            min=1,
            max=1000,
        ),
    ] = None
    noise: Annotated[float, typer.Option(help="Noise of the output, one-sided, A^2/Hz.")] = 1e-23
    limit: Annotated[float, typer.Option(help="Largest peak dither, V.")] = 0.1
    band: Annotated[str | None, typer.Option(help="Band of the tones, LOW:HIGH in Hz; any if left out.")] = None
    longest: Annotated[float, typer.Option(help="Longest reading, s.")] = 1e3
    filters: Annotated[str, typer.Option(help="Filters to choose from: boxcar, 6, 12, 18, 24 (dB/octave).")] = (
        "boxcar,6,12,18,24"
    )
    corrected: Annotated[
        Corrected, typer.Option(help="Whether the dither's error of third order is taken out; auto: if that is faster.")
    ] = "auto"
    windows: Annotated[
        int, typer.Option(help="Readings along a path whose mean a correction is; each gradient is one's.", min=1)
    ] = 1
    curvature: Annotated[
        float | None, typer.Option(help="Largest curvature of the loss, per V^2: plans a learning rate, too.")
    ] = None


def run(options: Options, frame: Frame) -> dict[str, Any]:
    """Plan tones, amplitudes and filter for a required error of the gradient: the fastest reading, and what limits it.

    The plan is for a share of all settings, and says with which confidence.

    Example: inmateria plan --error 0.1 --band 100:2000 --out plan
    """
    from analysis.gradients.planner import plan
    from analysis.plots.plan import plot_plan
    from inmateria.commands.experiment import make_bench
    from learning.bench.devices import DeviceOptions

    bench, facts = make_bench(DeviceOptions(options.device, options.device_seed, options.electrodes), None, 1e-6)
    requirements = _requirements(bench, options)
    with frame.keeping(), stderr.status("planning"), compilation_told(stderr):
        found = plan(requirements)
    frame.write_dataset("plan.nc", _dataset(found, bench.names))
    frame.write_figures(lambda _data: {"plan.png": plot_plan(found)})
    settings = found.settings
    _tell(found, bench.names, frame)
    return frame.summary({
        "controls": list(bench.names),
        "frequencies_Hz": list(found.dither.frequencies_Hz),
        "amplitudes_V": list(found.dither.amplitudes_V),
        "filter": {"window": settings.window, "time_constant_s": settings.time_constant,
                   "slope_dB_per_octave": settings.filter_slope if settings.window == "rc" else None},
        "corrected": found.corrected,
        "windows": options.windows if found.corrected else None,
        "time_s": found.time_s,
        "error": found.error,
        "terms": found.shares,
        "binding": found.binding,
        "sensitivities": found.sensitivities,
        "learning_rate": found.learning_rate,
        "share": options.share,
        "confidence": options.confidence,
        "points": requirements.judging,
        "misses": requirements.misses,
        "noise_A2_per_Hz": options.noise,
        "device": facts,
    })  # fmt: skip


def parse_band(text: str | None) -> tuple[float, float] | None:
    """A band ``LOW:HIGH`` in Hz."""
    if text is None:
        return None
    low, colon, high = text.partition(":")
    try:
        band = float(low), float(high)
    except ValueError:
        colon = ""
        band = 0.0, 0.0
    if not colon:
        raise InputError("band", text, "is not of the form LOW:HIGH", "write for example 100:2000, in Hz")
    return band


def _requirements(bench: Bench, options: Options) -> GradientRequirements:
    """What the planner is asked for: the exact gradient and output of the device at random settings."""
    import numpy as np

    from analysis.gradients.planner import GradientRequirements, points_for
    from analysis.gradients.tolerance import settings_needed
    from dnpu_models.interface.device import follow_path, has_exact_slopes
    from dnpu_models.surrogate.chip import ChipSurrogate
    from learning.homodyne.settings import HgeSettings

    if not has_exact_slopes(bench.device):
        raise InputError("device", "kmc", "knows no exact gradient", "plan on meanfield, or on a chip's file")
    names = [word.strip() for word in options.filters.split(",") if word.strip()]
    low, high = bench.limits_V.T
    if not 0.0 < options.limit < 0.25 * float(np.min(high - low)):
        most = 0.25 * float(np.min(high - low))
        raise InputError(
            "limit", options.limit, "leaves the controls no range", f"take more than 0 and less than {most:.3g} V"
        )
    needed = settings_needed(options.share, options.confidence)
    judging = options.points or max(needed, _MANY if isinstance(bench.device, ChipSurrogate) else _FEW)
    if judging < needed:
        told = f"are too few for a share of {options.share:g} with a confidence of {options.confidence:g}"
        raise InputError("points", options.points, told, f"take {needed} or more")
    rng = np.random.default_rng(options.seed)
    points = points_for(judging)
    controls = np.array([bench.random_controls(HgeSettings().spread, rng) for _ in range(points)])
    controls = np.clip(controls, low + options.limit, high - options.limit)

    def gradient(volts: FloatArray) -> FloatArray:
        return np.asarray(-bench.device.conductances(volts)[:, bench.output, list(bench.trained)])

    def output(volts: FloatArray) -> FloatArray:
        return np.asarray(-follow_path(bench.device, volts)[:, bench.output])

    return GradientRequirements(
        gradient,
        bench.terminal_voltages(controls),
        bench.trained,
        options.error,
        options.noise,
        options.limit,
        band_Hz=parse_band(options.band),
        longest_s=options.longest,
        curvature=options.curvature,
        filters=names,
        output=output,
        share=options.share,
        confidence=options.confidence,
        corrected={"auto": None, "yes": True, "no": False}[options.corrected],
        windows=options.windows,
        seed=options.seed,
    )


def _dataset(found: GradientPlan, names: tuple[str, ...]) -> xr.Dataset:
    """Tones and both curves."""
    import xarray as xr

    from inmateria.versions import versions

    alpha, error, noise, amplitude = found.amplitude_curve.T
    times, smallest = found.time_curve.T
    return xr.Dataset(
        {
            "frequency": ("control", list(found.dither.frequencies_Hz), {"units": "Hz"}),
            "amplitude": ("control", list(found.dither.amplitudes_V), {"units": "V"}),
            "error": ("dither", error, {"units": "1", "long_name": "error at the planned time"}),
            "noise": ("dither", noise, {"units": "1", "long_name": "its part from noise"}),
            "bias": ("dither", amplitude, {"units": "1", "long_name": "its part from the amplitude"}),
            "smallest_error": ("time", smallest, {"units": "1"}),
        },
        coords={
            "control": list(names),
            "dither": ("dither", alpha, {"units": "V", "long_name": "peak amplitude, mean over the controls"}),
            "time": ("time", times, {"units": "s", "long_name": "time of reading"}),
        },
        attrs={**{f"version_{k}": v for k, v in versions().items()}, "time_s": found.time_s},
    )


def _tell(found: GradientPlan, names: tuple[str, ...], frame: Frame) -> None:
    """The plan in words."""
    settings = found.settings
    kind = "boxcar" if settings.window == "boxcar" else f"{settings.filter_slope} dB/octave"
    frame.say(
        f"read after {found.time_s:.4g} s: {kind}, time constant {settings.time_constant:.4g} s, "
        f"error {100 * found.error:.3g} % of the gradient or less {found.requirements.promise}",
    )
    if found.corrected:
        mean = "" if found.requirements.windows == 1 else f", the mean over {found.requirements.windows} readings"
        frame.say(f"with the error of third order taken out{mean}")
    for name, tone, peak in zip(names, found.dither.frequencies_Hz, found.dither.amplitudes_V, strict=True):
        frame.say(f"{name}: {tone:10.4f} Hz, {1e3 * peak:8.3f} mV peak")
    terms = ", ".join(f"{name} {100 * share:.2g} %" for name, share in found.shares.items() if share > 1e-5)
    frame.say(f"largest term: {found.binding} ({terms})")
    relaxed = ", ".join(f"{name} {100 * gain:.1f} %" for name, gain in found.sensitivities.items() if gain > 0.0)
    if relaxed:
        frame.say(f"relaxed by a tenth, the error falls: {relaxed}")
    if found.learning_rate is not None:
        frame.say(f"learning rate {found.learning_rate:.4g} per s and unit of the loss per V^2")
    if frame.folder is not None:
        frame.say(f"curves and figure are in {frame.folder}")
