"""Holding in a verification: how long the nominal design's gate stays, held and left on, by the design's criteria."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.designs.design import Design
from analysis.designs.units import written
from analysis.report.page import Criterion
from analysis.sweeps.store import Variable
from analysis.verification.nominal import NominalRun
from analysis.verification.passing import passes
from circuits.homodyne.engines import Ngspice
from circuits.homodyne.holding import predicted_controls_V, states_holding
from learning.homodyne.holding import LONGEST_S, Judge, Lasting, hold_learned, leave_on
from learning.homodyne.results import TrainingResult

AGREES = 0.01
"""Share of the drift by which prediction and ngspice may differ."""
NEGLIGIBLE_V = 1e-6
"""A difference of controls that no gate feels."""


@dataclass(frozen=True, eq=False)
class Holding:
    """How the nominal design's gate lasts.

    Attributes
    ----------
    held : Lasting
        With the gates of the integrators closed.
    measured : Lasting or None
        The same in ngspice, for as long as the design asks; None of a quick look.
    left_on : Lasting or None
        While the loop goes on learning; None where the design does not ask.
    deviation_V : float or None
        The largest difference of a control in ngspice from the prediction; None where either is missing.
    """

    held: Lasting
    measured: Lasting | None = None
    left_on: Lasting | None = None
    deviation_V: float | None = None

    def words(self) -> str:
        """What to do with the learned gate."""
        told = f"held, {lasting_words(self.held)}"
        if self.held.lasts_s == 0.0:
            return f"{told}: there is nothing to hold"
        if self.left_on is None:
            return told + ("" if self.held.stays else "; learn again before that, or leave the loop on")
        told += f"; left on, {lasting_words(self.left_on)}"
        if self.held.stays:
            return f"{told}: hold it"
        if self.left_on.lasts_s > self.held.lasts_s:
            return f"{told}: leave it on" + ("" if self.left_on.stays else ", and learn again before it is lost")
        short = "; raise criteria.left_on_min to see whether it stays longer when left on" if self.left_on.stays else ""
        return f"{told}: hold it, and learn again before it is lost{short}"


def lasting_words(found: Lasting) -> str:
    """How long a gate lasts, in words."""
    if found.lasts_s == 0.0:
        return "it is lost at once"
    if found.stays:
        return f"it stays for the {written(found.looked_s, 's', 3)} looked at"
    return f"it is lost after {written(found.lasts_s, 's', 3)}"


HELD = Variable("1", (), "1 if the gate stays as long as criteria.hold_min asks, or nothing is asked")
"""What is stored of a corner, or of an attempt on a board."""


def held_outcome(design: Design, result: TrainingResult) -> dict[str, float]:
    """The value of `HELD` of a training, ``"held"``; errors as `learning.homodyne.holding.hold_learned`."""
    least, best = design.criteria.hold_min, result.best
    if least is None:
        return {"held": 1.0}
    if not best.final.learned:
        return {"held": 0.0}
    asked: dict[str, Any] = {
        "longest_s": least, "good": _good_of(design), "warming_K": design.criteria.hold_warming or 0.0,
    }  # fmt: skip
    if states_holding(best.loop):
        return {"held": float(hold_learned(result.experiment, best, **asked).stays)}
    with Ngspice() as engine:
        return {"held": float(hold_learned(result.experiment, best, engine=engine, **asked).stays)}


def _good_of(design: Design) -> Judge:
    """Whether a score is as good as margin and separation are asked to be."""
    return lambda score: bool(passes(design, score.learned, score.quality, score.separation_A, 0))


def check_holding(design: Design, nominal: NominalRun, quick: bool) -> Holding | None:
    """Hold the nominal design's gate, and leave its loop on, as long as is asked.

    None where nothing is asked and the integrators are ideal, which hold for ever.

    Raises
    ------
    InputError, NetlistError, ConvergenceError, EngineError, Interrupted
        As `learning.homodyne.holding.hold_learned` and `leave_on`.
    """
    wanted, attempt, experiment = design.criteria, nominal.best, nominal.experiment
    least, stays = wanted.hold_min, wanted.left_on_min
    if least is None and stays is None and attempt.loop.part("integrator").level == "ideal":
        return None

    good = _good_of(design)
    warming, longest = wanted.hold_warming or 0.0, max(LONGEST_S, least or 0.0)
    measured: Lasting | None = None
    if not quick or not states_holding(attempt.loop):
        with Ngspice() as engine:
            measured = hold_learned(
                experiment, attempt, longest_s=least or longest, good=good, warming_K=warming, engine=engine
            )
    going = None if stays is None else leave_on(experiment, attempt, longest_s=stays, good=good, seed=design.seed)
    if not states_holding(attempt.loop):
        assert measured is not None
        return Holding(measured, measured, going)
    said = hold_learned(experiment, attempt, longest_s=longest, good=good, warming_K=warming)
    deviation = None
    if measured is not None:
        again = predicted_controls_V(attempt.loop, attempt.run, measured.time_s)
        deviation = float(np.max(np.abs(again - measured.controls_V)))
    return Holding(said, measured, going, deviation)


def holding_criteria(design: Design, found: Holding) -> list[Criterion]:
    """Whether the gate lasts as long as is asked, held and left on."""
    wanted, criteria = design.criteria, []
    if (least := wanted.hold_min) is not None:
        shown = [found.held, *([] if found.measured is None else [found.measured])]
        met = all(one.lasts_s >= least * (1 - 1e-9) for one in shown)
        told = f"{lasting_words(found.held)}, {found.held.source}"
        if found.measured is not None and (off := found.deviation_V) is not None:
            moved = found.measured.moved_V
            met = met and off <= max(AGREES * moved, NEGLIGIBLE_V)
            told += (
                f"; in ngspice the controls drift by {written(moved, 'V', 3)} in {written(least, 's')}, "
                f"{written(off, 'V', 2)} from that"
            )
        criteria.append(Criterion("hold_min", f"at least {written(least, 's')}", told, met, "nominal, held"))
    if (least := wanted.left_on_min) is not None and (going := found.left_on) is not None:
        told = f"{lasting_words(going)}, {going.source}"
        asked = f"at least {written(least, 's')}"
        if going.looked_s < least:
            asked += f" (looked at {written(going.looked_s, 's', 3)})"
        criteria.append(Criterion("left_on_min", asked, told, going.stays, "nominal, left on"))
    return criteria
