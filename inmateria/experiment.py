"""From a command's options to a bench, with every check that needs no device run: wrong input ends in a second."""

from __future__ import annotations

from typing import Any

import numpy as np

from circuits import HomodyneLoop
from inmateria.errors import InputError
from learning import Bench, BooleanTask, HgeSettings, default_bench
from learning.bench import DEFAULT_DEVICE_SEED, SPACING_HZ
from learning.hge import build_loop
from lockin import collisions, plan_frequencies

POINTS_MAX = 5e6
"""Time-points of one transient that a command still runs: an hour or so, and some gigabytes."""


def numbers(field: str, text: str | None) -> list[float] | None:
    """Numbers with commas or blanks between them."""
    if text is None:
        return None
    try:
        found = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        raise InputError(field, text, "is no list of numbers", "write numbers with commas between them") from None
    if not found:
        raise InputError(field, text, "is empty", "write numbers with commas between them")
    return found


def make_bench(
    device: str, device_seed: int | None, frequencies: str | None, tolerance: float
) -> tuple[Bench, dict[str, Any]]:
    """The bench that a command's options describe, and the facts on its device for the summary.

    Raises
    ------
    InputError
        For an unknown device, or tones that are no numbers, not positive, too few or colliding.
    """
    if device != "meanfield":
        raise InputError("device", device, "is no device known here", "use meanfield")
    seed = DEFAULT_DEVICE_SEED if device_seed is None else device_seed
    bench = default_bench(seed, tolerance=tolerance, frequencies_Hz=numbers("frequencies", frequencies))
    _check_tones(bench, frequencies)
    names = bench.device.terminals
    facts = {
        "model": device,
        "preset": getattr(getattr(bench.device, "network", None), "preset", None),
        "seed": seed,
        "output": names[bench.output],
        "inputs": [names[k] for k in bench.inputs],
    }
    return bench, facts


def _check_tones(bench: Bench, text: str | None) -> None:
    count = len(bench.trained)
    example = ",".join(f"{f:g}" for f in plan_frequencies(count, None, SPACING_HZ).frequencies_hz)
    plan = bench.plan(1e-3)
    fix = f"leave it out, or take for example {example}"
    try:
        window = plan.common_period_s
    except InputError as error:
        raise InputError("frequencies", text, f"{error.value} {error.problem}", fix) from error
    found = collisions(plan.frequencies_hz, 0.5 / window)
    if found:
        shown = ", ".join(f"{c.product} on f{c.tone}" for c in found[:3])
        raise InputError("frequencies", text, f"{len(found)} mixing products collide with a tone ({shown} ...)", fix)


def check_step(max_step_s: float | None) -> None:
    """Refuse a step that is no time."""
    if max_step_s is not None and not (np.isfinite(max_step_s) and max_step_s > 0):
        raise InputError("max_step", max_step_s, "is no positive time", "give seconds, e.g. 1e-4")


def check_amplitude(amplitude_V: float) -> None:
    """Refuse a dither that is no voltage."""
    if not (np.isfinite(amplitude_V) and amplitude_V > 0):
        raise InputError("amplitude", amplitude_V, "is no positive voltage", "give volts, e.g. 0.005")


def check_points(loop: HomodyneLoop, frequencies: str | None, max_step_s: float | None) -> None:
    """Refuse a run of too many time-points.

    Raises
    ------
    InputError
        About the step if one was given, else about the tones, whose common period sets the length.
    """
    points = loop.stop_s / loop.max_step_s
    if points <= POINTS_MAX:
        return
    what = f"makes {points:.2g} time-points of a transient of {loop.stop_s:.3g} s"
    if max_step_s is not None:
        raise InputError("max_step", max_step_s, what, f"take at least {loop.stop_s / POINTS_MAX:.1g} s")
    raise InputError(
        "frequencies", frequencies, f"{what} (the tones' common period is {loop.sequence.window_s:.3g} s)",
        "take multiples of one larger spacing",
    )  # fmt: skip


def rehearsal(bench: Bench, task: BooleanTask, settings: HgeSettings, frequencies: str | None = None) -> HomodyneLoop:
    """The loop as it will be, with all controls at 0 V: built to see that it can be, never run.

    Raises
    ------
    InputError
        As `HomodyneLoop`, and for a run of too many time-points.
    """
    outputs = 1e-9 * np.arange(len(task.levels_V), dtype=np.float64)
    loop = build_loop(bench, task, settings, np.zeros(len(bench.trained)), 1.0, outputs)
    check_points(loop, frequencies, settings.max_step_s)
    return loop


def check_room_for_starts(bench: Bench, loop: HomodyneLoop, settings: HgeSettings) -> None:
    """Refuse a dither that leaves the controls less room than the starts are drawn from."""
    room = float(np.min(loop.control_limits_V[1]))
    if room < settings.spread_V:
        largest = settings.amplitude_V - (settings.spread_V - room)
        raise InputError(
            "amplitude",
            settings.amplitude_V,
            f"with the logic swing it leaves the controls +-{room:.3g} V of the device's +-{bench.device.limit_V:g} V; "
            f"starts are drawn from +-{settings.spread_V:g} V",
            f"take at most {largest:.3g} V",
        )
