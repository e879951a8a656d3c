"""The learning loop's margins in a verification: is every channel as far from hunting as asked."""

from __future__ import annotations

from analysis.designs.design import Design
from analysis.report.page import Criterion
from analysis.verification.nominal import NominalRun
from circuits.homodyne.channel_margins import LoopMargins, loop_margins
from inmateria.errors import InputError


def check_loss(design: Design) -> None:
    """Refuse a margin of a loss that has none.

    Raises
    ------
    InputError
    """
    least, loss = design.criteria.loop_margin_min, design.learning.loss
    if least is not None and loss != "squared":
        problem = f"is asked of the {loss} loss, which has no curvature that slopes tell"
        raise InputError("criteria.loop_margin_min", least, problem, "drop it, or take the squared loss")


def check_loop_margin(design: Design, nominal: NominalRun) -> tuple[LoopMargins | None, list[Criterion]]:
    """The margins at the start of the attempt that counts, and whether the smallest is as large as asked.

    None and no criterion where nothing is asked.
    """
    least, stability = design.criteria.loop_margin_min, nominal.best.stability
    if least is None or stability is None:
        return None, []
    found = loop_margins(stability)
    told = f"{found.least_dB:.1f} dB ({found.verdict(least)})"
    met = not found.below(least)
    return found, [Criterion("loop_margin_min", f"at least {least:g} dB", told, met, "nominal, learning loop")]
