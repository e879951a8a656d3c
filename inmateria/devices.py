"""From a command's options to a device: a model of a random network, or a measured chip's file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnpu_models import ChipSurrogate, DopantNetwork, KineticMonteCarlo, MeanField
from inmateria.errors import InputError
from learning.bench import DEFAULT_DEVICE_SEED, DEFAULT_PRESET

AnyModel = MeanField | KineticMonteCarlo | ChipSurrogate


@dataclass(frozen=True)
class DeviceOptions:
    """What a command was told about the device.

    Parameters
    ----------
    model : str
        ``meanfield``, ``kmc``, or the path of a chip file.
    seed : int, optional
        Seed of a random network.
    electrodes : str, optional
        Output and inputs, e.g. ``e0:e2,e6``.
    """

    model: str = "meanfield"
    seed: int | None = None
    electrodes: str | None = None


def make_device(options: DeviceOptions, *, tolerance: float = 1e-6) -> tuple[AnyModel, dict[str, Any]]:
    """The device that the options name, and the facts on it for the summary.

    Parameters
    ----------
    options : DeviceOptions
    tolerance : float
        Of a mean field followed in a transient.

    Raises
    ------
    InputError
        For an unknown device, a file that is missing or holds no chip, a seed that means nothing.
    """
    name = options.model
    if name in ("meanfield", "kmc"):
        seed = DEFAULT_DEVICE_SEED if options.seed is None else options.seed
        network = DopantNetwork.random(seed=seed, preset=DEFAULT_PRESET)
        facts = {"model": name, "preset": DEFAULT_PRESET, "seed": seed, "file": None}
        return (MeanField(network, tolerance=tolerance) if name == "meanfield" else KineticMonteCarlo(network)), facts
    chip = _chip(name)
    if options.seed is not None:
        raise InputError("device_seed", options.seed, "means nothing to a measured chip", "leave it out")
    return chip, {"model": "chip", "preset": None, "seed": None, "file": name}


def _chip(name: str) -> ChipSurrogate:
    """A chip's file, whatever saved it."""
    path = Path(name)
    if not name.strip() or not path.exists():
        looks_like_a_file = path.suffix or "/" in name
        problem = "is no file" if looks_like_a_file else "is no device known here, and no file"
        raise InputError("device", name, problem, "use meanfield, kmc or the path of a chip file (.npz, .pickle, .pt)")
    read = ChipSurrogate.from_npz if path.suffix == ".npz" else ChipSurrogate.from_brainspy
    try:
        return read(path)
    except InputError as error:
        about = "" if error.field == "path" else f"{error.field} = {error.value!r} "
        raise InputError("device", name, f"{about}{error.problem}", error.fix) from error
