"""Criteria of a design and what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from analysis.designs.design import Design
from analysis.designs.units import written
from analysis.report.page import Criterion
from analysis.sweeps.measures import outcome
from analysis.verification.nominal import NominalRun
from analysis.verification.yields import Yield


def passes(design: Design, learned: Any, quality: Any, separation: Any, attempts: Any) -> Any:
    """Whether outcomes meet the criteria that every board has to meet; element by element."""
    wanted = design.criteria
    good = np.asarray(learned) > 0
    if wanted.margin_min is not None:
        good &= np.asarray(quality) >= wanted.margin_min
    if wanted.separation_min is not None:
        good &= np.asarray(separation) >= wanted.separation_min
    if wanted.attempts_max is not None:
        good &= np.asarray(attempts) <= wanted.attempts_max
    return good


def all_passing(design: Design, data: xr.Dataset) -> Any:
    """`passes` of stored outcomes; what failed to run does not pass."""
    columns = (data[name].values for name in ("learned", "quality", "separation", "attempts"))
    with np.errstate(invalid="ignore"):
        return passes(design, *columns) & (data["status"].values == 1)


def told(row: Mapping[str, float]) -> str:
    """An outcome in a few words."""
    attempts, failed = (int(np.nan_to_num(row[name])) for name in ("attempts", "attempts_failed"))
    words = f"margin {row['quality']:.2f}, {written(row['separation'], 'A', 3)}"
    return f"{words}, {attempts} attempt{'s' if attempts != 1 else ''}{f' ({failed} failed)' if failed else ''}"


def nominal_criteria(design: Design, nominal: NominalRun) -> list[Criterion]:
    """What is asked of the nominal design: the task, always, and the criteria."""
    wanted, row = design.criteria, outcome(nominal)
    quality, separation, attempts = (row[name] for name in ("quality", "separation", "attempts"))
    cosine = float(np.median(nominal.check.cosines))
    error = float(np.median([one.relative_error for one in nominal.check.comparisons]))
    path = "nominal, median along the path"
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
    if (least := wanted.gradient_cosine_min) is not None:
        criteria.append(Criterion("gradient_cosine_min", f"at least {least:g}", f"{cosine:.4f}", cosine >= least, path))
    if (largest := wanted.gradient_error_max) is not None:
        criteria.append(
            Criterion(
                "gradient_error_max", f"at most {100 * largest:g} %", f"{100 * error:.2g} %", error <= largest, path
            )
        )
    return criteria


def yield_criterion(design: Design, found: Yield, quick: bool) -> Criterion:
    """Whether the yield is shown to be what `criteria.yield_min` asks for."""
    least = design.criteria.yield_min
    assert least is not None
    counted = f"{found.passed} of {found.samples}, {100 * found.low:.0f} to {100 * found.high:.0f} %"
    if quick:  # few samples show little: it is enough that they do not speak against it
        possible = f"{100 * least:g} % still possible (quick look; in full: shown)"
        return Criterion("yield_min", possible, counted, found.high >= least, "samples")
    shown = f"at least {100 * least:g} % at {100 * found.confidence:g} % confidence"
    return Criterion("yield_min", shown, counted, found.low >= least, "samples")


def corner_criteria(design: Design, corners: xr.Dataset) -> list[Criterion]:
    """Whether the design learns at each of its corners, as the criteria ask of every board."""
    criteria = []
    for row, good in enumerate(all_passing(design, corners)):
        reason = str(corners["reason"].values[row])
        names = ("quality", "separation", "attempts", "attempts_failed")
        one = {key: float(corners[key].values[row]) for key in names}
        criteria.append(
            Criterion("learned", "the task, as criteria ask", reason or told(one), bool(good),
                   str(corners["corner"].values[row]))
        )  # fmt: skip
    return criteria
