"""`inmateria export`: learn in ngspice and write the last attempt as a deck of its own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rich.console import Console

from circuits.homodyne.closed_deck import closed_deck, fit_to_run
from inmateria.commands.experiment import planned_loop
from inmateria.commands.facts import failed_facts
from inmateria.commands.learn import train
from inmateria.commands.results import Results
from inmateria.terminal.output import document, stderr, writing
from learning.homodyne.experiment import Experiment


def run_export(
    experiment: Experiment,
    deck: Path,
    *,
    seed: int,
    closed: bool,
    answer: Console,
) -> dict[str, Any]:
    """Learn, write the deck, of the recorded run or of the closed loop; return the document."""
    begin = time.perf_counter()
    bench, task = experiment.bench, experiment.task
    planned = planned_loop(experiment, "ngspice")
    results = Results("export", seed, None, {})
    result, _ = train(experiment, planned, seed, "ngspice", results)
    attempt = result.best
    network = None
    if closed:
        with stderr.status("fitting a network to the device"):
            network = fit_to_run(attempt.loop, attempt.run, seed=seed)
        text = closed_deck(
            attempt.loop, attempt.run, network,
            separation_V=attempt.final.separation_A * attempt.loop.stage.transimpedance_ohm,
            provenance={"seed": seed, "gate": task.name},
        )  # fmt: skip
    else:
        text = attempt.loop.deck(attempt.run)
    with writing("deck", deck):
        deck.write_text(text, encoding="utf-8")
    verdict = "learned" if result.success else "not learned"
    answer.print(f"{task.name} {verdict}; written: {deck} (run it with: ngspice -b {deck})", highlight=False)
    poles = attempt.loop.filter_poles
    return document(
        "export",
        seed,
        {
            "gate": task.name,
            "success": result.success,
            "restarts": result.starts,
            "failed_attempts": failed_facts(result.failed),
            "lockin_V": {name: float(attempt.run[f"v(m{k}_{poles})"][-1]) for k, name in enumerate(bench.names)},
            "controls_V": dict(zip(bench.names, map(float, attempt.controls_V), strict=True)),
            "device": experiment.facts["device"],
            "design": experiment.facts["design"],
            "closed": closed,
            "network_rms_A": None if network is None else network.rms_A,
            "network_spread_A": None if network is None else network.spread_A,
            "files": [str(deck)],
            "wall_s": time.perf_counter() - begin,
        },
    )
