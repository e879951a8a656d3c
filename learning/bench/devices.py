"""A device by name: a model of a random network, a measured chip's file or a netlist; and its electrodes' use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from circuits.parts.temperature import NOMINAL_K
from circuits.user_device.user_device import UserDevice, user_device
from dnpu_models.joined.joined_devices import JoinedDevices
from dnpu_models.mean_field.model import MeanField
from dnpu_models.monte_carlo.model import KineticMonteCarlo
from dnpu_models.network.network import DopantNetwork
from dnpu_models.surrogate.chip import ChipSurrogate
from inmateria.checks import count
from inmateria.errors import InputError
from learning.bench.bench import DEFAULT_DEVICE_SEED, DEFAULT_OUTPUT, DEFAULT_PRESET, Bench

INPUT_ORDER = (2, 6, 4, 3, 5, 1, 7)
"""Which electrodes of the default device become inputs, in this order, where a task has other than two."""
CHIP_INPUTS = ("e1", "e3")
"""Inputs of a measured chip by default; how they were chosen is told in docs/decisions.md."""
CHIP_INPUTS_OTHER = {1: ("e7",), 3: ("e3", "e5", "e7")}
"""The same for tasks of one and three inputs."""
NETLISTS = (".lib", ".cir", ".sub", ".subckt", ".sp", ".spice", ".net", ".ckt", ".mod", ".inc")
"""How files that are read as netlists end, whatever the case."""
AnyModel = MeanField | KineticMonteCarlo | ChipSurrogate | UserDevice


@dataclass(frozen=True)
class DeviceOptions:
    """What is said of the device.

    Parameters
    ----------
    model : str
        ``meanfield``, ``kmc``, or the path of a chip's file or a netlist.
    seed : int, optional
        Seed of a random network.
    electrodes : str, optional
        Output and inputs, e.g. ``e0:e2,e6``.
    temperature_K : float, optional
        Of a random network, where it is not the preset's; of a netlist, where it is not 300.15 K.
    netlist : mapping, optional
        Further arguments of `user_device`, of a netlist only.
    count : int
        Devices side by side, their outputs joined: `JoinedDevices`; networks of this seed and the next ones.
    """

    model: str = "meanfield"
    seed: int | None = None
    electrodes: str | None = None
    temperature_K: float | None = None
    netlist: Mapping[str, Any] = field(default_factory=dict)
    count: int = 1


def make_device(options: DeviceOptions, *, tolerance: float = 1e-6) -> tuple[AnyModel, dict[str, Any]]:
    """The device that the options name, and the facts on it for the summary; `tolerance` is a followed mean field's.

    Raises
    ------
    InputError
        For an unknown device, a file that is missing or holds no chip, a seed that means nothing.
    """
    name = options.model
    if options.netlist and not is_netlist(name):
        argument, value = next(iter(options.netlist.items()))
        raise InputError(argument, value, f"means nothing to {name}, which is no netlist", "leave it out")
    if name in ("meanfield", "kmc"):
        seed = DEFAULT_DEVICE_SEED if options.seed is None else options.seed
        changes = {} if options.temperature_K is None else {"temperature_K": options.temperature_K}
        network = DopantNetwork.random(seed=seed, preset=DEFAULT_PRESET, **changes)
        facts = {"model": name, "preset": DEFAULT_PRESET, "seed": seed, "file": None}
        return (MeanField(network, tolerance=tolerance) if name == "meanfield" else KineticMonteCarlo(network)), facts
    kind = "netlist" if is_netlist(name) else "chip"
    at_K = NOMINAL_K if options.temperature_K is None else options.temperature_K
    device = user_device(name, temperature_K=at_K, **options.netlist) if kind == "netlist" else _chip(name)
    told = "a netlist" if kind == "netlist" else "a measured chip"
    if options.seed is not None:
        raise InputError("device_seed", options.seed, f"means nothing to {told}", "leave it out")
    if options.temperature_K is not None and kind == "chip":
        raise InputError("temperature", options.temperature_K, f"means nothing to {told}", "leave it out")
    return device, {"model": kind, "preset": None, "seed": None, "file": name}


def joined_bench(bench: Bench, options: DeviceOptions, *, tolerance: float = 1e-6) -> Bench:
    """The bench of one device, with as many side by side as the options say, all wired as this one is.

    Raises
    ------
    InputError
        For a device that cannot be joined to others.
    """
    if count("devices", options.count) == 1:
        return bench
    first = options.seed or DEFAULT_DEVICE_SEED
    named = options.model in ("meanfield", "kmc")
    further = [replace(options, seed=first + d if named else None) for d in range(1, options.count)]
    devices: list[Any] = [bench.device, *(make_device(one, tolerance=tolerance)[0] for one in further)]
    joined = JoinedDevices(devices, bench.output)
    return replace(bench, device=joined, output=0, inputs=joined.everywhere(bench.inputs), copies=options.count)


def is_netlist(name: str) -> bool:
    """Whether a device of this name is a file with a netlist, by how it ends."""
    return Path(name).suffix.lower() in NETLISTS


def default_electrodes(device: AnyModel, inputs: int) -> tuple[int, tuple[int, ...]]:
    """Output and inputs where nothing was said; docs/decisions.md tells how they were chosen."""
    names = device.terminals
    if isinstance(device, UserDevice):
        return names.index(device.output), _netlist_inputs(device, inputs)
    if not isinstance(device, ChipSurrogate):
        return DEFAULT_OUTPUT, INPUT_ORDER[:inputs]
    output = device.measured[0]
    others = [name for name in names if name != names[output]]
    first = CHIP_INPUTS_OTHER.get(inputs, CHIP_INPUTS)
    if set(first) <= set(others):
        others = [*first, *[name for name in others if name not in first]]
    else:
        others = others[-inputs:]
    if len(others) < inputs:
        raise InputError("device", len(names), f"has too few terminals for {inputs} inputs", "take another task")
    return output, tuple(names.index(name) for name in others[:inputs])


def _netlist_inputs(device: UserDevice, inputs: int) -> tuple[int, ...]:
    """As many inputs as a task has: those that the netlist names, else its first terminals."""
    named = device.inputs or tuple(name for name in device.terminals if name != device.output)
    if len(named) < inputs or (device.inputs and len(named) != inputs):
        fix = "name them, e.g. --electrodes out:a,b, or in the file: '* device inputs: a, b'"
        raise InputError("electrodes", named, f"are no {inputs} inputs, which the task has", fix)
    return tuple(device.terminals.index(name) for name in named[:inputs])


def parse_electrodes(text: str, terminals: tuple[str, ...], inputs: int = 2) -> tuple[int, tuple[int, ...]]:
    """Output and inputs from ``OUTPUT:INPUT,INPUT`` (as many inputs as the task has), as numbers of terminals.

    Raises
    ------
    InputError
        For another form, or terminals that do not exist or are named twice.
    """
    output, colon, rest = text.replace(" ", "").partition(":")
    named_inputs = rest.split(",")
    if not colon or not output or len(named_inputs) != inputs or not all(named_inputs):
        form = "OUTPUT:" + ",".join(["INPUT"] * inputs)
        raise InputError(
            "electrodes", text, f"is not of the form {form}",
            f"write for example {terminals[0]}:{','.join(terminals[1 : 1 + inputs])}",
        )  # fmt: skip
    named = (output, *named_inputs)
    for name in named:
        if name not in terminals:
            raise InputError("electrodes", text, f"the device has no {name!r}", f"choose from {', '.join(terminals)}")
        if named.count(name) > 1:
            raise InputError("electrodes", text, f"names {name} twice", "name different ones")
    return terminals.index(output), tuple(terminals.index(name) for name in named_inputs)


def _chip(name: str) -> ChipSurrogate:
    """A chip's file, whatever saved it."""
    path = Path(name)
    if not name.strip() or not path.exists():
        looks_like_a_file = path.suffix or "/" in name
        problem = "is no file" if looks_like_a_file else "is no device known here, and no file"
        known = "use meanfield, kmc, or a file: a chip's (.npz, .pickle, .pt) or a netlist (.lib, .cir)"
        raise InputError("device", name, problem, known)
    read = ChipSurrogate.from_npz if path.suffix == ".npz" else ChipSurrogate.from_brainspy
    try:
        return read(path)
    except InputError as error:
        about = "" if error.field == "path" else f"{error.field} = {error.value!r} "
        raise InputError("device", name, f"{about}{error.problem}", error.fix) from error
