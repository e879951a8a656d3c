"""`inmateria export`: learn in ngspice and write the last attempt as a deck of its own; a board's bill of materials."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inmateria.commands.frame import Frame
from inmateria.commands.options import Chopped, ExperimentOptions, Level, Restarts
from inmateria.errors import InputError
from inmateria.terminal.output import output_file, stderr, writing

if TYPE_CHECKING:
    from circuits.homodyne.loop import HomodyneLoop
    from learning.homodyne.experiment import Experiment


@dataclass(frozen=True, kw_only=True)
class Options(ExperimentOptions):
    """A gate, the deck's file, an experiment, and which deck or what else."""

    gate: Annotated[
        str,
        typer.Argument(help="AND, OR, NAND, NOR, XOR or XNOR, also in place of a design's task; or a design's file."),
    ]
    deck: Annotated[Path | None, typer.Argument(help="File to write the deck to; needed unless there is --bom.")] = None
    restarts: Restarts = 20
    level: Level = "ideal"
    chopped: Chopped = False
    bom: Annotated[
        Path | None,
        typer.Option(
            "--bom",
            help="File to write the bill of materials of level board to (CSV); without DECK nothing is learned.",
        ),
    ] = None
    closed: Annotated[
        bool,
        typer.Option(
            "--closed", help="The closed loop, which learns again: the device as a fitted network, or as its netlist."
        ),
    ] = False


def run(options: Options, frame: Frame) -> dict[str, Any]:
    """Write a learning run as a deck for plain ngspice, the device's currents as recorded waveforms, or --closed.

    With --bom, write what one buys for the board that learns it.

    Example: inmateria export XOR --level board --chopped --bom xor.csv
    """
    from inmateria.commands.experiment import planned_loop, requested_experiment

    task: str | None = options.gate
    said = set(frame.said)
    if options.gate.lower().endswith(".toml"):
        options, task = replace(options, design=options.gate), None
        said.discard("gate")
    if options.deck is None and options.bom is None:
        raise InputError("deck", None, "is missing", "name the file to write, such as deck.cir, or --bom and a file")
    if options.deck is None and options.closed:
        raise InputError("closed", True, "is of a deck", "name the file to write the deck to")
    experiment, frame.seed = requested_experiment(
        options, said, task, restarts=options.restarts, level=options.level, chopped=options.chopped
    )
    for field, path in (("deck", options.deck), ("bom", options.bom)):
        if path is not None:
            if options.design is not None and path.resolve() == Path(options.design).resolve():
                raise InputError(field, str(path), "is the design itself", "name another file")
            output_file(path, field)
    planned = planned_loop(experiment, "ngspice")
    content: dict[str, Any] = {"gate": experiment.task.name}
    if options.bom is not None:
        content["bill_of_materials"] = _write_bill(experiment, planned, options.bom, frame)
    if options.deck is not None:
        content |= _write_deck(experiment, planned, options, options.deck, frame)
    files = [str(path) for path in (options.deck, options.bom) if path is not None]
    about = {"device": experiment.facts["device"], "design": experiment.facts["design"]}
    return frame.document({**content, **about, "files": files, "wall_s": frame.wall_s})


def _write_bill(experiment: Experiment, planned: HomodyneLoop, path: Path, frame: Frame) -> dict[str, Any]:
    """Write the bill of materials, and tell its sums."""
    from circuits.homodyne.netlist import generators, placements
    from circuits.parts.bill import CLASSES, bill_of
    from circuits.parts.levels import rails_of

    placed = placements(planned)
    if not any(there.part.supplied for there in placed.values()):
        raise InputError("level", experiment.facts["level"], "has no bill of materials", "take --level board")
    bill, beside = bill_of(placed, rails_of(planned.parts)), generators(planned)
    text = io.StringIO()
    table = csv.DictWriter(text, list(bill.rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(bill.rows)
    with writing("bom", path):
        path.write_text(text.getvalue(), encoding="utf-8")
    pieces = {kind: sum(item.quantity for item in bill.items if item.kind == kind) for kind in ("IC", "D", "R", "C")}
    frame.say(
        f"{pieces['IC']} integrated circuits, {pieces['D']} packages of diodes, {pieces['R']} resistors, {pieces['C']} "
        f"capacitors; {bill.power_W:.2g} W at +-{bill.supply_V:g} V without signal or load",
        markup=False,
    )  # fmt: skip
    frame.say(f"waveforms from generators and a clocked controller with DACs: {', '.join(beside)}", markup=False)
    if bill.not_built:
        frame.say(f"no circuit of components yet: {', '.join(bill.not_built)}", markup=False)
    frame.say(f"written: {path} (price classes: {', '.join(f'{k} {v}' for k, v in CLASSES.items())})", markup=False)
    return {
        "items": bill.rows, "pieces": pieces, "supply_V": bill.supply_V, "current_A": bill.current_A,
        "power_W": bill.power_W, "generators": list(beside), "not_built": list(bill.not_built),
    }  # fmt: skip


def _write_deck(
    experiment: Experiment, planned: HomodyneLoop, options: Options, deck: Path, frame: Frame
) -> dict[str, Any]:
    """Learn, and write the last attempt as a deck."""
    from circuits.homodyne.closed_deck import check_closable, closed_deck, fit_to_run
    from circuits.homodyne.export import standalone_deck
    from inmateria.commands.facts import failed_facts
    from inmateria.commands.learn import train

    bench, task, seed = experiment.bench, experiment.task, frame.seed
    assert seed is not None
    if options.closed:
        check_closable(planned)
    result, _ = train(experiment, planned, "ngspice", frame)
    attempt = result.best
    network = None
    if options.closed:
        if not hasattr(bench.device, "netlist"):
            with stderr.status("fitting a network to the device"):
                network = fit_to_run(attempt.loop, attempt.run, seed=seed)
        text = closed_deck(
            attempt.loop, attempt.run, network,
            separation_V=attempt.final.separation_A * attempt.loop.stage.transimpedance_ohm,
            provenance={"seed": seed, "gate": task.name},
        )  # fmt: skip
    else:
        text = standalone_deck(attempt.loop, attempt.run)
    with writing("deck", deck):
        deck.write_text(text, encoding="utf-8")
    verdict = "learned" if result.success else "not learned"
    frame.say(f"{task.name} {verdict}; written: {deck} (run it with: ngspice -b {deck})")
    poles = attempt.loop.filter_poles
    return {
        "success": result.success,
        "restarts": result.starts,
        "failed_attempts": failed_facts(result.failed),
        "lockin_V": {name: float(attempt.run[f"v(m{k}_{poles})"][-1]) for k, name in enumerate(bench.names)},
        "controls_V": dict(zip(bench.names, map(float, attempt.controls_V), strict=True)),
        "closed": options.closed,
        "network_rms_A": None if network is None else network.rms_A,
        "network_spread_A": None if network is None else network.spread_A,
    }
