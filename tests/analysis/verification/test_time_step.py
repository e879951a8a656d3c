"""The path's error of the time step: what is stated is what many points show, and it falls by their square."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analysis.verification.time_step import step_error
from circuits.homodyne import readings
from circuits.homodyne.engines import Averaged, Ngspice, Twin
from circuits.homodyne.loop import HomodyneLoop, OutputStage
from circuits.signals.patterns import PatternSequence
from circuits.signals.transient import Transient
from dnpu_models.noise.noisy_device import NoisyDevice
from dnpu_models.noise.spectrum import NoiseSpectrum
from lockin.plan import DitherPlan

from ...circuits.homodyne.test_loop_by_hand import TwoTanh


@pytest.fixture(scope="module")
def loop() -> HomodyneLoop:
    """The loop that was written by hand, at other tones."""
    sequence = PatternSequence(((0.0,), (0.3,)), (1.0, -1.0), 0.1, 0.005, 0.005, 5e-5)
    return HomodyneLoop(
        TwoTanh(), 0, (1,), (1, 2), np.array([-0.25, 0.3]), DitherPlan((110.0, 130.0), (0.03, 0.02)), sequence,
        sequences=3, stage=OutputStage(baseline_V=-0.1, gain_log=1.2),
    )  # fmt: skip


def test_the_stated_error_is_the_deviation_from_a_path_of_many_points(loop: HomodyneLoop) -> None:
    with Ngspice() as engine:
        stated = step_error(loop, engine)
        fine = replace(loop, points_per_cycle=96)
        coarse_run, fine_run = engine.run(loop), engine.run(fine)
    coarse, exact = readings.controls_V(loop, coarse_run), readings.controls_V(fine, fine_run)
    measured = max(
        np.max(np.abs(np.interp(coarse_run.time_s, fine_run.time_s, exact[:, k]) - coarse[:, k])) / np.ptp(exact[:, k])
        for k in range(2)
    )
    assert stated is not None
    assert (stated.points_per_cycle, stated.sequences) == (10.0, 3)
    assert 0.7 * measured < stated.share < 1.4 * measured
    assert measured > 1e-3  # there is something to state


def test_twice_the_points_leave_about_a_quarter(loop: HomodyneLoop) -> None:
    coarse, fine = (step_error(replace(loop, points_per_cycle=n), Twin()) for n in (12, 24))
    assert coarse is not None
    assert fine is not None
    assert 2.5 < coarse.share / fine.share < 6
    assert f"{100 * fine.share:.2g} % of a control's span, at 24 points" in fine.words()


def test_noise_of_the_electronics_is_no_error_of_the_step(loop: HomodyneLoop) -> None:
    class Silent(Twin):
        def run(self, loop: HomodyneLoop, **asked: Any) -> Transient:
            assert not loop.electronics_noise
            return super().run(loop, **asked)

    assert step_error(replace(loop, electronics_noise=True), Silent()) is not None


def test_nothing_is_stated_where_paths_differ_by_noise_or_have_no_steps(loop: HomodyneLoop) -> None:
    assert step_error(loop, Averaged()) is None
    noisy = replace(loop, device=NoisyDevice(loop.device, NoiseSpectrum(1e-23), noisy=(0,)))
    assert step_error(noisy, Twin()) is None
