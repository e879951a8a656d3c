"""Run a part's self-checking deck with plain ``ngspice -b``."""

from __future__ import annotations

import math
import os
import subprocess
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from inmateria.checks import positive
from inmateria.errors import EngineError, InputError
from inmateria.run_folder import run_folder, told_of_no_room
from netlists.reader import load_part


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a deck answered.

    Attributes
    ----------
    name, level : str
        The part; for a file of one's own its stem and folder.
    exit_code : int
        Exit code of ngspice: 0 when the part is right; negative when a signal ended it.
    output : str
        Standard output and error together, with the measured deviations.
    """

    name: str
    level: str
    exit_code: int
    output: str

    @property
    def passed(self) -> bool:
        """Whether the deck found its part right."""
        return self.exit_code == 0


def run_deck(name: str, level: str = "ideal", *, celsius: float = 27.0, timeout: float = 60.0) -> CheckResult:
    """Run the deck that stands beside a part of the package.

    Parameters
    ----------
    name, level : str
        The part.
    celsius : float, optional
        Temperature of the deck, degC.
    timeout : float, optional
        Longest run, s.

    Raises
    ------
    InputError, EngineError
        If there is no such part, and as `run_deck_file`.
    NetlistError
        If the part's file is malformed.
    """
    load_part(name, level)
    with as_file(files("netlists") / level) as folder:
        return run_deck_file(folder / f"{name}.cir", celsius=celsius, timeout=timeout)


def run_deck_file(path: Path, *, celsius: float = 27.0, timeout: float = 60.0) -> CheckResult:
    """Run any self-checking deck.

    Parameters
    ----------
    path : pathlib.Path
        The deck; ngspice finds what it includes beside it. It runs in an empty folder.
    celsius : float, optional
        Temperature of the deck, degC; one that it sets itself counts for more.
    timeout : float, optional
        Longest run, s.

    Raises
    ------
    InputError
        If there is no such file, `timeout` is not positive, or `celsius` is no temperature.
    EngineError
        If ngspice is missing, does not end in time, or the temporary folder takes no file.
    """
    path = Path(path).resolve()
    if not path.is_file():
        raise InputError("deck", str(path), "is no file", "put the deck beside its part")
    positive("timeout", timeout, "s")
    if not -273.15 < celsius < math.inf:
        raise InputError("celsius", celsius, "is no temperature", "give degC above -273.15")
    with run_folder() as scratch:
        # ngspice reads this file instead of the user's own, wherever that lies. Transistors wait for no second thread,
        # see `circuits.ngspice.one_thread`; such a start file counts for more than the deck.
        settings = [f"option temp={celsius:.10g}"]
        if b"num_threads" not in path.read_bytes():
            settings.append("option num_threads=1")
        with told_of_no_room():
            (scratch / ".spiceinit").write_text("\n".join([*settings, ""]))
        environment = {name: value for name, value in os.environ.items() if name != "SPICE_USERINIT_DIR"}
        try:
            done = subprocess.run(
                ["ngspice", "-b", str(path)],
                cwd=scratch,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=False,
            )
        except FileNotFoundError as error:
            fix = "install it (Debian: apt install ngspice)"
            raise EngineError("ngspice", None, "was not found", fix) from error
        except subprocess.TimeoutExpired as error:
            fix = "look for a step that shrinks, or give more time"
            raise EngineError("deck", str(path), f"ngspice did not end within {timeout} s", fix) from error
    return CheckResult(path.stem, path.parent.name, done.returncode, done.stdout.decode(errors="replace"))
