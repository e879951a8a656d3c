"""What the planner would choose where a sweep varied amplitude and spacing: the same devices, settings and noise.

A reading of the loop lasts one common period of its tones, 1 / spacing, so there is one plan for each spacing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.designs.design import Design
from analysis.designs.experiment import experiment_of
from analysis.gradients.planner import GradientPlan, GradientRequirements, plan_in
from analysis.sweeps.axes import SEED, Axis
from analysis.sweeps.measures import GradientMeasure, design_at, random_setting
from dnpu_models.interface.device import follow_path
from inmateria.checks import FloatArray


def equal_noise_V(plan: GradientPlan) -> float:
    """The one amplitude for all controls that has the noise of a plan's own for each: n / a^2 = sum 1 / a_k^2, V."""
    return float(np.mean(np.asarray(plan.dither.amplitudes_V) ** -2.0) ** -0.5)


def planned_amplitudes(
    design: Design, axes: Sequence[Axis], *, most_seeds: int | None = None
) -> dict[float, GradientPlan]:
    """Amplitudes of the smallest error at each spacing of a sweep (the design's own where it is no axis).

    Parameters
    ----------
    design : Design
    axes : sequence of Axis
        Those of the sweep; ``seed`` among them counts, and amplitudes and spacings.
    most_seeds : int, optional
        The first of the sweep's seeds only.

    Returns
    -------
    dict
        Spacing, Hz, to plan: a boxcar of 1 / spacing.

    Raises
    ------
    InputError, ConvergenceError
        For devices that have no exact gradient, or none at some setting; as `plan_in`.
    """
    over = {axis.key: axis for axis in axes}
    seeds = [int(s) for s in over[SEED].values][:most_seeds] if SEED in over else [design.seed]
    designs = [design_at(design, {SEED: seed}) if SEED in over else design for seed in seeds]
    experiments = [experiment_of(one, noisy=False) for one in designs]
    benches = [one.bench for one in experiments]
    first = benches[0]
    controls = [random_setting(one, design.seed) for one, design in zip(experiments, designs, strict=True)]
    largest = max(float(a) for a in over["dither.amplitude"].values) if "dither.amplitude" in over else 0.1
    room = min(float(np.min(np.minimum(*np.abs(b.limits_V.T - c)))) for b, c in zip(benches, controls, strict=True))
    # the planner knows one device: which of them is meant stands in a column behind the voltages
    points = np.stack([
        np.append(bench.terminal_voltages(c), k) for k, (bench, c) in enumerate(zip(benches, controls, strict=True))
    ])  # fmt: skip

    def gradient(volts: FloatArray) -> FloatArray:
        found = np.empty((len(volts), len(first.trained)))
        for k, bench in enumerate(benches):
            mine = volts[:, -1] == k
            if np.any(mine):
                slopes = bench.device.conductances(volts[mine, :-1])
                found[mine] = -slopes[:, bench.output, list(bench.trained)]
        return found

    def output(volts: FloatArray) -> FloatArray:
        bench = benches[int(volts[0, -1])]  # a path is one device's
        return np.asarray(-follow_path(bench.device, np.ascontiguousarray(volts[:, :-1]))[:, bench.output])

    spacings = (
        [float(s) for s in over["dither.spacing"].values] if "dither.spacing" in over else [design.dither.spacing]
    )
    density = GradientMeasure(design).noise_A2_per_Hz
    need = GradientRequirements(
        gradient,
        points,
        first.trained,
        0.1,
        density,
        min(largest, room),
        filters=("boxcar",),
        output=output,
        share=None,
    )  # fmt: skip
    return dict(zip(spacings, plan_in(need, [1.0 / s for s in spacings]), strict=True))
