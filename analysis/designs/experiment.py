"""From a design to the experiment that it describes: bench, noise, task, and components as they stand on a board.

Devices are made once for all designs that agree on them, and kept: making one takes up to a second.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from analysis.designs.design import Design
from circuits.homodyne.netlist import components
from circuits.parts.component_errors import Component, Drift, Extreme, Tolerances, draw_errors, nominal_errors
from dnpu_models.interface.device import is_random
from dnpu_models.noise.noisy_device import NoisyDevice
from dnpu_models.noise.spectrum import NoiseSpectrum
from inmateria.errors import InputError
from learning.bench.bench import Bench
from learning.homodyne.experiment import Experiment, middle_loop

Key = TypeVar("Key")
Made = TypeVar("Made")
LIVE_WINDOW_S = 1e-5
"""Longest window in which kinetic Monte Carlo is followed: some hundred seconds of computing."""
_KEPT = 32
"""Devices kept by a process."""

_benches: OrderedDict[tuple[str, float], Bench] = OrderedDict()


def experiment_of(
    design: Design,
    sample: int | None = None,
    *,
    extreme: Extreme | None = None,
    noisy: bool = True,
    tolerance: float = 1e-5,
) -> Experiment:
    """The experiment of a design, its components as they have drifted at the temperature of its electronics.

    Parameters
    ----------
    design : Design
    sample : int, optional
        The board whose components are meant, drawn within their tolerances; by default they are as their parts state.
    extreme : {"slow", "fast"}, optional
        Without a sample: resistors and capacitors at an end of their tolerances.
    noisy : bool
        With the design's noise, of the output and of the electronics; without it for the averaged loop, which knows
        none.
    tolerance : float
        As `Design.bench`.

    Raises
    ------
    InputError
        As `bench_of`, `with_noise`, `Design.fitted_task` and `Design.settings`; for loops that cannot be built.
    """
    bench = bench_of(design, tolerance=tolerance)
    if noisy:
        bench = with_noise(bench, design.noise.density)
    task = design.fitted_task(bench)
    experiment = Experiment(bench, task, design.settings(task))
    parts = parts_of(experiment)
    errors, own = board(design, parts, sample, extreme), noisy and design.noise.electronics
    return replace(experiment, settings=replace(experiment.settings, component_errors=errors, electronics_noise=own))


def bench_of(design: Design, *, tolerance: float = 1e-5) -> Bench:
    """The design's bench without noise; the device is that of an earlier call where it is the same.

    Raises
    ------
    InputError
        As `Design.bench`; for a device that is followed hop by hop over windows that take for ever.
    """
    if design.device.model == "kmc" and design.dither.spacing < 1.0 / LIVE_WINDOW_S:
        raise InputError(
            "dither.spacing", design.dither.spacing, "makes windows of some 1e12 hops, which kmc follows one by one",
            f"take {1.0 / LIVE_WINDOW_S:g} Hz or more, or meanfield",
        )  # fmt: skip
    found = kept(_benches, (device_key(design), tolerance), lambda: design.bench(tolerance=tolerance))
    dither = design.dither  # all that the rest of a design changes about a bench
    return replace(found, frequencies_Hz=dither.frequencies, spacing_Hz=dither.spacing, base_Hz=dither.base)


def device_key(design: Design) -> str:
    """What designs with the same device, task and wiring have in common."""
    device, task = design.device.model_dump_json(), design.task.model_dump_json()
    files = hashlib.sha256(design.contents).hexdigest()
    return f"{design._folder}{device}{task}{design.electronics.temperature}{files}"


def kept(store: OrderedDict[Key, Made], key: Key, make: Callable[[], Made]) -> Made:
    """What was made for the key before, or is made now; the least used is dropped."""
    if key not in store:
        store[key] = make()
        while len(store) > _KEPT:
            store.popitem(last=False)
    store.move_to_end(key)
    return store[key]


def with_noise(bench: Bench, density_A2_per_Hz: float) -> Bench:
    """The bench with white noise on its output current.

    Raises
    ------
    InputError
        For a device that has noise of its own.
    """
    if density_A2_per_Hz <= 0.0:
        return bench
    if is_random(bench.device):
        raise InputError("noise.density", density_A2_per_Hz, "comes on top of kmc's own noise", "leave it out")
    device = NoisyDevice(bench.device, NoiseSpectrum(density_A2_per_Hz), noisy=(bench.output,))
    return replace(bench, device=device)


def parts_of(experiment: Experiment) -> tuple[Component, ...]:
    """The components of an experiment's loop.

    Raises
    ------
    InputError
        For loops that cannot be built, or whose parts are used outside of their limits.
    """
    try:
        return components(middle_loop(experiment))
    except InputError as error:
        if error.field != "supply":
            raise
        raise InputError("electronics.supply", error.value, error.problem, error.fix) from None


def tolerances_of(design: Design) -> Tolerances:
    """How far the components of a design's boards lie apart."""
    given = design.tolerances
    return Tolerances(given.resistor, given.capacitor, given.offset, given.distribution, given.figures, given.lot)


def board(
    design: Design, parts: tuple[Component, ...], sample: int | None = None, extreme: Extreme | None = None
) -> dict[str, float]:
    """Component errors of a sample, or of the nominal design (None) or its extreme, at the design's temperature."""
    given, tolerances, at_K = design.tolerances, tolerances_of(design), design.electronics.temperature
    drift = Drift(given.resistor_drift, given.capacitor_drift, given.ratio_drift, given.offset_drift)
    if sample is None:
        return nominal_errors(parts, tolerances=tolerances, extreme=extreme, drift=drift, temperature_K=at_K)
    rng = np.random.default_rng([design.seed, 1 + sample])
    return draw_errors(parts, tolerances, rng, drift=drift, temperature_K=at_K)
