"""From options or a design to an experiment; checked without a device run, so that wrong input ends at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from analysis.designs.design import Design
from analysis.designs.experiment import LIVE_WINDOW_S, experiment_of
from analysis.designs.units import quantity
from circuits.choices import LevelName, LossName
from circuits.homodyne.engines import engine_kind
from circuits.homodyne.loop import HomodyneLoop
from circuits.parts.levels import loop_fields
from dnpu_models.monte_carlo.model import KineticMonteCarlo
from inmateria.commands.options import TASKS, ExperimentOptions
from inmateria.errors import InputError
from inmateria.terminal.output import stderr
from learning.bench.bench import DEFAULT_PRESET, SPACING_HZ, Bench
from learning.bench.devices import (
    DeviceOptions,
    default_electrodes,
    is_netlist,
    joined_bench,
    make_device,
    parse_electrodes,
)
from learning.choices import Polarity
from learning.homodyne.experiment import Experiment, middle_loop
from learning.homodyne.settings import HgeSettings
from learning.tasks.library import named_task
from lockin.collisions import collisions
from lockin.plan import plan_frequencies

LIVE_SPACING_HZ = 1e6
"""Tones of 26 to 51 MHz and windows of 1 us, where holes are followed one by one: a window of 0.1 s is 1e12 hops."""
HOPS_HZ = 8e12
"""Hops per second of the preset's devices."""
POINTS_MAX = 5e6
"""Time-points of one transient that a command still runs: an hour or so, and some gigabytes."""


def requested_experiment(
    options: ExperimentOptions,
    said: Collection[str],
    task: str | None,
    *,
    restarts: int = 20,
    level: LevelName = "ideal",
    loss: LossName = "squared",
    chopped: bool = False,
    rates: str = "auto",
    electronics_noise: bool = False,
    polarity: Polarity = "free",
    tolerance: float = 1e-5,
) -> tuple[Experiment, int]:
    """The experiment of a command's options, or of its design with those in place that were said; and the seed.

    Parameters
    ----------
    options : ExperimentOptions
    said : collection of str
        Options that stand on the command line.
    task : str or None
        None only where there may be a design.
    restarts, level, loss, chopped, rates, electronics_noise, polarity
        What the command takes of these, where no design says it.
    tolerance : float
        Of a mean field followed in a transient.
    """
    if options.design is not None:
        design = read_design(options.design, {name: getattr(options, name) for name in said})
        return from_design(design, max_step_s=options.max_step, tolerance=tolerance), design.seed
    if task is None:
        raise InputError("gate", None, "is missing", f"name one of {TASKS}, or a --design")
    named, amplitude_V = named_task(task), options.amplitude
    device = DeviceOptions(options.device, options.device_seed, options.electrodes, count=options.devices)
    bench, facts = make_bench(device, options.frequencies, tolerance, named.inputs)
    if amplitude_V is not None and not (np.isfinite(amplitude_V) and amplitude_V > 0):
        raise InputError("amplitude", amplitude_V, "is no positive voltage", "give volts, e.g. 0.005")
    _check_step(options.max_step)
    fitted = bench.task(named, swing_V=options.swing, polarity=polarity)
    settings = HgeSettings(
        amplitude_V=amplitude_V,
        max_step_s=options.max_step,
        restarts=restarts,
        loss=loss,
        chopped=chopped,
        rates=_rates(rates),
        electronics_noise=electronics_noise,
        **fitted.training,
        **loop_fields(level),
    )
    return Experiment(bench, fitted, settings, {"device": facts, "design": None, "level": level}), options.seed


DESIGN_KEYS = {
    "gate": "task.name",
    "swing": "task.swing",
    "polarity": "task.polarity",
    "device": "device.model",
    "device_seed": "device.seed",
    "devices": "device.count",
    "amplitude": "dither.amplitude",
    "restarts": "learning.restarts",
    "level": "electronics.level",
    "loss": "learning.loss",
    "chopped": "dither.chopped",
    "electronics_noise": "noise.electronics",
    "seed": "seed",
}
"""What a command's options are called in a design."""


def read_design(path: str, given: Mapping[str, Any]) -> Design:
    """A design's file, with the options that stand beside it in place of its own values; another task is told of."""
    values = {DESIGN_KEYS[name]: value for name, value in given.items() if name in DESIGN_KEYS}
    if "electrodes" in given:
        output, _, inputs = str(given["electrodes"]).replace(" ", "").partition(":")
        values |= {"device.output": output, "device.inputs": inputs.split(",")}
    design = Design.from_toml(path)
    if (task := str(given.get("gate", design.task.name))).casefold() != design.task.name.casefold():
        told = f"the task is {task}, as the command line says, in place of {design.task.name} in {path}"
        stderr.print(told, markup=False)
    if (tones := numbers("frequencies", given.get("frequencies"))) is not None:
        kept = design.model_dump(exclude_unset=True)
        for name in ("spacing", "base"):
            kept.get("dither", {}).pop(name, None)
        design = design.with_values(kept)
        values["dither.frequencies"] = tones
    if "rates" in given:
        values["learning.rates"] = _rates(str(given["rates"]))
    return design.changed(values)


def from_design(design: Design, *, max_step_s: float | None = None, tolerance: float = 1e-5) -> Experiment:
    """The experiment of a design, its components as their parts state them, at its temperature."""
    _check_step(max_step_s)
    experiment = experiment_of(design, tolerance=tolerance)
    bench = experiment.bench
    names, model = bench.device.terminals, design.device.model
    known = model in ("meanfield", "kmc")
    facts = {
        "model": model if known else "netlist" if is_netlist(model) else "chip",
        "preset": DEFAULT_PRESET if known else None,
        "seed": (design.device.seed or 0) if known else None,
        "count": design.device.count,
        "file": None if known else model,
        "output": names[bench.output],
        "inputs": [names[k] for k in bench.inputs],
    }
    about = {"name": design.name, "sha256": design.digest}
    return replace(
        experiment,
        settings=replace(experiment.settings, max_step_s=max_step_s),
        facts={"device": facts, "design": about, "level": design.electronics.level},
    )


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


def _rates(text: str) -> Literal["auto"] | float | list[float]:
    """Shares of the learning rate as the command line has them."""
    if text.strip() == "auto":
        return "auto"
    shares = numbers("rates", text)
    assert shares is not None
    return shares[0] if len(shares) == 1 else shares


def si_number(field: str, text: str, unit: str) -> float:
    """A number in an SI unit, with the unit behind it or without."""
    try:
        number: str | float = float(text)
    except ValueError:
        number = text
    return quantity(field, number, unit)


def make_bench(
    options: DeviceOptions, frequencies: str | None, tolerance: float, inputs: int = 2
) -> tuple[Bench, dict[str, Any]]:
    """The bench that a command's options describe, for `inputs` inputs, and the facts on its device for the summary."""
    device, facts = make_device(options, tolerance=tolerance)
    names = device.terminals
    output, chosen = default_electrodes(device, inputs)
    if options.electrodes is not None:
        output, chosen = parse_electrodes(options.electrodes, names, inputs)
    live = isinstance(device, KineticMonteCarlo)
    one = Bench(device, output, chosen, spacing_Hz=LIVE_SPACING_HZ if live else SPACING_HZ)
    joined = joined_bench(one, options, tolerance=tolerance)
    bench = replace(joined, frequencies_Hz=numbers("frequencies", frequencies))
    _check_tones(bench, frequencies)
    names = bench.device.terminals
    told = {"count": options.count, "output": names[bench.output], "inputs": [names[k] for k in bench.inputs]}
    return bench, {**facts, **told}


def _check_tones(bench: Bench, text: str | None) -> None:
    count = len(bench.trained)
    example = ",".join(f"{f:g}" for f in plan_frequencies(count, None, bench.spacing_Hz).frequencies_Hz)
    plan = bench.plan(1e-3)
    fix = f"leave it out, or take for example {example}"
    try:
        window = plan.common_period_s
    except InputError as error:
        raise InputError("frequencies", text, f"{error.value} {error.problem}", fix) from error
    if isinstance(bench.device, KineticMonteCarlo) and window > LIVE_WINDOW_S:
        raise InputError(
            "frequencies",
            text,
            f"makes windows of {window:.3g} s, {HOPS_HZ * window:.0e} hops each, followed one by one",
            fix,
        )
    found = collisions(plan.frequencies_Hz, 0.5 / window)
    if found:
        shown = ", ".join(f"{c.product} on f{c.tone}" for c in found[:3])
        raise InputError("frequencies", text, f"{len(found)} mixing products collide with a tone ({shown} ...)", fix)


def _check_step(max_step_s: float | None) -> None:
    """Refuse a step that is no time."""
    if max_step_s is not None and not (np.isfinite(max_step_s) and max_step_s > 0):
        raise InputError("max_step", max_step_s, "is no positive time", "give seconds, e.g. 1e-4")


EQUATIONS = ("ideal", "macro")
"""Levels whose parts' equations the fast engines know."""


def check_level(experiment: Experiment, engine: str) -> None:
    """Refuse a device and electronics that the engine does not know."""
    level, device = experiment.facts["level"], experiment.bench.device
    if hasattr(device, "netlist") and not engine_kind(engine).runs_netlist:
        problem = f"is a netlist, of which the {engine} loop knows no equations"
        raise InputError("device", device.netlist.source, problem, "use --engine ngspice")
    if level not in EQUATIONS and not engine_kind(engine).runs_netlist:
        raise InputError(
            "level", level, f"has parts whose equations the {engine} loop does not know", "use --engine ngspice"
        )
    if experiment.settings.electronics_noise and not engine_kind(engine).runs_netlist:
        problem = f"is of a netlist's elements, of which the {engine} loop has none"
        raise InputError("electronics_noise", True, problem, "use --engine ngspice")


def check_points(experiment: Experiment, loop: HomodyneLoop) -> None:
    """Refuse a run of too many time-points: over the step if one was given, else over the tones' common period."""
    max_step_s, frequencies_Hz = experiment.settings.max_step_s, experiment.bench.frequencies_Hz
    points = loop.stop_s / loop.max_step_s
    if points <= POINTS_MAX:
        return
    what = f"makes {points:.2g} time-points of a transient of {loop.stop_s:.3g} s"
    if loop.windows > 1:
        fits = int(loop.windows * POINTS_MAX / points)
        raise InputError("windows", loop.windows, what, f"take {max(fits, 1)} at most")
    if max_step_s is not None:
        raise InputError("max_step", max_step_s, what, f"take at least {loop.stop_s / POINTS_MAX:.1g} s")
    raise InputError(
        "frequencies", frequencies_Hz, f"{what} (the tones' common period is {loop.sequence.window_s:.3g} s)",
        "take multiples of one larger spacing",
    )  # fmt: skip


def rehearsal(experiment: Experiment) -> HomodyneLoop:
    """The loop as it will be, with all controls in the middle of their ranges: built to see that it can be."""
    loop = middle_loop(experiment)
    check_points(experiment, loop)
    return loop


def planned_loop(experiment: Experiment, engine: str) -> HomodyneLoop:
    """A training's loop as it will be, checked before the device is asked anything: level, length, room for starts."""
    check_level(experiment, engine)
    loop = rehearsal(experiment)
    _ = experiment.start_limits_V  # refuses what leaves no room for starts
    return loop


def told_doubts(
    experiment: Experiment, engine: str, seed: int | None, folder: Path | None = None, *, take_found: bool = True
) -> list[str]:
    """Why the loop may not descend, by its own budget at its first start; told before it runs."""
    from analysis.gradients.descent import predict_descent

    descent = predict_descent(experiment, engine, np.random.default_rng(seed), folder, take_found=take_found)
    return tell_doubts(() if descent is None else descent.doubts)


def tell_doubts(doubts: Iterable[str]) -> list[str]:
    """Tell doubts on stderr, a line each; the list of them, for the document."""
    told = list(doubts)
    for doubt in told:
        stderr.print(f"doubt: {doubt}", markup=False)
    return told
