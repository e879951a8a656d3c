"""`inmateria bench`: speed on this machine; each benchmark is a file in `inmateria.benchmarks` and a line here."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from inmateria.commands.frame import Frame, Json
from inmateria.commands.options import DeviceSeed, Seed

BENCHMARKS = {
    "kmc": "kinetic Monte Carlo, and the mean field beside it",
    "spice": "a time-point, alone and in the loop",
    "loop": "the closed loop by its three engines",
    "sweep": "points per second on all processors",
    "mgd": "steps of multiplexed gradient descent",
    "pat": "samples through a circuit, beside one process a sample",
}
"""Names of the benchmarks, and what each measures."""

if TYPE_CHECKING:
    Name = str
else:
    Name = Literal[tuple(BENCHMARKS)]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which benchmark, and what those take that have such an option."""

    what: Annotated[
        Name, typer.Argument(help="; ".join(f"{name}: {about}" for name, about in BENCHMARKS.items()) + ".")
    ]
    as_json: Json = False
    seed: Seed = 0
    device_seed: DeviceSeed = None
    settings: Annotated[int, typer.Option(help="Of kmc: random settings per network.", min=1)] = 5


def run(options: Options, frame: Frame) -> dict[str, Any]:
    """Measure speed on this machine, each figure beside its baseline from the same run, on one core (sweep, pat: all).

    Example: inmateria bench kmc --json
    """
    measure = import_module(f"inmateria.benchmarks.{options.what}").run_bench
    given = {"seed": options.seed, "device_seed": options.device_seed or 0, "settings": options.settings}
    taken = inspect.signature(measure).parameters
    frame.command = f"bench {options.what}"
    return frame.document(
        measure(answer=frame.answer, **{name: value for name, value in given.items() if name in taken})
    )
