"""Criteria of a design and what became of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from analysis.designs.design import Design
from analysis.designs.units import written
from analysis.gradients.path_check import PathCheck
from analysis.report.page import Criterion
from analysis.sweeps.measures import outcome
from analysis.verification.boards import CHANCE_P, DISAGREE_P, Boards
from analysis.verification.nominal import NominalRun
from analysis.verification.passing import all_passing


def told(row: Mapping[str, float]) -> str:
    """An outcome in a few words."""
    attempts, failed = (int(np.nan_to_num(row[name])) for name in ("attempts", "attempts_failed"))
    words = f"margin {row['quality']:.2f}, {written(row['separation'], 'A', 3)}"
    return f"{words}, {attempts} attempt{'s' if attempts != 1 else ''}{f' ({failed} failed)' if failed else ''}"


def nominal_criteria(design: Design, nominal: NominalRun) -> list[Criterion]:
    """What is asked of the nominal design: the task, always, and the criteria."""
    wanted, row = design.criteria, outcome(nominal)
    quality, separation, attempts = (row[name] for name in ("quality", "separation", "attempts"))
    criteria = [Criterion("learned", "the task", told(row), nominal.success, "nominal")]
    if (least := wanted.margin_min) is not None:
        criteria.append(Criterion("margin_min", f"at least {least:g}", f"{quality:.3f}", quality >= least, "nominal"))
    if (least := wanted.separation_min) is not None:
        found = written(separation, "A", 3)
        criteria.append(
            Criterion("separation_min", f"at least {written(least, 'A')}", found, separation >= least, "nominal")
        )
    if (most := wanted.attempts_max) is not None:
        criteria.append(Criterion("attempts_max", f"at most {most}", str(attempts), attempts <= most, "nominal"))
    return criteria + _gradient_criteria(design, nominal.check)


def _gradient_criteria(design: Design, check: PathCheck) -> list[Criterion]:
    """Whether the lock-ins read loss and output rightly at every instant of the path: the worst one decides."""
    wanted, criteria = design.criteria, []
    for of, slopes in {"loss": check.loss, "output": check.output}.items():
        where = f"nominal, of the {of}, worst instant"
        if (least := wanted.gradient_cosine_min) is not None:
            first, last, worst = slopes.cosines[0], slopes.cosines[-1], float(np.min(slopes.cosines))
            found = f"{worst:.4f} (start {first:.4f}, end {last:.4f})"
            criteria.append(Criterion("gradient_cosine_min", f"at least {least:g}", found, worst >= least, where))
        elif of == "loss":  # asked of every design: what climbs, or reads nothing, has learned by the luck of its start
            first = float(slopes.cosines[0])
            criteria.append(
                Criterion("gradient_cosine_min", "above 0", f"{first:.4f}", first > 0.0, f"nominal, of the {of}, start")
            )
        if (largest := wanted.gradient_error_max) is not None:
            first, last, most = slopes.errors[0], slopes.errors[-1], float(np.max(slopes.errors))
            found = f"{100 * most:.2g} % (start {100 * first:.2g} %, end {100 * last:.2g} %)"
            criteria.append(
                Criterion("gradient_error_max", f"at most {100 * largest:g} %", found, most <= largest, where)
            )
    return criteria


def board_criteria(design: Design, found: Boards, quick: bool) -> list[Criterion]:
    """Whether boards learn more often than chance has it, as often as asked, and alike in ngspice."""
    rates, lucky = found.rates, float(np.mean(found.references["dead"]))
    share = float(np.mean(found.passed))
    told = f"{100 * share:.0f} % of attempts (p = {found.chance_p:.2g}, over {rates.starts} starts)"
    met = share > lucky if quick else found.chance_p < CHANCE_P
    criteria = [Criterion("chance", f"more than a loop that does not learn, {100 * lucky:.0f} %", told, met, "boards")]
    least = design.criteria.yield_min
    if least is not None:
        y = rates.yields
        good = f"{100 * y.value:.0f} % of boards, {100 * y.low:.0f} to {100 * y.high:.0f} %"
        each = f"pass {100 * rates.wanted:.2g} % of attempts"
        if quick:  # a few boards show little: it is enough that they do not speak against it
            asked, met = f"{100 * least:g} % that {each} still possible (quick look; in full: shown)", y.high >= least
        else:
            asked = f"at least {100 * least:g} % that {each}, at {100 * rates.confidence:g} % confidence"
            met = y.low >= least
        criteria.append(Criterion("yield_min", asked, good, met, "boards"))
    if found.confirmations:
        agree = sum(one.fast == one.ngspice for one in found.confirmations)
        criteria.append(
            Criterion("confirmed", "the same verdicts, chance aside",
                   f"{agree} of {len(found.confirmations)} attempts (p = {found.disagree_p:.2g})",
                   found.disagree_p >= DISAGREE_P, "boards in ngspice")
        )  # fmt: skip
    return criteria


def corner_criteria(design: Design, corners: xr.Dataset) -> list[Criterion]:
    """Whether the design learns at each of its corners, as the criteria ask of every board."""
    criteria = []
    for row, good in enumerate(all_passing(design, corners)):
        reason = str(corners["reason"].values[row])
        names = ("quality", "separation", "attempts", "attempts_failed", "learned", "held")
        one = {key: float(corners[key].values[row]) for key in names}
        words = told(one) + (", not held for long enough" if one["learned"] > 0 and not one["held"] > 0 else "")
        criteria.append(
            Criterion("learned", "the task, as criteria ask", reason or words, bool(good),
                   str(corners["corner"].values[row]))
        )  # fmt: skip
    return criteria
