"""Disturbances in a verification: what drift, offsets, noise and temperature leave of the nominal design's margin."""

from __future__ import annotations

from analysis.designs.design import Design
from analysis.report.page import Criterion
from analysis.verification.nominal import NominalRun
from inmateria.errors import InputError
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


def check_disturbed(design: Design, nominal: NominalRun) -> Robustness | None:
    """What is left of what the nominal design learned; None where nothing is asked, or nothing was learned.

    Raises
    ------
    InputError, ConvergenceError
        As `learning.homodyne.robustness.robustness`.
    """
    if design.criteria.disturbed_margin_min is None or not nominal.success:
        return None
    asked = design.disturbances
    moved = Disturbances(asked.drift, asked.offset, asked.temperature, asked.noise)
    return robustness(nominal.experiment, nominal.best, moved, seed=design.seed)


def disturbed_criteria(design: Design, found: Robustness | None) -> list[Criterion]:
    """Whether the margin stays as large as asked under every disturbance."""
    least = design.criteria.disturbed_margin_min
    if least is None:
        return []
    worst = None if found is None else found.worst
    told = "nothing was learned" if found is None else found.words()
    if found is not None and all(row.name != "temperature" for row in found.rows):
        told += "; the device knows only its own temperature"
    met = worst is not None and worst.worst >= least
    return [Criterion("disturbed_margin_min", f"at least {least:g}", told, met, "nominal, disturbed")]
