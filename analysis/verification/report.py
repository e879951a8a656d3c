"""The report of a verification: what `analysis.verification.verify` found, in the order in which one asks.

Why passed or not, what the circuit learned, whether it read the right gradient and why not exactly, how many boards
work and what decides it, what was simulated, and how to do it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from pydantic import BaseModel

from analysis.designs.design import Design
from analysis.designs.sections import OwnPart
from analysis.designs.units import written
from analysis.gradients.loop_budget import predict_loop
from analysis.gradients.path_check import PathCheck, standing_at
from analysis.report import plots
from analysis.report.page import Block, Figure, Report, Section, Table, Text
from analysis.report.sections import (
    budget_section,
    gradient_section,
    learning_section,
    loop_section,
    reproduction_section,
    signed,
    sweep_section,
    truth_table_section,
    waveform_section,
    yield_section,
)
from analysis.verification.yields import SURE, shown
from circuits.homodyne.engines import Ngspice, Twin, engine_kind
from circuits.homodyne.loop import HomodyneLoop
from circuits.homodyne.offsets import has_figures
from inmateria.checks import FloatArray
from inmateria.versions import versions
from learning.homodyne.gradients import probe_loop
from learning.homodyne.results import Attempt
from lockin.error_budget import ErrorBudget

if TYPE_CHECKING:
    from analysis.verification.verify import Verification

_REFERENCES = {"dead": "a loop that does not learn", "ideal": "a loop of ideal parts"}
_SHARES = {
    "dither.anneal_to", "learning.anneal_to",
    "learning.spread", "tolerances.resistor", "tolerances.capacitor", "criteria.gradient_error_max",
    "disturbances.drift", "criteria.yield_min", "criteria.pass_probability_min", "verify.confidence", "verify.confirm",
}  # fmt: skip
_DEGREES = {"electronics.temperature", "corners.temperature"}
_NAMES = {
    "learned": "Task learned",
    "margin_min": "Margin",
    "separation_min": "Separation",
    "attempts_max": "Attempts",
    "hold_min": "Hold time",
    "left_on_min": "Left on",
    "disturbed_margin_min": "Margin, disturbed",
    "loop_margin_min": "Learning loop, gain margin",
    "gradient_cosine_min": "Gradient, cosine",
    "gradient_error_max": "Gradient, relative error",
    "operating_point": "Operating points",
    "phase_margin_min": "Phase margin",
    "settling_max": "Edges settle",
    "recovery_max": "Overload recovery",
    "slew_rate": "Slew rate",
    "start_up": "Start-up",
    "chance": "Better than chance",
    "yield_min": "Yield",
    "confirmed": "Confirmed",
}


def verification_report(
    found: Verification,
    *,
    commands: Sequence[str],
    facts: Mapping[str, str] | None = None,
    maps: Sequence[tuple[xr.DataArray, Mapping[str, tuple[Any, Any]], str]] = (),
    ngspice: str | None = None,
) -> Report:
    """What a verification found, as a report.

    Parameters
    ----------
    found : Verification
    commands : sequence of str
        What to type to get the same, from the design's folder.
    facts : mapping of str to str, optional
        For the head: the design's file, the date, the time it took.
    maps : sequence of (DataArray, marks, caption), optional
        Sweeps of the design, as `report.sections.sweep_section` takes them.
    ngspice : str, optional
        Its version.
    """
    attempt, task = found.attempt, found.nominal.experiment.task
    period = attempt.loop.sequence.period_s
    engine, digest = found.nominal.engine, found.design.digest[:16]
    drawn = f"engine {engine}" if engine_kind(engine).has_dither else f"the {engine} engine, without the dither"
    decided = f"Everything is decided by the design (sha256 {digest}) and the versions below."
    known = {**versions(), **({"ngspice": ngspice} if ngspice else {})}
    return Report(
        found.design.name,
        found.passed,
        _summary(found),
        [replace(one, name=_NAMES.get(one.name, one.name)) for one in found.criteria],
        [
            _outputs(found),
            _corners(found),
            learning_section(attempt, task),
            waveform_section(
                attempt.loop,
                attempt.run,
                period,
                2 * period,
                f"The first pass while learning, nominal design; {drawn}.",
            ),
            *_gradients(found.check),
            _budget(found),
            *_holding(found),
            *_disturbed(found),
            *_fast(found),
            *(sweep_section(values, marks, caption) for values, marks, caption in maps),
            *_yield(found),
            loop_section(attempt.loop),
            _parameters(found.design, attempt.loop),
            reproduction_section(commands, known, decided),
        ],
        {**(facts or {}), "seed": str(found.design.seed)},
        "quick look only" if found.quick else "",
    )


def _summary(found: Verification) -> str:
    """The verdict in words."""
    failed = [d for d in found.criteria if not d.passed]
    count = len(found.criteria)
    if failed:
        names = "; ".join(f"{_NAMES.get(d.name, d.name).lower()} ({d.where})" for d in failed[:3])
        more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
        words = f"{count - len(failed)} of {count} criteria are met. Not met: {names}{more}."
    else:
        words = f"All {count} criteria are met." if count > 1 else "The criterion is met."
    if found.boards is not None:
        rates = found.boards.rates
        y = rates.yields
        words += (
            f" Yield {100 * y.value:.3g} % ({100 * y.low:.3g} to {100 * y.high:.3g} %): boards that pass at least "
            f"{100 * rates.wanted:.2g} % of attempts."
        )
        sure = [one.name for one in found.boards.sensitivities if one.p_value < SURE]
        words += f" What goes with the boards' results most: {sure[0]}." if sure else ""
    if found.quick:
        words += " A quick look: few boards, no corners, nothing in ngspice."
    return words


def _threshold_A(attempt: Attempt) -> float | None:
    """Half way between the nearest outputs that are wanted high and low; None where they overlap."""
    high = attempt.loop.stage.polarity * (np.asarray(attempt.loop.sequence.targets_V)) > 0
    outputs = np.asarray(attempt.final_A)
    if high.all() or not high.any():
        return None
    top, bottom = float(outputs[high].min()), float(outputs[~high].max())
    return 0.5 * (top + bottom) if top > bottom else None


def _outputs(found: Verification) -> Section:
    attempt, task = found.attempt, found.nominal.experiment.task
    cases = {"before": attempt.initial_A, "after": attempt.final_A}
    section = truth_table_section(task, cases, threshold_A=_threshold_A(attempt))
    blocks: list[Block] = [
        Text(f"Nominal design: {attempt.final.words()}.{_inverted(attempt)}"),
        *(Text(f"Attempt {one.number + 1} failed: {one.reason}.") for one in found.nominal.failed),
        *section.blocks,
    ]
    if found.boards is not None:
        worst, (number, start) = found.boards.worst_attempt, found.boards.worst
        of = truth_table_section(task, {f"board {number}": worst.final_A}, threshold_A=_threshold_A(worst))
        told = f"Worst attempt of the worst board, {number}, from start {start}: {worst.final.words()}."
        blocks += [Text(f"{told}{_inverted(worst)}"), *of.blocks]
    return Section(section.title, blocks)


def _inverted(attempt: Attempt) -> str:
    if attempt.loop.stage.polarity > 0:
        return ""
    return " The output stage inverts: a high target is the lower current."


def _corners(found: Verification) -> Section:
    data = found.corners
    if "corner" not in data.dims:
        return Section("Corners", [])
    rows, failed = [], []
    met = {d.where: d.passed for d in found.criteria}
    for row, name in enumerate(str(name) for name in data["corner"].values):
        good = met.get(name, bool(data["learned"].values[row] > 0))
        reason = str(data["reason"].values[row])
        if not good:
            failed.append(row)
        rows.append([name, "pass" if good else "fail", *_outcome(data, row), reason])
    columns, rows = _without_empty(["corner", "verdict", "margin", "separation", "attempts", "trouble"], rows)
    return Section("Corners", [Table(columns, rows, failed=failed)])


def _without_empty(columns: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """A table without its last column where that is empty."""
    return (columns, rows) if any(row[-1] for row in rows) else (columns[:-1], [row[:-1] for row in rows])


def _outcome(data: xr.Dataset, row: int) -> list[str]:
    """Margin, separation and attempts of a row, as text."""
    quality, separation, attempts, lost = (
        float(data[name].values[row]) for name in ("quality", "separation", "attempts", "attempts_failed")
    )
    return [
        signed(quality) if np.isfinite(quality) else "",
        f"{signed(1e9 * separation)} nA" if np.isfinite(separation) else "",
        f"{int(attempts)}{f' ({int(lost)} failed)' if lost > 0 else ''}" if np.isfinite(attempts) else "",
    ]


def _gradients(check: PathCheck) -> list[Section]:
    """Gradients of loss and output along the path, and what they are of."""
    peaks = ", ".join(f"{1e3 * peak:.3g}" for peak in check.dither_V)
    note = f"In order along the path, at {peaks} mV of dither, as it stood there; {check.parts}; engine {check.engine}."
    return [
        gradient_section(slopes.measured, slopes.exact, of, note)
        for of, slopes in (("loss", check.loss), ("output", check.output))
    ]


def last_budget(found: Verification) -> tuple[ErrorBudget, FloatArray]:
    """The budget of the last reading along the path, and how far that reading was from the exact gradient, S."""
    attempt, check, experiment = found.attempt, found.check, found.nominal.experiment
    loop = standing_at(attempt.loop, attempt.run, attempt.loop.sequences + 1)
    levels = experiment.task.levels_V[check.patterns[-1]]
    probe = probe_loop(experiment.bench, loop.start_V, loop.dither.amplitudes_V, levels, like=loop)
    exact, measured = np.asarray(check.output.exact[-1]), np.asarray(check.output.measured[-1])
    with Twin() if has_figures(probe) and not probe.electronics_noise else Ngspice() as engine:
        return predict_loop(experiment.bench, probe, exact, engine), measured - exact


def _budget(found: Verification) -> Section:
    budget, measured = last_budget(found)
    own = found.attempt.loop.electronics_noise
    section = budget_section(budget, found.nominal.experiment.bench.names, measured)
    note = Text(
        "Why the last reading of the output's gradient above differs from the exact one, predicted before the run; the "
        "noise is that of the published chip" + (" and of the electronics." if own else ".")
    )
    return Section(section.title, [note, *section.blocks])


def _holding(found: Verification) -> list[Section]:
    """How long the learned gate stays: the separation over time, held and left on, and which of them to choose."""
    if found.holding is None:
        return []
    asked, holding = found.design.criteria, found.holding
    words = f"The learned gate: {holding.words()}. Held, {holding.held.source}"
    words += f", {written(asked.hold_warming, 'K')} warmer." if asked.hold_warming else "."
    if holding.measured is not None and holding.deviation_V is not None:
        words += (
            f" In ngspice, the integrators alone, the controls move by {written(holding.measured.moved_V, 'V', 3)} in "
            f"{written(holding.measured.looked_s, 's', 3)}, {written(holding.deviation_V, 'V', 2)} from that."
        )
    blocks: list[Block] = [Text(words)]
    shown = {"held": holding.held, **({} if holding.left_on is None else {"left on": holding.left_on})}
    for name, one in shown.items():
        figure = plots.curves(
            one.time_s, {name: 1e9 * one.separation_A}, x_label="time since learning ended (s)",
            y_label="separation (nA)", label=f"separation over time, {name}",
            limit=None if asked.separation_min is None else 1e9 * asked.separation_min,
        )  # fmt: skip
        blocks.append(Figure(figure, f"Separation of the gate, {name}; {one.source}."))
    return [Section("Holding", blocks)]


def _disturbed(found: Verification) -> list[Section]:
    """What each disturbance leaves of the margin, the controls where learning ended."""
    if found.disturbed is None:
        return []
    left, least = found.disturbed, found.design.criteria.disturbed_margin_min
    rows = [
        [row.told, f"{len(row.quality)}", signed(float(np.median(row.quality))), signed(row.worst),
         f"{100 * row.kept:.0f} %"]
        for row in left.rows
    ]  # fmt: skip
    failed = [k for k, row in enumerate(left.rows) if least is not None and row.worst < least]
    words = (
        "The controls stand where learning ended; one disturbance at a time, of the device's static outputs. Drift and "
        "offset in combinations of signs, up or down for each control; the margin is the task's. "
        f"Undisturbed it is {signed(left.quality)}."
    )
    worst = {"undisturbed": [left.quality] * len(rows), "at worst": [row.worst for row in left.rows]}
    drawn = plots.bars(
        [row.name for row in left.rows], worst, y_label="margin", label="margin under disturbances", limit=least
    )
    columns = ["disturbance", "cases", "margin: median", "at worst", "still learned"]
    asked = "." if least is None else "; dotted: what is asked."
    return [
        Section(
            "Disturbances",
            [
                Text(words),
                Table(columns, rows, failed=failed),
                Figure(drawn, f"Margin undisturbed, and in the worst case of each disturbance{asked}"),
            ],
        )
    ]


def _fast(found: Verification) -> list[Section]:
    """Every part at resolved steps: what was asked, what came out, and the loop with the smallest margin."""
    if found.fast is None:
        return []
    words = (
        "A learning run steps over all that is fast. Here every distinct part stands alone, with its sources and loads "
        "in the circuit, at steps of a twentieth of its fastest crossover's period."
    )
    if found.nominal.step is not None:
        words += f" Of the learning run, {found.nominal.step.words()}."
    findings = found.fast.findings
    rows = [[", ".join(one.references), one.part, one.question, _verdict(one.passed), one.told] for one in findings]
    failed = [k for k, one in enumerate(findings) if one.passed is False]
    blocks: list[Block] = [Text(words), Table(["places", "part", "question", "verdict", "answer"], rows, failed=failed)]
    if found.fast.loops:
        where, loop = found.fast.loops[0]
        blocks.append(
            Figure(
                plots.bode(loop.frequency_Hz, loop.ratio),
                f"Return ratio with the smallest phase margin: {where[0]}, {loop.name}, {loop.phase_margin_deg:.1f} "
                f"deg at {loop.crossover_Hz:.3g} Hz. Solid: size; dashed: phase.",
            )
        )
    return [Section("Parts at resolved steps", blocks)]


def _verdict(passed: bool | None) -> str:
    return "not judged" if passed is None else _word(passed)


def _yield(found: Verification) -> list[Section]:
    if found.boards is None:
        return []
    boards, rates = found.boards, found.boards.rates
    share = boards.passed.mean(axis=1)
    text = (
        f"{rates.boards} boards, each trained once from the same {rates.starts} starts. An attempt passes with "
        f"{100 * rates.mean.value:.0f} % ({100 * rates.mean.low:.0f} to {100 * rates.mean.high:.0f} %) over all boards "
        f"and starts; between boards that differs by {100 * rates.spread.value:.1f} % (standard deviation, "
        f"{100 * rates.spread.low:.1f} to {100 * rates.spread.high:.1f} %). Of what decides an attempt the boards are "
        f"{100 * rates.board_share:.0f} %, the starts {100 * rates.start_share:.0f} %; that boards do not differ has "
        f"p = {rates.boards_differ_p:.2g}. A board is good if it passes {100 * rates.wanted:.2g} % of attempts."
    )
    cases = {"boards, mean": share.mean(), "worst board": share.min(), "best board": share.max()}
    cases |= {_REFERENCES[name]: good.mean() for name, good in boards.references.items()}
    rows = [[name, f"{100 * float(value):.1f} %"] for name, value in cases.items()]
    goes = shown(boards.sensitivities, rates.boards)
    section = yield_section(
        share,
        rates.wanted,
        sensitivities={one.name: one.correlation for one in boards.sensitivities[:12]},
        sensitivity_label="rank correlation with a board's result, mean of its starts",
        sensitivity_note=f"Goes with the boards' results: {goes}. Negative: large errors are bad.",
    )
    blocks: list[Block] = [Text(text), Table(["attempts that pass", "share"], rows), *section.blocks]
    if boards.confirmations:
        table = [
            [f"{c.board}", f"{c.start}", *map(_word, (c.fast, c.ngspice)), f"{c.quality_fast:.3f}",
             f"{c.quality_ngspice:.3f}"]
            for c in boards.confirmations
        ]  # fmt: skip
        differ = [k for k, c in enumerate(boards.confirmations) if c.fast != c.ngspice]
        columns = ["board", "start", found.design.verify.engine, "ngspice", "margin", "margin, ngspice"]
        words = "Attempts drawn at random and made again in ngspice; marked where the verdict differs"
        blocks.append(Table(columns, table, words, differ))
    return [Section(section.title, blocks)]


def _word(passed: bool) -> str:
    return "pass" if passed else "fail"


def _parameters(design: Design, loop: HomodyneLoop) -> Section:
    """A table for each section of the design: what the file says, and what holds where it says nothing."""
    units = {  # of parts' figures, which are in the parts' own
        f"electronics.values.{name}.{one.name}": one.unit
        for name in design.electronics.values
        for one in loop.part(name).parameters
    }
    blocks = []
    for name in type(design).model_fields:
        section = getattr(design, name)
        if isinstance(section, BaseModel):
            rows = [
                [
                    key,
                    _shown(f"{name}.{key}", getattr(section, key), units),
                    "" if key in section.model_fields_set else "default",
                ]
                for key in type(section).model_fields
                if getattr(section, key) not in (None, (), {})
            ]
            if rows:
                blocks.append(Table(["parameter", "value", ""], rows, name))
    return Section("Parameters", blocks)


def _shown(key: str, value: Any, units: Mapping[str, str]) -> str:
    """A value as people write it, with its unit; `units` has those that the design itself does not know."""
    if isinstance(value, tuple):
        return ", ".join(_shown(key, one, units) for one in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if key in _DEGREES:
            return f"{value - 273.15:.6g} degC"
        return written(value, "%" if key in _SHARES else units[key] if key in units else Design.unit_of(key))
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_shown(f'{key}.{name}', one, units)}" for name, one in value.items())
    if isinstance(value, OwnPart):
        return value.file
    return str(value)
