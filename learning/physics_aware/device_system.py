"""A material device as a layer: nodes whose electrodes are driven and whose output current is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from inmateria.checks import FloatArray
from inmateria.errors import ConvergenceError, InputError
from learning.physics_aware.systems import checked_values, with_noise

_LARGEST_DRAW = 3.0  # of a component's error, in standard deviations: a part is tested before it is sold


@dataclass(frozen=True, eq=False)
class DeviceSystem:
    """Nodes of a material device, measured one after the other or each on a device of its own.

    A node is a device whose chosen electrodes are driven with the node's inputs; its output current, through a
    transimpedance amplifier, is the node's output:

        y_n = -R (1 + e_n) I_out(V_n (1 + d_n)) + noise

    with the errors d, e of the components around the device (0 unless `perturbed`). All other electrodes lie at 0 V.

    Parameters
    ----------
    devices : Device or sequence of Device
        One device for all nodes, or one for each.
    nodes : int
    output : int
        Terminal whose current is measured, held at 0 V.
    electrodes : sequence of int
        Terminals that are driven.
    transimpedance_ohm : float
        R; 1e8 gives 0.1 V per nA.
    noise_V : float
        Standard deviation of the noise at the output, V.
    range_share : float
        Share of the device's voltage ranges that is used, about their middles; the rest is room for component errors.
    drive_errors, gain_errors : ndarray, shape (nodes, electrodes) and (nodes,), optional
        d and e.

    Raises
    ------
    InputError
        For devices, terminals or numbers that do not fit.
    """

    devices: Any
    nodes: int
    output: int
    electrodes: Sequence[int]
    transimpedance_ohm: float = 1e8
    noise_V: float = 0.0
    range_share: float = 0.8
    drive_errors: Any = None
    gain_errors: Any = None

    def __post_init__(self) -> None:
        devices = (self.devices,) if hasattr(self.devices, "currents") else tuple(self.devices)
        if self.nodes < 1 or len(devices) not in (1, self.nodes):
            raise InputError("devices", len(devices), f"are not 1 or {self.nodes}, one a node", "give as many")
        terminals = len(devices[0].terminals)
        if any(len(device.terminals) != terminals for device in devices):
            raise InputError("devices", terminals, "differ in their terminals", "give devices of one kind")
        used = (self.output, *self.electrodes)
        if len(set(used)) != len(used) or not self.electrodes or not all(0 <= k < terminals for k in used):
            raise InputError("electrodes", used, f"are no different terminals of {terminals}", "choose others")
        if not 0 < self.range_share <= 1:
            raise InputError("range_share", self.range_share, "is no share", "give one above 0, up to 1")
        for name in ("transimpedance_ohm", "noise_V"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0):
                raise InputError(name, value, "is below 0 or no number", "change it")
        width = len(self.electrodes)
        drive = np.zeros((self.nodes, width)) if self.drive_errors is None else np.asarray(self.drive_errors, float)
        gain = np.zeros(self.nodes) if self.gain_errors is None else np.asarray(self.gain_errors, float)
        if drive.shape != (self.nodes, width) or gain.shape != (self.nodes,):
            raise InputError("drive_errors", (drive.shape, gain.shape), "do not fit the nodes", "one for each input")
        for name, value in (("devices", devices), ("drive_errors", drive), ("gain_errors", gain)):
            object.__setattr__(self, name, value)

    @property
    def inputs(self) -> int:
        """Driven electrodes of all nodes, node by node."""
        return self.nodes * len(self.electrodes)

    @property
    def outputs(self) -> int:
        """One a node."""
        return self.nodes

    @property
    def input_limits_V(self) -> tuple[FloatArray, FloatArray]:
        """The devices' ranges, less the room for component errors."""
        limits = np.stack([device.limits_V[list(self.electrodes)] for device in self.devices])
        limits = np.broadcast_to(limits, (self.nodes, len(self.electrodes), 2))
        middle, half = limits.mean(axis=-1), 0.5 * self.range_share * (limits[..., 1] - limits[..., 0])
        return (middle - half).ravel(), (middle + half).ravel()

    def perturbed(self, spread: float, seed: int) -> Self:
        """The same devices with other components around them: errors drawn with standard deviation `spread`."""
        rng = np.random.default_rng(seed)
        draw = [np.clip(rng.standard_normal(n), -_LARGEST_DRAW, _LARGEST_DRAW) for n in (self.inputs, self.nodes)]
        drive = spread * draw[0].reshape(self.nodes, len(self.electrodes))
        return replace(self, drive_errors=drive, gain_errors=spread * draw[1])

    def respond(self, values: FloatArray, rng: np.random.Generator | None = None) -> FloatArray:
        """Output voltages of the nodes, (batch, nodes).

        Raises
        ------
        InputError
            For values of another shape or outside the limits.
        """
        driven = self._driven(checked_values(self, values))
        currents = np.empty(driven.shape[:2])
        for which, device in enumerate(self.devices):
            part = slice(None) if len(self.devices) == 1 else slice(which, which + 1)
            currents[:, part] = _currents(device, driven[:, part])[..., self.output]
        return with_noise(-self.transimpedance_ohm * (1.0 + self.gain_errors) * currents, self.noise_V, rng)

    def vector_jacobian(self, values: FloatArray, cotangents: FloatArray) -> FloatArray:
        """c^T df/dV by the devices' conductances, (batch, inputs).

        Raises
        ------
        InputError
            If a device has no exact conductances.
        """
        driven = self._driven(checked_values(self, values))
        slopes = np.empty((*driven.shape[:2], len(self.electrodes)))
        for which, device in enumerate(self.devices):
            if not hasattr(device, "conductances"):
                raise InputError("devices", type(device).__name__, "has no exact conductances", "train in mode pat")
            part = slice(None) if len(self.devices) == 1 else slice(which, which + 1)
            slopes[:, part] = device.conductances(driven[:, part])[..., self.output, list(self.electrodes)]
        scale = -self.transimpedance_ohm * (1.0 + self.gain_errors) * np.asarray(cotangents, dtype=float)
        product: FloatArray = (scale[..., None] * slopes * (1.0 + self.drive_errors)).reshape(len(driven), -1)
        return product

    def _driven(self, values: FloatArray) -> FloatArray:
        """Voltages of all terminals, (batch, nodes, terminals)."""
        volts = np.zeros((len(values), self.nodes, len(self.devices[0].terminals)))
        given = values.reshape(len(values), self.nodes, len(self.electrodes))
        volts[..., list(self.electrodes)] = given * (1.0 + self.drive_errors)
        return volts


def _currents(device: Any, volts: FloatArray) -> FloatArray:
    """Currents at all settings; a sample that does not converge is NaN."""
    try:
        return np.asarray(device.currents(volts), dtype=float)
    except ConvergenceError:
        found = np.full(volts.shape, np.nan)
        for place in np.ndindex(volts.shape[:-1]):
            try:
                found[place] = device.currents(volts[place])
            except ConvergenceError:
                continue
        return found
