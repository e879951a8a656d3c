"""The command ``inmateria``: a table of its subcommands, each of which is a file of its own.

A new command is a file ``inmateria/commands/NAME.py`` (see `inmateria.commands.app`) and a line here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from inmateria.commands.app import make_app
from inmateria.terminal.output import EXIT_INPUT, end, errors_as_lines
from inmateria.terminal.usage import ClickException, usage_error

COMMANDS = {
    "doctor": "Check that everything a run needs is here.",
    "learn": "Learn a gate or another task in the closed loop.",
    "digital": "Learn by a computer with converters, tick by tick.",
    "gradient": "Read a gradient, and compare it with the exact one.",
    "plan": "Plan tones, amplitudes and filter for a required error.",
    "export": "Write a learning run as a deck for plain ngspice.",
    "iv": "Sweep one or two electrodes, and show the currents.",
    "device": "Draw a device and where its current flows.",
    "lockin": "Measure a lock-in's data sheet.",
    "init": "Write a first design, with a comment on every key.",
    "part": "Judge a vendor's model: figures, data sheet, dialect.",
    "check": "Check a design's parts at resolved steps: margins, edges.",
    "stability": "Gain and phase margins of the learning loop.",
    "verify": "Sign off a design: corners, samples, pass or fail.",
    "sweep": "Measure a design at every point of a grid.",
    "mgd": "Train a network by multiplexed gradient descent.",
    "pat": "Train a circuit or a chip physics-aware.",
    "bench": "Measure speed on this machine.",
}
"""Names of the commands, and the line on each in the help."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point: run the command line, and end with its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words behind the command's name; those of the process if left out.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    try:
        with errors_as_lines(as_json):
            try:
                code = make_app(COMMANDS)(words, prog_name="inmateria", standalone_mode=False)
            except ClickException as error:
                end(usage_error(error, words), as_json, EXIT_INPUT)
    except typer.Exit as leave:
        code = leave.exit_code
    sys.exit(code or 0)
