"""Noise of the electronics in an opened loop's readings, and in their budget."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analysis.gradients.loop_budget import predict_loop
from circuits.homodyne import readings
from circuits.homodyne.engines import Ngspice
from circuits.ngspice.engine import Engine
from circuits.parts.levels import loop_fields
from learning.bench.bench import Bench
from learning.homodyne.experiment import Experiment, build_loop
from learning.homodyne.gradients import adjoint, probe_loop
from learning.homodyne.settings import HgeSettings

AT = np.array([0.1, -0.2, 0.15, 0.05])
RUNS = 12


@pytest.mark.slow
@pytest.mark.parametrize("windows", [1, 3])
def test_scatter_of_an_opened_loops_readings_is_that_of_the_budget(
    windows: int, small_bench: Bench, engine: Engine
) -> None:
    """44 degrees of freedom; 1e-5 for other seeds. The gate and the mixers are heard from the start of the run to its
    end: by the window alone the ratio would be some 2."""
    settings = HgeSettings(electronics_noise=True, **loop_fields("macro"))
    loop = probe_loop(small_bench, AT, 0.02, like=settings, points_per_cycle=12, windows=windows)
    exact = np.asarray(adjoint(small_bench, AT))
    budget = predict_loop(small_bench, loop, exact, Ngspice(engine), device_A2_per_Hz=0.0)
    ohm = loop.stage.transimpedance_ohm
    read = [readings.gradient(loop, Ngspice(engine).run(loop, seed=seed)) / ohm for seed in range(RUNS)]
    freedom = (RUNS - 1) * len(AT)
    ratio = np.mean(np.var(read, axis=0, ddof=1) / budget.noise**2)
    assert stats.chi2.ppf(0.5e-5, freedom) / freedom < ratio < stats.chi2.isf(0.5e-5, freedom) / freedom
    silent = predict_loop(
        small_bench, replace(loop, electronics_noise=False), exact, Ngspice(engine), device_A2_per_Hz=0.0
    )
    assert np.all(silent.noise == 0.0)
    np.testing.assert_array_equal(read[0], readings.gradient(loop, Ngspice(engine).run(loop, seed=0)) / ohm)


@pytest.mark.slow
def test_scatter_of_the_losss_gradient_is_that_of_the_budget(small_bench: Bench, engine: Engine) -> None:
    """AND over four patterns, 44 degrees of freedom; 1e-5 for other seeds."""
    settings = HgeSettings(electronics_noise=True, **loop_fields("macro"))
    experiment = Experiment(small_bench, small_bench.task("AND"), settings)
    loop = build_loop(experiment, AT, 1.0, small_bench.outputs_A(AT, experiment.task)).opened(AT, 0.02, "loss", 12.0)
    budget = predict_loop(small_bench, loop, np.zeros(4), Ngspice(engine), device_A2_per_Hz=0.0)
    read = [readings.gradient(loop, Ngspice(engine).run(loop, seed=seed)) for seed in range(RUNS)]
    freedom = (RUNS - 1) * len(AT)
    ratio = np.mean(np.var(read, axis=0, ddof=1) / budget.noise**2)
    assert stats.chi2.ppf(0.5e-5, freedom) / freedom < ratio < stats.chi2.isf(0.5e-5, freedom) / freedom
