"""An experiment: the bench, the task, and how the loop is set. Made once, handed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from circuits.homodyne.loop import HomodyneLoop, OutputStage
from dnpu_models.interface.device import has_exact_slopes
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from learning.bench.bench import Bench
from learning.homodyne.settings import HgeSettings
from learning.tasks.task import Task


@dataclass(frozen=True, eq=False)
class Experiment:
    """What is trained, measured or searched: a task on a bench, and how the loop is set for it.

    Parameters
    ----------
    bench : Bench
    task : Task
        With levels that suit the device, see `Bench.task`.
    settings : HgeSettings, optional
    facts : dict, optional
        What a summary tells of it: where device and design come from, the level of the electronics.
    """

    bench: Bench
    task: Task
    settings: HgeSettings = field(default_factory=HgeSettings)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def least_rms_A(self) -> float:
        """Smallest rms of the outputs that the gain brings to its level, A: the settings', where 1e7 ohm read them."""
        return self.settings.least_rms_A * OutputStage.transimpedance_ohm / self.bench.transimpedance_ohm

    @property
    def attempt_evaluations(self) -> int:
        """Pattern presentations of one attempt at most: looks, moves, slopes, outputs before and after, every pass."""
        return (
            self.looking_evaluations + self.reading_evaluations + len(self.task.points) * (self.settings.sequences + 2)
        )

    @property
    def looking_evaluations(self) -> int:
        """Pattern presentations of looking for a start at most: see `learning.homodyne.start.choose_start`."""
        settings = self.settings
        return len(self.task.points) * (settings.looks + min(settings.candidates, settings.looks) * self.moves)

    @cached_property
    def start_limits_V(self) -> tuple[FloatArray, FloatArray]:
        """Between which starts are drawn: the middle `spread` of each range, within the loop's rails, V, (n_trained,).

        Raises
        ------
        InputError
            If dither and logic swing leave nothing of a range.
        """
        loop = middle_loop(self)
        rails = loop.control_limits_V
        low, high = (np.clip(end, *rails) for end in self.bench.start_limits_V(self.settings.spread))
        k = int(np.argmin(high - low))
        if high[k] <= low[k]:
            problem = f"leaves nothing of {loop.range_of(k)} beside its dither of {loop.dither.amplitudes_V[k]:.3g} V"
            raise InputError("swing", max(self.task.swings_V), problem, "make swing or dither smaller")
        return low, high

    def random_controls(self, count: int, rng: np.random.Generator) -> FloatArray:
        """Random settings, uniform within `start_limits_V`: control voltages, V, (count, n_trained)."""
        low, high = self.start_limits_V
        return rng.uniform(low, high, (count, len(low)))

    @property
    def moves(self) -> int:
        """How often an operator follows slopes from a look: the settings', or never on a device that has none."""
        return self.settings.moves if has_exact_slopes(self.bench.device) else 0

    @property
    def reading_evaluations(self) -> int:
        """Pattern presentations of reading the slopes at a start: see `learning.homodyne.start.read_start`."""
        return len(self.task.points) * (1 + self.settings.chopped) * (1 + bool(self.settings.parts))


def build_loop(experiment: Experiment, controls_V: FloatArray, polarity: float, outputs_A: FloatArray) -> HomodyneLoop:
    """The experiment's closed loop, its output stage set by the outputs (A) at the start.

    Rates that are "auto" are all 1 until the slopes there have been read: `learning.homodyne.start.measured_loop`.
    """
    bench, task, settings = experiment.bench, experiment.task, experiment.settings
    stage = OutputStage(transimpedance_ohm=bench.transimpedance_ohm, polarity=polarity)
    lowest, _ = stage.gain_limits
    highest = float(np.log(stage.level_V / (stage.transimpedance_ohm * experiment.least_rms_A)))
    stage = replace(stage, gain_limits=(lowest, highest))
    loop = HomodyneLoop(
        device=bench.device,
        output=bench.output,
        inputs=bench.inputs,
        trained=bench.trained,
        start_V=controls_V,
        dither=bench.plan(settings.peaks_V),
        sequence=bench.sequence(task.levels_V, task.targets_V),
        rates=1.0 if settings.rates == "auto" else settings.rates,
        stage=stage.measured_at(np.asarray(outputs_A) * stage.transimpedance_ohm),
        **settings.loop_options,
    )
    if settings.max_step_s is None:
        return loop
    if not settings.max_step_s > 0:
        raise InputError("max_step_s", settings.max_step_s, "must be a positive time in seconds", "change it")
    return replace(loop, points_per_cycle=1.0 / (settings.max_step_s * max(loop.dither.frequencies_Hz)))


def middle_loop(experiment: Experiment) -> HomodyneLoop:
    """The loop with all controls in the middle of their ranges: for what does not depend on where it starts."""
    outputs = 0.01 / experiment.bench.transimpedance_ohm * np.arange(len(experiment.task.points), dtype=np.float64)
    return build_loop(experiment, experiment.bench.limits_V.mean(axis=1), 1.0, outputs)
