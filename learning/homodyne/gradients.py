"""Gradient sources: d(output current)/dV of every trained terminal, from the model, from a lock-in, from a circuit.

All return a labelled array over ``control`` in S, the output current counted out of the device, so that any two can be
compared (`analysis.gradients.compare`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from circuits.homodyne import readings
from circuits.homodyne.engines import LoopEngine, running
from circuits.homodyne.loop import HomodyneLoop, OutputStage, Peaks, opened_errors
from circuits.homodyne.options import LoopOptions
from circuits.ngspice.engine import Engine
from circuits.signals.transient import Transient
from dnpu_models.interface.device import follow_path
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from learning.bench.bench import Bench
from lockin.averages import DitherAverage, common_period_average, dither_average


def label(bench: Bench, values: FloatArray, source: str, **attrs: Any) -> xr.DataArray:
    """A gradient as a labelled array."""
    return xr.DataArray(
        np.asarray(values, dtype=float),
        dims=("control",),
        coords={"control": list(bench.names)},
        name="gradient",
        attrs={"units": "S", "source": source, **attrs},
    )


def _path(bench: Bench, levels_V: Sequence[float] | None, controls_V: FloatArray) -> FloatArray:
    """Output currents along a path of neighbouring settings (m, n_trained)."""
    return np.asarray(-follow_path(bench.device, bench.terminal_voltages(controls_V, levels_V))[:, bench.output])


def adjoint(bench: Bench, controls_V: FloatArray, levels_V: Sequence[float] | None = None) -> xr.DataArray:
    """Exact derivative by implicit differentiation of the device model."""
    conductances = bench.device.conductances(bench.terminal_voltages(controls_V, levels_V))
    return label(bench, -conductances[bench.output, list(bench.trained)], "adjoint")


def monte_carlo_difference(
    bench: Bench, controls_V: FloatArray, levels_V: Sequence[float] | None = None, *, seed: int, hops: int
) -> xr.DataArray:
    """Difference quotients of kinetic Monte Carlo's mean currents, kT/e to both sides; `stderr` is in the attrs.

    `hops` are those at each of the settings, twice as many as there are terminals.
    """
    device = bench.device
    if not hasattr(device, "estimate_conductances"):
        raise InputError("device", type(device).__name__, "is no kinetic Monte Carlo", "use `adjoint`")
    found = device.estimate_conductances(bench.terminal_voltages(controls_V, levels_V), seed=seed, hops=hops, threads=2)
    chosen = (bench.output, list(bench.trained))
    return label(bench, -found.value[chosen], "difference quotient", stderr=found.stderr[chosen].tolist())


def central_difference(
    bench: Bench, controls_V: FloatArray, levels_V: Sequence[float] | None = None, *, step_V: float = 1e-5
) -> xr.DataArray:
    """Numerical derivative, (I(V + h) - I(V - h)) / 2h, one control at a time."""
    steps = step_V * np.eye(len(bench.trained))
    controls = np.asarray(controls_V, dtype=float)
    high, low = bench.currents_A(controls + steps, levels_V), bench.currents_A(controls - steps, levels_V)
    return label(bench, (high - low) / (2 * step_V), "central difference", step_V=step_V)


def exact_dither_average(
    bench: Bench,
    controls_V: FloatArray,
    amplitude_V: Peaks,
    levels_V: Sequence[float] | None = None,
    *,
    samples: int = 512,
    seed: int = 0,
) -> DitherAverage:
    """The derivative averaged over the dither, which an ideal lock-in reads exactly (independent phases), in S."""
    plan = bench.plan(amplitude_V)
    return dither_average(
        lambda controls: _path(bench, levels_V, controls), np.asarray(controls_V, dtype=float), plan,
        samples=samples, seed=seed,
    )  # fmt: skip


def digital_lock_in(
    bench: Bench,
    controls_V: FloatArray,
    amplitude_V: Peaks,
    levels_V: Sequence[float] | None = None,
    *,
    points_per_cycle: int = 16,
) -> xr.DataArray:
    """A boxcar lock-in on the model's computed response to all tones at once, over one common period."""
    plan = bench.plan(amplitude_V)
    values = common_period_average(
        lambda controls: _path(bench, levels_V, controls), np.asarray(controls_V, dtype=float), plan,
        points_per_period=points_per_cycle,
    )  # fmt: skip
    return label(bench, values, "digital lock-in", dither_V=amplitude_V)


def probe_loop(
    bench: Bench,
    controls_V: FloatArray,
    amplitude_V: Peaks,
    levels_V: Sequence[float] | None = None,
    *,
    like: LoopOptions | None = None,
    points_per_cycle: float = 24.0,
    windows: int = 1,
) -> HomodyneLoop:
    """The circuit of the learning loop, opened at frozen controls and fixed input levels, lock-ins on the output.

    Its electronics (parts, component errors, leads, ...) are those of the settings or the loop `like`; ideal without.
    """
    rest = float(bench.currents_A(np.asarray(controls_V, dtype=float), levels_V))
    stage = OutputStage(transimpedance_ohm=bench.transimpedance_ohm, baseline_rate=0.0, gain_rate=0.0)
    stage = replace(stage, baseline_V=rest * stage.transimpedance_ohm)
    return HomodyneLoop(
        device=bench.device,
        output=bench.output,
        inputs=bench.inputs,
        trained=bench.trained,
        start_V=np.asarray(controls_V, dtype=float),
        dither=bench.plan(amplitude_V),
        sequence=bench.sequence((tuple(map(float, levels_V or (0.0,) * len(bench.inputs))),), (0.0,)),
        stage=stage,
        mode="output",
        points_per_cycle=points_per_cycle,
        windows=windows,
        **({} if like is None else _electronics(like)),
    )


def _electronics(like: LoopOptions) -> dict[str, Any]:
    """Options of a probe: a loop's own, without a loss, which no lock-in hears there."""
    errors = opened_errors(like.component_errors)
    if like.loss != "squared":
        errors = {name: error for name, error in errors.items() if not name.startswith("loss.")}
    return {**like.loop_options, "loss": "squared", "component_errors": errors}


def spice_lock_in(
    bench: Bench,
    engine: LoopEngine | Engine | str,
    controls_V: FloatArray,
    amplitude_V: Peaks,
    levels_V: Sequence[float] | None = None,
    *,
    like: LoopOptions | None = None,
    points_per_cycle: float = 24.0,
    windows: int = 1,
    seed: int = 0,
) -> tuple[xr.DataArray, xr.DataArray, Transient, HomodyneLoop]:
    """The netlist's lock-ins in one transient of an engine that has the dither: ngspice or the twin.

    `like` as in `probe_loop`; read is the mean over so many `windows`.

    Returns
    -------
    tuple
        The netlist's reading, the digital lock-in's on the recorded output waveform, the transient and its loop.
    """
    loop = probe_loop(
        bench, controls_V, amplitude_V, levels_V, like=like, points_per_cycle=points_per_cycle, windows=windows
    )
    with running(engine) as chosen:
        run = chosen.run(loop, seed=seed)
    ohm = loop.stage.transimpedance_ohm
    source = "SPICE lock-in" if chosen.runs_netlist else f"{chosen.name} lock-in"
    digital = readings.digital_gradient(loop, run) / ohm
    return (
        label(bench, readings.gradient(loop, run) / ohm, source, dither_V=amplitude_V),
        label(bench, digital, "digital lock-in on the recorded output", dither_V=amplitude_V),
        run,
        loop,
    )
