"""`inmateria export`: learn in ngspice and write the last attempt as a deck of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from inmateria.commands.frame import Frame
from inmateria.commands.options import ExperimentOptions, Restarts
from inmateria.terminal.output import output_file, stderr, writing


@dataclass(frozen=True, kw_only=True)
class Options(ExperimentOptions):
    """A gate, the deck's file, an experiment, and which deck."""

    gate: Annotated[str, typer.Argument(help="AND, OR, NAND, NOR, XOR or XNOR, also in place of a design's task.")]
    deck: Annotated[Path, typer.Argument(help="File to write.")]
    restarts: Restarts = 20
    closed: Annotated[
        bool,
        typer.Option(
            "--closed", help="The closed loop, which learns again: the device as a fitted network, or as its netlist."
        ),
    ] = False


def run(options: Options, frame: Frame) -> dict[str, Any]:
    """Write a learning run as a deck for plain ngspice, the device's currents as recorded waveforms, or --closed.

    Example: inmateria export XOR deck.cir --closed && ngspice -b deck.cir
    """
    from circuits.homodyne.closed_deck import check_closable, closed_deck, fit_to_run
    from circuits.homodyne.export import standalone_deck
    from inmateria.commands.experiment import planned_loop, requested_experiment
    from inmateria.commands.facts import failed_facts
    from inmateria.commands.learn import train

    experiment, frame.seed = requested_experiment(options, frame.said, options.gate, restarts=options.restarts)
    seed, deck = frame.seed, options.deck
    output_file(deck)
    bench, task = experiment.bench, experiment.task
    planned = planned_loop(experiment, "ngspice")
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
    return frame.document(
        {
            "gate": task.name,
            "success": result.success,
            "restarts": result.starts,
            "failed_attempts": failed_facts(result.failed),
            "lockin_V": {name: float(attempt.run[f"v(m{k}_{poles})"][-1]) for k, name in enumerate(bench.names)},
            "controls_V": dict(zip(bench.names, map(float, attempt.controls_V), strict=True)),
            "device": experiment.facts["device"],
            "design": experiment.facts["design"],
            "closed": options.closed,
            "network_rms_A": None if network is None else network.rms_A,
            "network_spread_A": None if network is None else network.spread_A,
            "files": [str(deck)],
            "wall_s": frame.wall_s,
        },
    )
