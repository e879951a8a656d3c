"""The fast check in a verification: what a design asks of its parts at resolved steps, and whether it asks at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from analysis.designs.design import Design
from analysis.designs.units import written
from analysis.report.page import Criterion
from circuits.fast_check.check import FastCheck, Finding, Requirements
from circuits.homodyne.levels import fast_check
from circuits.homodyne.loop import HomodyneLoop
from circuits.ngspice.engine import Engine


def requirements(design: Design, loop: HomodyneLoop) -> Requirements:
    """What the criteria ask; where they say nothing, what is asked anyhow, and the wait before the loop's windows."""
    wanted, wait_s = design.criteria, loop.sequence.wait_s
    margin = Requirements.phase_margin_deg if wanted.phase_margin_min is None else wanted.phase_margin_min
    return Requirements(margin, wanted.settling_max or wait_s, wanted.recovery_max or wait_s)


def check_fast(
    design: Design,
    loop: HomodyneLoop,
    progress: Callable[[str, int, int], None] | None = None,
    folder: Path | None = None,
) -> FastCheck | None:
    """The fast check of a design's loop; None where nothing in it is an amplifier; failing decks are kept in `folder`.

    Raises
    ------
    NetlistError, EngineError, Interrupted
        As `circuits.fast_check.check.check_parts`.
    """
    if not loop.has_amplifiers:
        return None
    with Engine(folder=folder) as engine:
        return fast_check(loop, engine, requirements(design, loop), progress)


def fast_criteria(found: FastCheck) -> list[Criterion]:
    """What became of it, question by question; the worst answer is told."""
    asked = found.asked
    required = {
        "operating point": ("operating_point", "found, within the supplies"),
        "phase margin": ("phase_margin_min", f"at least {asked.phase_margin_deg:g} deg"),
        "edge": ("settling_max", f"no oscillation, settled in {written(asked.settling_s, 's')}"),
        "overload": ("recovery_max", f"back in {written(asked.recovery_s, 's')}"),
        "slew rate": ("slew_rate", "that of no sine and no edge exceeded"),
        "start-up": ("start_up", "comes to its operating point"),
    }
    return [
        Criterion(name, words, _told(answers, question), all(one.passed for one in answers), "resolved steps")
        for question, (name, words) in required.items()
        if (answers := found.of(question))
    ]


def _told(answers: tuple[Finding, ...], question: str) -> str:
    """The answers in one line: the first bad one, and how many; of margins the smallest."""
    bad = [one for one in answers if not one.passed]
    if question == "phase margin":
        worst = min(answers, key=lambda one: one.figures["phase_margin_deg"])
        return f"{worst.references[0]}, {worst.told}" + (f"; {len(bad)} of {len(answers)} loops" if bad else "")
    if bad:
        more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
        return f"{bad[0].references[0]} ({bad[0].part}): {bad[0].told}{more}"
    if question in ("edge", "overload"):
        figure = "settling_s" if question == "edge" else "recovery_s"
        times = [(one.figures[figure], one.references[0]) for one in answers if figure in one.figures]
        if times:
            slowest, where = max(times)
            return f"{len(answers)} parts; the slowest is {where}, {written(slowest, 's', 3)}"
    return f"{len(answers)} parts"
