"""Disturbances in a verification: what drift, offsets, noise and temperature leave of the nominal design's margin."""

from __future__ import annotations

from analysis.designs.design import Design
from analysis.report.page import Criterion
from analysis.verification.nominal import NominalRun
from inmateria.errors import ConvergenceError, InputError
from learning.bench.bench import Bench
from learning.homodyne.robustness import Disturbances, Robustness, robustness


def check_temperature(design: Design, bench: Bench) -> None:
    """Refuse another temperature of a device that knows only its own, where the design names one.

    Raises
    ------
    InputError
    """
    moved = design.disturbances
    if "temperature" in moved.model_fields_set and not hasattr(bench.device, "at_temperature"):
        raise InputError(
            "disturbances.temperature", moved.temperature, "is asked of a device that knows only its own", "drop it"
        )


def check_disturbed(design: Design, nominal: NominalRun) -> tuple[Robustness | None, list[Criterion]]:
    """What is left of what the nominal design learned, and whether that is as much as asked.

    None and no criterion where nothing is asked; None and a criterion that is not met where nothing was learned, or the
    device has no state where it is moved to.

    Raises
    ------
    InputError
        As `learning.homodyne.robustness.robustness`.
    """
    least, asked = design.criteria.disturbed_margin_min, design.disturbances
    if least is None:
        return None, []

    def judged(told: str, met: bool) -> list[Criterion]:
        return [Criterion("disturbed_margin_min", f"at least {least:g}", told, met, "nominal, disturbed")]

    if not nominal.success:
        return None, judged("nothing was learned", False)
    moved = Disturbances(asked.drift, asked.offset, asked.temperature, asked.noise)
    try:
        found = robustness(nominal.experiment, nominal.best, moved, seed=design.seed)
    except ConvergenceError as error:
        return None, judged(str(error), False)
    worst = found.worst
    told = f"{worst.worst:.3f} under {worst.told} ({found.words()})"
    if all(row.name != "temperature" for row in found.rows):
        told += "; the device knows only its own temperature"
    return found, judged(told, worst.worst >= least)
