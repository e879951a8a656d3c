"""What a sweep measures at a point of a design: a gradient of the circuit at frozen controls, or a whole training.

A point's ``seed`` is the design's: it draws the setting (gradient) or the starts (learn), and is the seed of the
device, too, where that is a random network and ``device.seed`` is no axis of its own. So the point of seed 7 is the one
of ``inmateria learn --seed 7 --device-seed 7``. Noise is drawn anew at every point, from its coordinates.

Devices, and the ngspice process, are kept from point to point of a worker.
"""

from __future__ import annotations

import atexit
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import xarray as xr

from analysis.choices import MeasureName
from analysis.designs.design import Design
from analysis.designs.experiment import device_key, experiment_of, kept, with_noise
from analysis.gradients.compare import compare
from analysis.gradients.path_check import POINTS_PER_CYCLE, loss_gradients
from analysis.sweeps.axes import SEED, Value, point_words
from analysis.sweeps.store import Variable
from circuits.homodyne.engines import LoopEngine, engine_kind, engine_named
from dnpu_models.noise.spectrum import PUBLISHED_A2_PER_HZ
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from learning.homodyne.experiment import Experiment, build_loop, middle_loop
from learning.homodyne.gradients import adjoint, spice_lock_in
from learning.homodyne.results import TrainingResult
from learning.homodyne.training import as_measured, learn

_gradients: OrderedDict[tuple[str, bytes], Any] = OrderedDict()
_engines: dict[str, LoopEngine] = {}


def design_at(design: Design, point: Mapping[str, Value]) -> Design:
    """The design of a point."""
    values: dict[str, Any] = dict(point)
    if SEED in point and "device.seed" not in point and design.device.model in ("meanfield", "kmc"):
        values["device.seed"] = point[SEED]
    return design.changed(values)


def process_engine(name: str) -> LoopEngine:
    """The process's own engine of this name: to start ngspice takes as long as a short training."""
    if name not in _engines:
        _engines[name] = engine_named(name)
        atexit.register(_engines[name].close)
    return _engines[name]


def random_setting(experiment: Experiment, seed: int) -> FloatArray:
    """The setting that belongs to a seed: controls, V, (n,); the dither's room is kept free."""
    bench, settings = experiment.bench, experiment.settings
    peaks = np.asarray(bench.plan(settings.peaks_V).amplitudes_V)
    low, high = bench.limits_V.T
    return np.clip(bench.random_controls(settings.spread, np.random.default_rng(seed)), low + peaks, high - peaks)


@dataclass(frozen=True, eq=False)
class Reading:
    """A gradient as the circuit read it.

    Attributes
    ----------
    measured, exact : DataArray
    noise : ndarray, shape (n_trained,)
        Standard deviation that the noise gives it, predicted.
    time_s : float
        How long it took, s.
    """

    measured: xr.DataArray
    exact: xr.DataArray
    noise: FloatArray
    time_s: float


@dataclass(frozen=True)
class GradientMeasure:
    """The circuit's reading of d(output current)/dV at a random setting, noise included, against the exact one.

    The noise is the design's; the published chip's 1e-5 nA^2/Hz where the design says nothing of it.

    Parameters
    ----------
    design : Design
    engine : {"twin", "ngspice"}

    Raises
    ------
    InputError
        For an engine or a device that has no such reading.
    """

    design: Design
    engine: str = "twin"

    def __post_init__(self) -> None:
        if not engine_kind(self.engine).has_dither:
            raise InputError(
                "engine", self.engine, "follows a closed loop only, and knows no noise", "choose twin or ngspice"
            )
        _differentiable(self.design)

    @property
    def noise_A2_per_Hz(self) -> float:
        """One-sided density of the output's noise."""
        return _density(self.design)

    @property
    def variables(self) -> Mapping[str, Variable]:
        """What it returns."""
        return {
            "reading": Variable("S", ("control",), "gradient of the output as the circuit reads it"),
            "exact": Variable("S", ("control",), "exact gradient"),
            "noise": Variable("S", ("control",), "standard deviation that the noise gives the reading, predicted"),
            "relative_error": Variable("1", (), "|reading - exact| / |exact|"),
            "cosine": Variable("1", (), "cosine of the angle between both"),
            "sign_agreement": Variable("1", (), "share of controls with the right sign"),
            "time": Variable("s", (), "time of reading"),
        }

    @property
    def check_variables(self) -> Mapping[str, Variable]:
        """What `check` returns."""
        return {
            "deviation": Variable("1", (), f"|{self.engine} - ngspice| / |ngspice|, both without noise"),
            "reading": Variable("S", ("control",), "gradient of the output as ngspice reads it, without noise"),
        }

    def _read(self, point: dict[str, Value], engine: str, noisy: bool) -> Reading:
        """The circuit's reading there."""
        design = design_at(self.design, point)
        _differentiable(design)
        experiment = experiment_of(design, noisy=False)
        bench, settings = experiment.bench, experiment.settings
        controls = random_setting(experiment, design.seed)
        density = _density(design) if noisy else 0.0
        measured, _, _, loop = spice_lock_in(
            with_noise(bench, density),
            process_engine(engine),
            controls,
            settings.peaks_V,
            points_per_cycle=POINTS_PER_CYCLE,
            seed=_noise_seed(design, point),
            like=settings,
        )
        exact = kept(_gradients, (device_key(design), controls.tobytes()), lambda: adjoint(bench, controls))
        window = loop.sequence.window_s
        noise = np.sqrt(density / window) / np.asarray(loop.dither.amplitudes_V)  # boxcar of length T: S/(T alpha^2)
        return Reading(measured, exact, noise, window)

    def __call__(self, point: dict[str, Value]) -> dict[str, Any]:
        """The values at a point."""
        read = self._read(point, self.engine, noisy=True)
        found = compare(read.measured, read.exact)
        return {
            "reading": np.asarray(read.measured),
            "exact": np.asarray(read.exact),
            "noise": read.noise,
            "relative_error": found.relative_error,
            "cosine": found.cosine,
            "sign_agreement": found.sign_agreement,
            "time": read.time_s,
        }

    def check(self, point: dict[str, Value]) -> dict[str, Any]:
        """How far ngspice is from it there."""
        fast, true = (self._read(point, engine, noisy=False).measured for engine in (self.engine, "ngspice"))
        return {"deviation": compare(fast, true).relative_error, "reading": np.asarray(true)}


@dataclass(frozen=True)
class LossGradientMeasure(GradientMeasure):
    """The circuit's reading of d(loss)/dV over the task's patterns, at a random setting, against the exact one.

    The output stage is set by the outputs at the setting and held there, as `inmateria gradient --of loss` does.
    """

    @property
    def variables(self) -> Mapping[str, Variable]:
        """What it returns."""
        return _of_loss(super().variables)

    @property
    def check_variables(self) -> Mapping[str, Variable]:
        """What `check` returns."""
        return _of_loss(super().check_variables)

    def _read(self, point: dict[str, Value], engine: str, noisy: bool) -> Reading:
        """The circuit's reading there.

        Noise of density S behind a slope s_p = dE/d v(tia) of pattern p gives the mean over P patterns, each read for
        T, a variance of (R^2 S / (T alpha^2)) mean(s_p^2) / P.
        """
        design = design_at(self.design, point)
        _differentiable(design)
        experiment = experiment_of(design, noisy=False)
        bench, task = experiment.bench, experiment.task
        simulator = process_engine(engine)
        density = _density(design) if noisy else 0.0
        limits_V = middle_loop(experiment).control_limits_V
        controls = np.clip(random_setting(experiment, design.seed), *limits_V)
        loop = build_loop(experiment, controls, 1.0, bench.outputs_A(controls, task))
        if loop.parts:
            loop = as_measured(loop, simulator)
        measured, exact, _ = loss_gradients(
            experiment, replace(loop, device=with_noise(bench, density).device), controls,
            experiment.settings.peaks_V, simulator, points_per_cycle=POINTS_PER_CYCLE,
            seed=_noise_seed(design, point),
        )  # fmt: skip
        ohm, sequence = loop.stage.transimpedance_ohm, loop.sequence
        outputs_V = ohm * bench.outputs_A(controls, task) + exact.attrs["output_offset_V"]
        slope = ohm * np.sqrt(np.mean(loop.loss_slopes(outputs_V) ** 2) / sequence.patterns)
        noise = slope * np.sqrt(density / sequence.window_s) / np.asarray(loop.dither.amplitudes_V)
        return Reading(measured, exact, noise, sequence.period_s)


OUTCOME = {
    "learned": Variable("1", (), "1 if the task was learned"),
    "quality": Variable("1", (), "of the best attempt, what attempts are ranked by: a gate's margin"),
    "separation": Variable("A", (), "difference of currents that carries the answer, best attempt"),
    "attempts": Variable("1", (), "attempts made"),
    "attempts_failed": Variable("1", (), "of these, such as got to no end: the device or the circuit gave no number"),
    "device_evaluations": Variable("1", (), "patterns presented, initial points included"),
    "controls": Variable("V", ("control",), "control voltages at the end, best attempt"),
}


def outcome(result: Any) -> dict[str, Any]:
    """The values of `OUTCOME`, of a `TrainingResult` or of what a verification keeps of one."""
    best = result.best
    return {
        "learned": float(result.success),
        "quality": best.final.quality,
        "separation": best.final.separation_A,
        "attempts": result.starts,
        "attempts_failed": len(result.failed),
        "device_evaluations": result.device_evaluations,
        "controls": best.controls_V,
    }


@dataclass(frozen=True)
class LearnMeasure:
    """A whole training.

    Parameters
    ----------
    design : Design
    engine : {"ngspice", "twin", "averaged"}
        The averaged loop knows no noise: the design's is left out.
    """

    design: Design
    engine: str = "twin"

    @property
    def variables(self) -> Mapping[str, Variable]:
        """What it returns."""
        return {
            **OUTCOME,
            "correlation": Variable("1", (), "of outputs and targets, best attempt"),
            "loss": Variable("V", (), "mean loss over the last sequence, best attempt"),
        }

    @property
    def check_variables(self) -> Mapping[str, Variable]:
        """What `check` returns."""
        return {
            "deviation": Variable("1", (), "largest difference of the controls at the end, of their range"),
            "learned": Variable("1", (), "1 if ngspice learned the task"),
        }

    def _learn(self, point: dict[str, Value], engine: str) -> TrainingResult:
        design = design_at(self.design, point)
        experiment = experiment_of(design, noisy=engine_kind(engine).has_dither)
        return learn(experiment, rng=np.random.default_rng(design.seed), engine=process_engine(engine))

    def __call__(self, point: dict[str, Value]) -> dict[str, Any]:
        """The values at a point."""
        result = self._learn(point, self.engine)
        best = result.best
        loss = best.loss(best.loop.sequences)
        return {**outcome(result), "correlation": best.final.correlation, "loss": loss}

    def check(self, point: dict[str, Value]) -> dict[str, Any]:
        """How far ngspice is from it there."""
        fast, true = self._learn(point, self.engine), self._learn(point, "ngspice")
        span = np.ptp(true.experiment.bench.limits_V, axis=1)
        apart = float(np.max(np.abs(fast.best.controls_V - true.best.controls_V) / span))
        return {"deviation": apart, "learned": float(true.success)}


def _of_loss(variables: Mapping[str, Variable]) -> dict[str, Variable]:
    """The variables of a gradient of the output, of the loss."""
    return {
        name: replace(one, units="V/V", long_name=one.long_name.replace("the output", "the loss"))
        if one.units == "S"
        else one
        for name, one in variables.items()
    }


def _noise_seed(design: Design, point: Mapping[str, Value]) -> int:
    """A point's own draw of the noise."""
    return int(np.random.SeedSequence([design.seed, *point_words(point)]).generate_state(1)[0])


def _differentiable(design: Design) -> None:
    if design.device.model == "kmc":
        raise InputError("device.model", "kmc", "knows no exact gradient", "take meanfield, or a chip's file")


def _density(design: Design) -> float:
    given = "density" in design.noise.model_fields_set
    return design.noise.density if given else PUBLISHED_A2_PER_HZ


def make_measure(name: MeasureName, design: Design, engine: str) -> GradientMeasure | LearnMeasure:
    """A measure by name.

    Raises
    ------
    InputError
        For a name or engine that is unknown, and combinations that make no sense.
    """
    if name not in get_args(MeasureName):
        raise InputError("measure", name, "is no measure", f"choose {' or '.join(get_args(MeasureName))}")
    engine_kind(engine)  # refuses an unknown one
    if name == "learn":
        return LearnMeasure(design, engine)
    return LossGradientMeasure(design, engine) if name == "loss-gradient" else GradientMeasure(design, engine)
