"""Boards of drawn components, each trained from the same starts: how many are good, and what decides it.

An attempt's start decides more than the board it is made on, so a board is judged by its pass probability over starts
that all boards share (`analysis.verification.pass_rates`). Beside them stand a loop that does not learn (its rate is
next to nothing) and one of ideal parts, from the same starts: what luck alone passes, and what no board can pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import xarray as xr
from scipy.stats import binomtest

from analysis.designs.design import Design
from analysis.designs.experiment import board, experiment_of, parts_of, tolerances_of
from analysis.sweeps.axes import Axis
from analysis.sweeps.measures import OUTCOME, outcome, process_engine
from analysis.sweeps.runner import Sweep
from analysis.sweeps.store import DONE, Variable
from analysis.verification.holding import HELD, held_outcome
from analysis.verification.pass_rates import PassRates, pass_rates
from analysis.verification.passing import all_passing, passes
from analysis.verification.yields import Sensitivity, sensitivities
from circuits.homodyne.engines import engine_kind, with_dither
from inmateria.checks import FloatArray
from inmateria.errors import ConvergenceError
from learning.homodyne.experiment import Experiment
from learning.homodyne.results import Attempt
from learning.homodyne.training import learn

Reference = Literal["dead", "ideal"]
REFERENCES: tuple[Reference, ...] = ("dead", "ideal")
DEAD_RATE = 1e-9
"""Learning rate of a loop that does not learn, V per (V/V): it keeps the controls where they start."""
IDEAL = {
    "electronics.level": "ideal", "electronics.leads": False, "electronics.parts": {}, "electronics.values": {},
}  # fmt: skip
CHANCE_P = 0.05
"""Largest chance at which boards are said to learn, not to be lucky."""
DISAGREE_P = 0.01
"""Chance at which engines that pass alike are said not to: McNemar's exact test of the confirmed attempts."""


def sample_design(design: Design, number: int) -> Design:
    """The design with the device seed of a board."""
    if design.verify.devices == 1:
        return design
    return design.changed({"device.seed": (design.device.seed or 0) + number % design.verify.devices})


def attempt_on(experiment: Experiment, design: Design, start: int, engine: str) -> Any:
    """A single attempt from a start that is the same for all boards, as a `TrainingResult`."""
    once = replace(experiment, settings=replace(experiment.settings, restarts=1))
    return learn(
        once, rng=np.random.default_rng((design.seed, 1, start)), engine=process_engine(engine), take_found=False
    )


def on_board(design: Design, number: int, engine: str) -> Experiment:
    """The experiment of a board: its own device seed, its own components."""
    return experiment_of(sample_design(design, number), number, noisy=engine_kind(engine).has_dither)


@dataclass(frozen=True)
class BoardMeasure:
    """One attempt on a board, by the numbers of board and start, for `run_sweep`."""

    design: Design
    engine: str

    def __call__(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """What became of it, and how the board's components deviate."""
        number, start = int(point["board"]), int(point["start"])
        experiment = on_board(self.design, number, self.engine)
        errors = experiment.settings.component_errors
        result = attempt_on(experiment, self.design, start, self.engine)
        return {
            **outcome(result),
            **held_outcome(self.design, result),
            "error": [errors.get(part.name, part.stated) for part in parts_of(experiment)],
        }


@dataclass(frozen=True)
class ReferenceMeasure:
    """One attempt of a loop that does not learn, or of one with ideal parts, for `run_sweep`."""

    design: Design
    engine: str

    def __call__(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """What became of it."""
        start, dead = int(point["start"]), point["reference"] == "dead"
        design = self.design if dead else self.design.changed(IDEAL)
        experiment = experiment_of(sample_design(design, start), noisy=engine_kind(self.engine).has_dither)
        if dead:
            experiment = replace(experiment, settings=replace(experiment.settings, learning_rate=DEAD_RATE))
        result = attempt_on(experiment, self.design, start, self.engine)
        return {**outcome(result), **held_outcome(self.design, result)}


def board_sweep(design: Design, boards: int, starts: int, confirm: float) -> Sweep:
    """The sweep over boards and starts; ngspice repeats a share of as many attempts as there are boards, at random."""
    engine = design.verify.engine
    experiment = experiment_of(design)
    parts = [part.name for part in parts_of(experiment)]
    columns = {
        **OUTCOME,
        "held": HELD,
        "error": Variable("1", ("component",), "of each component, as in component_errors"),
    }
    again = confirm > 0 and not engine_kind(engine).runs_netlist
    return Sweep(
        BoardMeasure(design, engine),
        [Axis("board", tuple(range(boards))), Axis("start", tuple(range(starts)))],
        columns,
        {"control": list(experiment.bench.names), "component": parts},
        BoardMeasure(design, "ngspice") if again else None,
        columns if again else {},
        math.ceil(confirm * boards) if again else 0,
        identity={"measure": "boards of a verification", "engine": engine, **design.identity},
    )


def reference_sweep(design: Design, starts: int) -> Sweep:
    """The sweep over the references and the boards' starts."""
    engine = design.verify.engine
    return Sweep(
        ReferenceMeasure(design, engine),
        [Axis("reference", REFERENCES), Axis("start", tuple(range(starts)))],
        {**OUTCOME, "held": HELD},
        {"control": list(experiment_of(design).bench.names)},
        identity={"measure": "references of a verification", "engine": engine, **design.identity},
    )


@dataclass(frozen=True)
class Confirmation:
    """An attempt that was made again in ngspice.

    Attributes
    ----------
    board, start : int
    fast, ngspice : bool
        Whether it passed.
    quality_fast, quality_ngspice : float
    """

    board: int
    start: int
    fast: bool
    ngspice: bool
    quality_fast: float
    quality_ngspice: float


@dataclass(frozen=True, eq=False)
class Boards:
    """What the boards did.

    Attributes
    ----------
    samples : Dataset
        What became of every attempt, over ``board`` and ``start``.
    passed : ndarray of bool, shape (boards, starts)
    rates : PassRates
    references : dict of str to ndarray of bool, shape (starts,)
        What passed of a loop that does not learn (``"dead"``) and of one with ideal parts (``"ideal"``).
    sensitivities : tuple of Sensitivity
        Which components go with a board's quality, averaged over the starts.
    confirmations : tuple of Confirmation
    worst : tuple of int
        Board and start of the attempt that is drawn: the worst that got to an end, of the board that passes least.
    worst_attempt : Attempt
    """

    samples: xr.Dataset
    passed: np.ndarray
    rates: PassRates
    references: Mapping[str, np.ndarray]
    sensitivities: tuple[Sensitivity, ...]
    confirmations: tuple[Confirmation, ...]
    worst: tuple[int, int]
    worst_attempt: Attempt

    @property
    def chance_p(self) -> float:
        """Sign test over the starts that boards pass no more often than a loop that does not learn, one-sided."""
        ahead = self.passed.mean(axis=0) - self.references["dead"]
        wins, losses = int(np.sum(ahead > 0)), int(np.sum(ahead < 0))
        return float(binomtest(wins, wins + losses, alternative="greater").pvalue) if wins + losses else 1.0

    @property
    def disagree_p(self) -> float:
        """McNemar's exact test that engine and ngspice pass as often; 1 where no verdict differs."""
        fast = sum(one.fast and not one.ngspice for one in self.confirmations)
        slow = sum(one.ngspice and not one.fast for one in self.confirmations)
        return float(binomtest(fast, fast + slow).pvalue) if fast + slow else 1.0


def wanted_probability(design: Design) -> float:
    """Pass probability of a single attempt that makes a board good.

    Where the criteria name none: that with which ``learning.restarts`` attempts learn at the confidence of the
    verification, p = 1 - (1 - confidence)^(1/restarts).
    """
    asked = design.criteria.pass_probability_min
    if asked is not None:
        return asked
    return float(1.0 - (1.0 - design.verify.confidence) ** (1.0 / design.learning.restarts))


def judge_boards(design: Design, samples: xr.Dataset, references: xr.Dataset, engine: str) -> Boards:
    """Hold the boards' attempts against the criteria; the worst that gets to an end runs again for its waveforms."""
    passed = np.asarray(all_passing(design, samples))
    quality = _quality(samples)
    ran = np.asarray(samples["status"].values == DONE)
    order = np.lexsort((quality.mean(axis=1), passed.sum(axis=1)))
    worst_first = [(int(k), int(start)) for k in order for start in np.argsort(quality[k]) if ran[k, start]]
    worst, attempt = _run_again(design, worst_first, with_dither(engine))
    beside = np.asarray(all_passing(design, references))
    return Boards(
        samples,
        passed,
        pass_rates(passed, wanted_probability(design), design.verify.confidence, seed=design.seed),
        {str(name): beside[row] for row, name in enumerate(references["reference"].values)},
        _sensitivities(design, len(passed), quality.mean(axis=1)),
        _confirmations(design, samples, passed),
        worst,
        attempt,
    )


def _run_again(design: Design, worst_first: Sequence[tuple[int, int]], engine: str) -> tuple[tuple[int, int], Attempt]:
    """The first of these (board, start) that gets to an end once more, and its attempt."""
    failure: ConvergenceError = ConvergenceError(
        "verify.samples", len(worst_first), "have no attempt that got to an end", "read why in the stored reasons"
    )
    for number, start in worst_first:
        try:
            return (number, start), attempt_on(on_board(design, number, engine), design, start, engine).best
        except ConvergenceError as error:
            failure = error
    raise failure


def _quality(samples: xr.Dataset) -> FloatArray:
    """What attempts are ranked by, (boards, starts): learned or not, then how well."""
    found: FloatArray = np.nan_to_num(samples["quality"].values, nan=-1.0) + (samples["learned"].values > 0)
    return found


def _sensitivities(design: Design, boards: int, quality: FloatArray) -> tuple[Sensitivity, ...]:
    """Which components go with what boards reach from the same starts; the starts' luck is out of it."""
    parts = parts_of(experiment_of(design))
    tolerances = tolerances_of(design)
    scale = np.array([tolerances.spread(part) or 1.0 for part in parts])
    stated = np.array([part.stated for part in parts])
    drawn = [board(design, parts, number) for number in range(boards)]
    errors = np.array([[one.get(part.name, part.stated) for part in parts] for one in drawn])
    return sensitivities((errors - stated) / scale, [f"{part.part}.{part.figure}" for part in parts], quality)


def _confirmations(design: Design, samples: xr.Dataset, passed: np.ndarray) -> tuple[Confirmation, ...]:
    """What ngspice made of the attempts that it repeated; those that it could not have failed."""
    if "check" not in samples.dims:
        return ()
    names = ("learned", "quality", "separation", "attempts", "held")
    with np.errstate(invalid="ignore"):
        again = passes(design, *(samples[f"check_{name}"].values for name in names))
    places = [divmod(int(point), passed.shape[1]) for point in samples["check_point"].values]
    return tuple(
        Confirmation(
            b, s, bool(passed[b, s]), bool(good), float(samples["quality"].values[b, s]), float(quality)
        )
        for (b, s), good, quality in zip(places, again, samples["check_quality"].values, strict=True)
    )  # fmt: skip
