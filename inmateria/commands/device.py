"""`inmateria device`: what the device is, and where its current flows at one set of voltages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inmateria.commands.frame import Frame, Json
from inmateria.commands.options import DeviceName, DeviceSeed
from inmateria.terminal.output import stderr
from inmateria.terminal.progress import compilation_told

if TYPE_CHECKING:
    import xarray as xr

    from circuits.user_device.user_device import UserDevice
    from dnpu_models.mean_field.current_paths import CurrentPath, HopCurrents
    from dnpu_models.network.network import DopantNetwork
    from dnpu_models.surrogate.chip import ChipSurrogate
    from inmateria.checks import FloatArray

FILES = ("device.nc", "device.png")
BIAS_V = 0.5
"""On the electrode opposite to e0 if nothing else is said: without a bias nothing flows."""
SHOWN_PATHS = 5
MOST_PATHS = 200


@dataclass(frozen=True, kw_only=True)
class Options:
    """A device, and its voltages."""

    device: DeviceName = "meanfield"
    at: Annotated[
        str | None,
        typer.Option(help="Voltages, e.g. 'e1=0.3,e2=-0.1'; 0.5 V on the electrode opposite e0 if left out."),
    ] = None
    as_json: Json = False
    out: Annotated[Path | None, typer.Option(help="Folder for the picture, its data (device.nc) and summary.")] = None
    device_seed: DeviceSeed = None


def run(options: Options, frame: Frame) -> dict[str, Any]:
    """Draw a device and where its current flows (mean field), with its key figures; tell what a file's device does.

    Example: inmateria device --at e4=0.5,e2=-0.3 --out device
    """
    from circuits.user_device.user_device import UserDevice
    from dnpu_models.mean_field.current_paths import hop_currents
    from dnpu_models.mean_field.model import MeanField
    from dnpu_models.monte_carlo.model import KineticMonteCarlo
    from dnpu_models.surrogate.chip import ChipSurrogate
    from inmateria.commands.voltages import voltages_of
    from learning.bench.devices import DeviceOptions, make_device

    device, facts = make_device(DeviceOptions(options.device, options.device_seed))
    volts = voltages_of(options.at, device)
    if isinstance(device, ChipSurrogate):
        summary, written = _chip(device, facts), "summary is"
        _tell_chip(summary, frame)
    elif isinstance(device, UserDevice):
        summary, written = _netlist(device, volts, facts), "summary is"
        _tell_netlist(summary, frame)
    else:
        model = MeanField(device.network) if isinstance(device, KineticMonteCarlo) else device
        if options.at is None:
            volts[len(volts) // 2] = BIAS_V
        with frame.keeping(), stderr.status("solving the mean field"), compilation_told(stderr):
            flow = hop_currents(model, volts)
            paths = _half(flow)
        summary, written = _network(model.network, volts, flow, paths) | {"device": facts}, "picture and data are"
        frame.write_dataset("device.nc", _dataset(model.network, volts, flow, facts))
        frame.write_figures(lambda _data: {"device.png": _figure(model.network, volts, flow, facts)})
        _tell_network(summary, frame)
    if frame.folder is not None:
        frame.say(f"{written} in {frame.folder}")
    return frame.summary(summary)


def _half(flow: HopCurrents) -> list[CurrentPath]:
    """The largest paths, until they carry half of the current, but not more than `MOST_PATHS`."""
    import numpy as np

    from dnpu_models.mean_field.current_paths import largest_paths

    paths = largest_paths(flow, MOST_PATHS)
    carried = np.cumsum([path.current_A for path in paths])
    return paths[: int(np.searchsorted(carried, 0.5 * flow.through_A)) + 1]


def _network(net: DopantNetwork, volts: FloatArray, flow: HopCurrents, paths: list[CurrentPath]) -> dict[str, Any]:
    import numpy as np

    from dnpu_models.network.constants import COULOMB_EV_M

    names = [f"e{k}" for k in range(net.n_electrodes)]
    through = flow.through_A
    carried = sum(path.current_A for path in paths)
    corners = net.shape.boundary_point(np.linspace(0, net.shape.perimeter_m, 4000, endpoint=False))
    x, y = corners.T
    area = 0.5 * abs(float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))))
    coulomb = COULOMB_EV_M / net.relative_permittivity / net.thermal_energy_eV
    return {
        "sites": net.n_sites,
        "donors": len(net.donors_m),
        "electrodes": names,
        "temperature_K": net.temperature_K,
        "thermal_energy_eV": net.thermal_energy_eV,
        "localisation_m": net.localisation_m,
        "relative_permittivity": net.relative_permittivity,
        "mean_spacing_m": float(np.sqrt(area / net.n_sites)),
        "coulomb_length_m": coulomb,
        "attempt_rate_Hz": net.attempt_rate_Hz,
        "hops": len(flow.current_A),
        "limit_V": net.limit_V,
        "voltages_V": dict(zip(names, volts.tolist(), strict=True)),
        "currents_A": dict(zip(names, flow.electrodes_A.tolist(), strict=True)),
        "occupation_mean": float(flow.occupations.mean()),
        "holes": float(flow.occupations.sum()),
        "sites_mostly_empty": int((flow.occupations < 0.5).sum()),
        "through_A": through,
        "imbalance_A": flow.imbalance_A,
        "paths": [
            {
                "via": [names[k - net.n_sites] if k >= net.n_sites else k for k in path.nodes],
                "current_A": path.current_A,
                "share": path.current_A / through if through else None,
            }
            for path in paths[:SHOWN_PATHS]
        ],
        "paths_for_half": len(paths) if through and carried >= 0.5 * through else None,
    }


def _dataset(net: DopantNetwork, volts: FloatArray, flow: HopCurrents, facts: dict[str, Any]) -> xr.Dataset:
    import xarray as xr

    from inmateria.versions import versions

    def known(units: str, text: str, dims: Any, values: Any) -> tuple[Any, ...]:
        return dims, values, {"units": units, "long_name": text}

    return xr.Dataset(
        {
            "site_m": known("m", "position of the acceptor", ("site", "xy"), net.acceptors_m),
            "site_energy_eV": known("eV", "disorder of the acceptor's level", "site", net.site_energies_eV),
            "occupation": known("1", "mean occupation by a hole", "site", flow.occupations),
            "potential_V": known("V", "potential of the electrodes", "site", net.unit_potentials @ volts),
            "donor_m": known("m", "position of the donor", ("donor", "xy"), net.donors_m.reshape(-1, 2)),
            "voltage_V": known("V", "voltage", "electrode", volts),
            "current_A": known("A", "current into the electrode", "electrode", flow.electrodes_A),
            "hop_tail": known("1", "node the net current leaves; from n sites on electrodes", "hop", flow.tail),
            "hop_head": known("1", "node the net current enters; from n sites on electrodes", "hop", flow.head),
            "hop_A": known("A", "net current of the hop", "hop", flow.current_A),
        },
        coords={"electrode": [f"e{k}" for k in range(net.n_electrodes)], "xy": ["x", "y"]},
        attrs={
            **{f"version_{k}": v for k, v in versions().items()},
            **{f"device_{k}": v for k, v in facts.items() if v is not None},
            "temperature_K": net.temperature_K,
        },
    )


def _figure(net: DopantNetwork, volts: FloatArray, flow: HopCurrents, facts: dict[str, Any]) -> Any:
    from analysis.plots.device import plot_device

    title = (
        f"{facts['preset']}, seed {facts['seed']}: {net.n_sites} acceptors, {len(net.donors_m)} donors, "
        f"{net.temperature_K:g} K, mean field"
    )
    return plot_device(net, volts, flow, title=title)


def _chip(chip: ChipSurrogate, facts: dict[str, Any]) -> dict[str, Any]:
    low, high = chip.limits_V[:, 0], chip.limits_V[:, 1]
    names = chip.terminals
    return {
        "device": facts,
        "terminals": list(names),
        "output": names[chip.held],
        "measured": [names[k] for k in chip.measured],
        "ranges_V": {name: [float(low[k]), float(high[k])] for k, name in enumerate(names) if k != chip.held},
        "layers": [chip.n_inputs, *(len(bias) for bias in chip.biases)],
        "weights": int(sum(w.size for w in chip.weights) + sum(b.size for b in chip.biases)),
        "scale_A": chip.amplification_A,
    }


def _tell_chip(summary: dict[str, Any], frame: Frame) -> None:
    frame.say(f"chip {summary['device']['file']}", markup=False)
    frame.say(f"output {summary['output']}, held at 0 V; known currents: {', '.join(summary['measured'])}")
    frame.say("ranges: " + ", ".join(f"{k} {a:.4g} to {b:.4g} V" for k, (a, b) in summary["ranges_V"].items()))
    frame.say(
        f"ReLU network {'-'.join(map(str, summary['layers']))} ({summary['weights']} parameters), "
        f"{1e9 * summary['scale_A']:.4g} nA per unit",
    )


def _netlist(device: UserDevice, volts: FloatArray, facts: dict[str, Any]) -> dict[str, Any]:
    names, out = device.terminals, device.terminals.index(device.output)
    currents, slopes = device.currents(volts), device.conductances(volts)
    return {
        "device": facts,
        "terminals": list(names),
        "output": device.output,
        "inputs": list(device.inputs),
        "ranges_V": {name: limits for name, limits in zip(names, device.limits_V.tolist(), strict=True)},
        "temperature_K": device.temperature_K,
        "transimpedance_ohm": device.transimpedance_ohm,
        "voltages_V": dict(zip(names, volts.tolist(), strict=True)),
        "currents_A": dict(zip(names, currents.tolist(), strict=True)),
        "output_slopes_S": dict(zip(names, slopes[out].tolist(), strict=True)),
    }


def _tell_netlist(summary: dict[str, Any], frame: Frame) -> None:
    frame.say(f"netlist {summary['device']['file']}, {summary['temperature_K']:g} K", markup=False)
    inputs = ", ".join(summary["inputs"]) or "those that the command is told"
    ohm = summary["transimpedance_ohm"]
    frame.say(f"output {summary['output']}, held at 0 V and read by {ohm:.4g} ohm; inputs {inputs}")
    frame.say("ranges: " + ", ".join(f"{k} {a:.4g} to {b:.4g} V" for k, (a, b) in summary["ranges_V"].items()))
    frame.say("at (V): " + ", ".join(f"{k} {v:.4g}" for k, v in summary["voltages_V"].items()))
    frame.say("currents (A): " + ", ".join(f"{k} {v:+.4g}" for k, v in summary["currents_A"].items()))
    frame.say("dI/dV of the output (S): " + ", ".join(f"{k} {v:+.4g}" for k, v in summary["output_slopes_S"].items()))


def _tell_network(s: dict[str, Any], frame: Frame) -> None:
    say = frame.say
    say(
        f"{s['device']['preset']}, seed {s['device']['seed']}: {s['sites']} acceptors, {s['donors']} donors, "
        f"{len(s['electrodes'])} electrodes, {s['temperature_K']:g} K (kT = {1e3 * s['thermal_energy_eV']:.3g} meV)"
    )
    say(
        f"mean spacing {1e9 * s['mean_spacing_m']:.3g} nm, localisation length {1e9 * s['localisation_m']:.3g} nm, "
        f"K/kT = {1e9 * s['coulomb_length_m']:.3g} nm, {s['hops']} hops"
    )
    say(
        f"mean occupation {s['occupation_mean']:.3f} ({s['holes']:.1f} holes), "
        f"{s['sites_mostly_empty']} sites mostly empty"
    )
    say("currents (nA): " + ", ".join(f"{k} {1e9 * v:+.3g}" for k, v in s["currents_A"].items()))
    if s["through_A"] and s["paths"]:
        best = s["paths"][0]
        say(
            f"largest path {'-'.join(map(str, best['via']))}: {100 * best['share']:.1f} % of "
            f"{1e9 * s['through_A']:.3g} nA through the sites; "
            + (
                f"{s['paths_for_half']} paths carry half"
                if s["paths_for_half"]
                else f"{MOST_PATHS} carry less than half"
            )
        )
