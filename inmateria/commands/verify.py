"""`inmateria verify`: sign off a design."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inmateria.commands.frame import Frame, Json, stopped
from inmateria.commands.options import Scheduler, Workers
from inmateria.errors import Interrupted
from inmateria.terminal.output import as_text, stderr, writing
from inmateria.terminal.progress import compilation_told, stages

if TYPE_CHECKING:
    import xarray as xr

    from analysis.designs.design import Design
    from analysis.verification.boards import Boards
    from analysis.verification.holding import Holding
    from analysis.verification.verify import Verification

ROW = ("learned", "quality", "separation", "attempts", "attempts_failed")
"""What is told of a corner."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """A design, how thoroughly, and on which processors."""

    design: Annotated[str, typer.Argument(help="File of a design (.toml); inmateria init writes one.")]
    quick: Annotated[
        bool, typer.Option("--quick", help="All in the boards' engine, a dozen boards, no corners: a first look.")
    ] = False
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.html, decks, waveforms and samples. There it goes on.")
    ] = None
    workers: Workers = None
    scheduler: Scheduler = None
    as_json: Json = False
    seed: Annotated[int | None, typer.Option(help="In place of the design's.", min=0)] = None


def run(options: Options, frame: Frame) -> dict[str, Any]:
    """Sign off a design: nominal and corners in ngspice, then boards of drawn components; pass or fail.

    Exit 0 if every criterion is met, 1 if not. Stopped or killed, the same command goes on with the corners and boards
    that are done.

    Example: inmateria verify design.toml --out report
    """
    from analysis.designs.design import Design
    from analysis.verification.verify import verify

    design = Design.from_toml(options.design)
    if options.seed is not None:
        design = design.changed({"seed": options.seed})
    frame.seed = design.seed
    doubts = _doubts(design, options.quick, frame.folder)
    with frame.keeping(lambda _: _stopped(frame)), stages(stderr) as progress, compilation_told(stderr):
        found = verify(
            design, quick=options.quick, folder=frame.folder, workers=options.workers, scheduler=options.scheduler,
            progress=progress,
        )  # fmt: skip
    told = {"file": options.design, "name": design.name, "sha256": design.digest}
    content = frame.document({**facts(found), "doubts": doubts, "design": told, "wall_s": frame.wall_s})
    if frame.folder is not None:
        content["files"] = _write(found, frame.folder, options.design, content["wall_s"])
        with writing("out", frame.folder):
            (frame.folder / "verification.json").write_text(as_text(content), encoding="utf-8")
    _tell(found, frame)
    return content


def _doubts(design: Design, quick: bool, folder: Path | None) -> list[str]:
    """Why the nominal design may not descend, and how long boards take, told before they run.

    A design that makes no sense is refused first.
    """
    from analysis.designs.experiment import experiment_of
    from analysis.verification.duration import boards_take
    from analysis.verification.verify import boards_and_starts, check_design
    from inmateria.commands.experiment import tell_doubts, told_doubts

    check_design(design, quick=quick)
    engine = design.verify.engine if quick else "ngspice"
    doubts = told_doubts(experiment_of(design, noisy=False), engine, design.seed, folder, take_found=False)
    takes = boards_take(design, *boards_and_starts(design, quick), folder)
    return doubts + tell_doubts(() if takes is None else takes.doubts)


def _stopped(frame: Frame) -> Interrupted:
    """The error that says what is kept."""
    from analysis.verification.verify import RUNS, STORES

    kept = "with --out DIR, what is done is kept"
    if frame.folder is not None:
        there = any((frame.folder / name).exists() for name in (*STORES, *RUNS))
        kept = f"the same command goes on with what is in {frame.folder}" if there else "run the command again"
    return stopped("stopped by Ctrl-C", kept, "verify")


def facts(found: Verification) -> dict[str, Any]:
    """What a verification found, as the document has it."""
    from inmateria.commands.facts import failed_facts, fast_facts, margins_facts, path_facts

    attempt = found.attempt
    return {
        "success": found.passed,
        "quick": found.quick,
        "criteria": [vars(one) | {} for one in found.criteria],
        "failed": [f"{one.name} ({one.where})" for one in found.criteria if not one.passed],
        "nominal": {
            "learned": found.nominal.success,
            "attempts": found.nominal.starts,
            "failed_attempts": failed_facts(found.nominal.failed),
            **attempt.final.facts(),
            "gradient": path_facts(found.check),
            "time_step_error": None if found.nominal.step is None else vars(found.nominal.step) | {},
        },
        "fast_check": None if found.fast is None else fast_facts(found.fast),
        "holding": None if found.holding is None else _holding(found.holding),
        "disturbed": None if found.disturbed is None else found.disturbed.facts(),
        "loop_margins": None if found.loop_margins is None else margins_facts(found.loop_margins),
        "corners": _corners(found.design, found.corners),
        "boards": None if found.boards is None else _boards(found.boards, found.design.verify.engine),
    }


def _holding(found: Holding) -> dict[str, Any]:
    """How the gate lasts, as the document has it."""
    from inmateria.commands.facts import lasting_facts

    shown = {"held": found.held, "measured": found.measured, "left_on": found.left_on}
    return {
        **{name: None if one is None else lasting_facts(one) for name, one in shown.items()},
        "deviation_V": found.deviation_V,
        "advice": found.words(),
    }


def _boards(boards: Boards, engine: str) -> dict[str, Any]:
    """What boards did, as the document has it."""
    rates = boards.rates
    return {
        "boards": rates.boards,
        "starts": rates.starts,
        "engine": engine,
        "passed": [int(count) for count in rates.passed],
        "pass_probability": vars(rates.mean) | {},
        "pass_probability_spread": vars(rates.spread) | {},
        "pass_probability_wanted": rates.wanted,
        "yield": vars(rates.yields) | {},
        "confidence": rates.confidence,
        "variance_shares": {"boards": rates.board_share, "starts": rates.start_share},
        "boards_differ_p": rates.boards_differ_p,
        "references": {name: float(good.mean()) for name, good in boards.references.items()},
        "sensitivities": [vars(one) | {} for one in boards.sensitivities],
        "worst": {"board": boards.worst[0], "start": boards.worst[1]},
        "confirmed": [vars(one) | {} for one in boards.confirmations],
    }


def _corners(design: Design, data: xr.Dataset) -> list[dict[str, Any]]:
    from analysis.verification.passing import all_passing

    if "corner" not in data.dims:
        return []
    good = all_passing(design, data)
    return [
        {
            "corner": str(data["corner"].values[row]),
            "passed": bool(good[row]),
            "reason": str(data["reason"].values[row]),
            **{key: float(data[key].values[row]) for key in ROW},
        }
        for row in range(data.sizes["corner"])
    ]


def _write(found: Verification, folder: Path, file: str, wall_s: float) -> list[str]:
    """The worst sample's deck and the report; tells of the nominal run's waveforms and deck, too."""
    from analysis.report.page import write_report
    from analysis.verification.nominal import NOMINAL, NOMINAL_QUICK
    from analysis.verification.report import verification_report
    from analysis.verification.verify import STORES
    from circuits.homodyne.export import standalone_deck

    name = NOMINAL_QUICK if found.quick else NOMINAL
    written = [folder / f"{name}.nc", folder / f"{name}.cir"]
    with writing("out", folder):
        if found.boards is not None:
            worst = found.boards.worst_attempt
            (folder / "worst.cir").write_text(standalone_deck(worst.loop, worst.run), encoding="utf-8")
            written.append(folder / "worst.cir")
        written += [path for name in STORES if (path := folder / name).exists()]
        quick = " --quick" if found.quick else ""
        commands = [
            f"inmateria verify {shlex.quote(file)} --seed {found.design.seed}{quick} --out DIR",
            *(["ngspice -b DIR/worst.cir"] if found.boards is not None else []),
        ]
        told = {
            "design": file,
            "date": time.strftime("%Y-%m-%d %H:%M"),
            "took": f"{int(wall_s // 60)} min {wall_s % 60:.0f} s",
        }
        report = verification_report(
            found, commands=commands, facts=told, maps=_maps(found.design, folder), ngspice=_ngspice(found)
        )
        written.append(write_report(folder / "report.html", report))
    return [str(path) for path in written]


def _maps(design: Design, folder: Path) -> list[tuple[xr.DataArray, dict[str, Any], str]]:
    """What `inmateria sweep` left of this design in the same folder, where it has two axes."""
    import numpy as np

    from analysis.plots.sweep import axes_of, over_seeds
    from analysis.sweeps.store import read_store
    from inmateria.commands.facts import SHOWN, STORE

    if not (folder / STORE).exists():
        return []
    data = read_store(folder / STORE)
    name = SHOWN.get(str(data.attrs.get("measure")), "")
    if data.attrs.get("design_sha256") != design.digest or name not in data or len(axes_of(data, name)) != 2:
        return []
    values = over_seeds(data, name, mean=name == "learned")
    numbers = [np.issubdtype(values[dim].dtype, np.number) for dim in values.dims]
    over = f", median over {data.sizes['seed']} seeds" if "seed" in data.sizes else ""
    return [(values, {}, f"Sweep of this design{over}; engine {data.attrs['engine']}.")] if all(numbers) else []


def _ngspice(found: Verification) -> str | None:
    """Version of ngspice, where it was used."""
    from circuits.homodyne.engines import engine_named

    with engine_named(found.nominal.engine if found.quick else "ngspice") as engine:
        return engine.version()


def _tell(found: Verification, frame: Frame) -> None:
    """The verdict for people."""
    import numpy as np

    from analysis.verification.yields import shown

    for one in found.criteria:
        mark = "[green]pass[/]" if one.passed else "[red]FAIL[/]"
        frame.say(f"{mark} {one.name} ({one.where}): {one.found}; required: {one.required}")
    if found.nominal.step is not None:
        frame.say(found.nominal.step.words())
    if found.holding is not None:
        frame.say(found.holding.words())
    if found.boards is not None:
        rates, references = found.boards.rates, found.boards.references
        y = rates.yields
        lucky, best = (100 * float(np.mean(references[name])) for name in ("dead", "ideal"))
        frame.say(
            f"yield {100 * y.value:.0f} % of boards ({100 * rates.confidence:g} % interval {100 * y.low:.0f} to "
            f"{100 * y.high:.0f} %); an attempt passes with {100 * rates.mean.value:.0f} %, {lucky:.0f} % in a loop "
            f"that does not learn, {best:.0f} % with ideal parts",
        )
        frame.say(
            f"what decides an attempt: the board {100 * rates.board_share:.0f} %, the start "
            f"{100 * rates.start_share:.0f} %; boards differ: p = {rates.boards_differ_p:.2g}"
        )
        frame.say(
            f"what goes with the boards' results (rank correlation): {shown(found.boards.sensitivities, rates.boards)}"
        )
    verdict = "[green]PASS[/]" if found.passed else "[red]FAIL[/]"
    where = "" if frame.folder is None else f"; report, decks and samples are in {frame.folder}"
    frame.say(f"{verdict} {'(quick) ' if found.quick else ''}{found.design.name}{where}")
