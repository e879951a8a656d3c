"""`inmateria plan`: dither and filter for a wanted gradient error on a device, and how long a reading takes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console

from analysis.gradients.planner import GradientPlan, GradientRequirements, plan
from dnpu_models.interface.device import follow_path, has_exact_slopes
from inmateria.checks import FloatArray
from inmateria.commands.results import Results
from inmateria.errors import InputError, Interrupted
from inmateria.terminal.output import stderr
from inmateria.terminal.progress import compilation_told
from inmateria.versions import versions
from learning.bench.bench import Bench
from learning.homodyne.settings import HgeSettings


def parse_band(text: str | None) -> tuple[float, float] | None:
    """A band ``LOW:HIGH`` in Hz.

    Raises
    ------
    InputError
        For another form.
    """
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


def run_plan(
    bench: Bench,
    *,
    facts: dict[str, Any],
    error: float,
    points: int,
    noise_A2_per_Hz: float,
    limit_V: float,
    band: str | None,
    longest_s: float,
    filters: str,
    curvature: float | None,
    seed: int,
    folder: Path | None,
    answer: Console,
) -> dict[str, Any]:
    """Plan, tell, return the document.

    Raises
    ------
    InputError
        For requirements that make no sense or cannot be had.
    """
    begin = time.perf_counter()
    if not has_exact_slopes(bench.device):
        raise InputError("device", "kmc", "knows no exact gradient", "plan on meanfield, or on a chip's file")
    names = [word.strip() for word in filters.split(",") if word.strip()]
    low, high = bench.limits_V.T
    if not 0.0 < limit_V < 0.25 * float(np.min(high - low)):
        most = 0.25 * float(np.min(high - low))
        raise InputError(
            "limit", limit_V, "leaves the controls no range", f"take more than 0 and less than {most:.3g} V"
        )
    rng = np.random.default_rng(seed)
    controls = np.array([bench.random_controls(HgeSettings().spread, rng) for _ in range(points)])
    controls = np.clip(controls, low + limit_V, high - limit_V)

    def gradient(volts: FloatArray) -> FloatArray:
        return np.asarray(-bench.device.conductances(volts)[:, bench.output, list(bench.trained)])

    def output(volts: FloatArray) -> FloatArray:
        return np.asarray(-follow_path(bench.device, volts)[:, bench.output])

    requirements = GradientRequirements(
        gradient,
        bench.terminal_voltages(controls),
        bench.trained,
        error,
        noise_A2_per_Hz,
        limit_V,
        band_Hz=parse_band(band),
        longest_s=longest_s,
        curvature=curvature,
        filters=names,
        output=output,
        seed=seed,
    )
    try:
        with stderr.status("planning"), compilation_told(stderr):
            found = plan(requirements)
    except KeyboardInterrupt:
        raise Interrupted("run", "Ctrl-C", "stopped by Ctrl-C", "run the command again") from None
    results = Results("plan", seed, folder, {})
    results.write_dataset("plan.nc", _dataset(found, bench.names))

    def draw(_data: xr.Dataset) -> dict[str, Any]:
        from analysis.plots.plan import plot_plan

        return {"plan.png": plot_plan(found)}

    results.write_figures(draw)
    settings = found.settings
    summary = {
        "controls": list(bench.names),
        "frequencies_Hz": list(found.dither.frequencies_Hz),
        "amplitudes_V": list(found.dither.amplitudes_V),
        "filter": {"window": settings.window, "time_constant_s": settings.time_constant,
                   "slope_dB_per_octave": settings.filter_slope if settings.window == "rc" else None},
        "time_s": found.time_s,
        "error": found.error,
        "terms": found.shares,
        "binding": found.binding,
        "sensitivities": found.sensitivities,
        "learning_rate": found.learning_rate,
        "points": points,
        "noise_A2_per_Hz": noise_A2_per_Hz,
        "device": facts,
        "wall_s": time.perf_counter() - begin,
    }  # fmt: skip
    _tell(found, bench.names, answer)
    if folder is not None:
        answer.print(f"curves and figure are in {folder}", highlight=False)
    return results.write_summary(summary)


def _dataset(found: GradientPlan, names: tuple[str, ...]) -> xr.Dataset:
    """Tones and both curves."""
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


def _tell(found: GradientPlan, names: tuple[str, ...], answer: Console) -> None:
    """The plan in words."""
    settings = found.settings
    kind = "boxcar" if settings.window == "boxcar" else f"{settings.filter_slope} dB/octave"
    answer.print(
        f"read after {found.time_s:.4g} s: {kind}, time constant {settings.time_constant:.4g} s, "
        f"error {100 * found.error:.3g} % of the gradient",
        highlight=False,
    )
    for name, tone, peak in zip(names, found.dither.frequencies_Hz, found.dither.amplitudes_V, strict=True):
        answer.print(f"{name}: {tone:10.4f} Hz, {1e3 * peak:8.3f} mV peak", highlight=False)
    terms = ", ".join(f"{name} {100 * share:.2g} %" for name, share in found.shares.items() if share > 1e-5)
    answer.print(f"largest term: {found.binding} ({terms})", highlight=False)
    relaxed = ", ".join(f"{name} {100 * gain:.1f} %" for name, gain in found.sensitivities.items() if gain > 0.0)
    if relaxed:
        answer.print(f"relaxed by a tenth, the error falls: {relaxed}", highlight=False)
    if found.learning_rate is not None:
        answer.print(f"learning rate {found.learning_rate:.4g} per s and unit of the loss per V^2", highlight=False)
