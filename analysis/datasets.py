"""Runs as `xarray.Dataset`s: named dimensions, units, provenance; stored as NetCDF."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from circuits.homodyne import netlist, readings
from circuits.homodyne.loop import HomodyneLoop
from circuits.signals.transient import Transient
from inmateria.errors import InputError
from inmateria.versions import versions

_WAVES = {
    "transimpedance_V": ("tia", "V", "output of the transimpedance amplifier"),
    "output_V": ("y", "V", "normalised output"),
    "loss_V": ("loss", "V", "gated loss"),
    "baseline_V": ("baseline", "V", "baseline"),
    "gain_log": ("gainlog", "1", "logarithm of the output gain"),
    "target_V": ("target", "V", "target output"),
    "gate": ("gate", "1", "gate of the lock-ins"),
}
"""Node, unit and long name of what is saved under a name of its own."""


def loop_dataset(loop: HomodyneLoop, run: Transient, **attrs: Any) -> xr.Dataset:
    """Waveforms of a closed (or opened) loop with their units.

    Returns
    -------
    Dataset
        Over ``time``: ``control_V`` and ``lockin_V`` (``control``), ``terminal_V`` and ``current_A`` (``terminal``),
        ``transimpedance_V``, ``output_V`` (normalised), ``loss_V``, ``baseline_V``, ``gain_log``, ``target_V``,
        ``gate``. Attributes: versions, deck hash, settings given as `attrs`.
    """
    names = list(loop.device.terminals)
    controls = [names[k] for k in loop.trained]
    poles = loop.filter_poles
    lockin = np.stack([run[f"v(m{k}_{poles})"] for k in range(len(controls))], axis=1)
    terminal = np.stack([run[f"v({node})"] for node in netlist.nodes(loop)], axis=1)

    controls_V = readings.controls_V(loop, run)
    data = {
        "control_V": (("time", "control"), controls_V, {"units": "V", "long_name": "control voltage"}),
        "lockin_V": (("time", "control"), lockin, {"units": "V", "long_name": "low-passed mixer output"}),
        "terminal_V": (("time", "terminal"), terminal, {"units": "V", "long_name": "electrode voltage"}),
        "current_A": (("time", "terminal"), run.device_A, {"units": "A", "long_name": "current into the electrode"}),
        **{
            name: ("time", run[f"v({node})"], {"units": units, "long_name": text})
            for name, (node, units, text) in _WAVES.items()
        },
    }
    provenance = {f"version_{k}": v for k, v in versions().items()}
    return xr.Dataset(
        data,
        coords={"time": ("time", run.time_s, {"units": "s"}), "control": controls, "terminal": names},
        attrs={
            **provenance,
            "deck_sha256": hashlib.sha256(run.deck.encode()).hexdigest(),
            "transimpedance_ohm": loop.stage.transimpedance_ohm,
            "frequencies_Hz": list(loop.dither.frequencies_Hz),
            "amplitudes_V": list(loop.dither.amplitudes_V),
            "complete": int(run.complete),
            **attrs,
        },
    )


def recorded_run(dataset: xr.Dataset, loop: HomodyneLoop, deck: str = "") -> Transient:
    """The run whose waveforms `loop_dataset` made: what `loop` saves, without statistics and messages."""
    waves = {node: dataset[name].values for name, (node, _, _) in _WAVES.items()}
    waves |= {f"w{k}": values for k, values in enumerate(dataset["control_V"].values.T)}
    waves |= {f"m{k}_{loop.filter_poles}": values for k, values in enumerate(dataset["lockin_V"].values.T)}
    waves |= dict(zip(netlist.nodes(loop), dataset["terminal_V"].values.T, strict=True))
    values = {f"v({node})".lower(): np.ascontiguousarray(wave) for node, wave in waves.items()}
    complete = bool(dataset.attrs["complete"])
    return Transient(dataset["time"].values, values, dataset["current_A"].values, complete, {}, (), deck)


def save_dataset(dataset: xr.Dataset, path: Path) -> None:
    """Write a dataset as NetCDF-4.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    encoding = {name: {"zlib": True, "complevel": 1} for name in dataset.data_vars}
    try:
        dataset.to_netcdf(path, engine="h5netcdf", encoding=encoding)
    except OSError as error:
        raise InputError(
            "out", str(path), f"cannot be written ({error})", "choose a folder you may write to"
        ) from error
