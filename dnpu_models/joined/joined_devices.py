"""Devices side by side, read at the one node where their outputs meet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnpu_models.interface.device import (
    SteppableKernel,
    Trainable,
    follow_path,
    has_exact_slopes,
    is_random,
    known_terminals,
    lacking,
)
from dnpu_models.interface.limits import within_limits
from dnpu_models.joined import kernel as words
from inmateria.checks import FloatArray
from inmateria.errors import InputError


@dataclass(frozen=True, eq=False)
class JoinedDevices:
    """Several devices of one kind as one device: by Kirchhoff's law the common output carries the sum of theirs.

        I_out = sum over d of I_d(V_out, V_d1, V_d2, ...)

    It has the common output and every other electrode of each device, so D devices of n electrodes have D (n - 1)
    controls. Nothing stands between them but the node, which an amplifier holds at virtual ground: no device feels
    another one.

    Parameters
    ----------
    devices : sequence of Device
        With as many terminals each, exact `conductances` and a `kernel`.
    output : int
        Terminal of each that is joined; its current must be known.

    Attributes
    ----------
    terminals : tuple of str
        ``out``, then device by device its other electrodes: ``d0e1``, ``d0e2``, ..., ``d1e1``, ...
    limits_V : ndarray, shape (n_terminals, 2)
        Lowest and highest voltage, V; of the output what all devices allow.

    Raises
    ------
    InputError
        For no device, other numbers of terminals, no exact slopes or kernel, or an output that is none.
    """

    devices: Sequence[Trainable]
    output: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "devices", tuple(self.devices))
        counts = {len(device.terminals) for device in self.devices}
        if len(counts) != 1:
            raise InputError("devices", sorted(counts), "are no devices with as many terminals each", "give such")
        for device in self.devices:
            if not has_exact_slopes(device) or "kernel" in lacking(device):
                problem = "has no exact slopes or no kernel, so that it cannot be joined to others"
                raise InputError("devices", type(device).__name__, problem, "join mean fields, chips or functions")
            if self.output not in known_terminals(device):
                raise InputError("output", self.output, "is no terminal whose current is known", "take another one")

    @property
    def _width(self) -> int:
        return len(self.devices[0].terminals)

    @property
    def _electrodes(self) -> list[int]:
        """Terminals of a device but the output."""
        return [k for k in range(self._width) if k != self.output]

    def _places(self, number: int) -> NDArray[np.intp]:
        """Where the terminals of device `number` stand among all, (n_terminals of one,)."""
        found = np.zeros(self._width, dtype=np.intp)
        found[self._electrodes] = 1 + number * (self._width - 1) + np.arange(self._width - 1)
        return found

    def everywhere(self, terminals: Sequence[int]) -> tuple[int, ...]:
        """The same terminals of every device, device by device, as terminals of the whole."""
        return tuple(int(self._places(d)[k]) for d in range(len(self.devices)) for k in terminals)

    @property
    def terminals(self) -> tuple[str, ...]:
        """Names of the terminals."""
        own = [f"d{d}{device.terminals[k]}" for d, device in enumerate(self.devices) for k in self._electrodes]
        return ("out", *own)

    @property
    def limits_V(self) -> FloatArray:
        """Lowest and highest voltage of each terminal, V, (n_terminals, 2)."""
        limits = np.tile([-np.inf, np.inf], (1 + len(self.devices) * (self._width - 1), 1))
        for d, device in enumerate(self.devices):
            low, high = np.asarray(device.limits_V, dtype=float).T
            place = self._places(d)
            limits[place] = np.stack([np.maximum(limits[place, 0], low), np.minimum(limits[place, 1], high)], axis=-1)
        return limits

    @property
    def measured(self) -> tuple[int, ...]:
        """Terminals whose current is known, by those of the devices."""
        known = {int(self._places(d)[k]) for d, device in enumerate(self.devices) for k in known_terminals(device)}
        return tuple(sorted(known))

    @property
    def random(self) -> bool:
        """Whether any kernel carries noise."""
        return any(is_random(device) for device in self.devices)

    @property
    def transimpedance_ohm(self) -> float:
        """Of the amplifier that reads the output: the first device's."""
        return float(getattr(self.devices[0], "transimpedance_ohm", 1e7))

    def currents(self, voltages: Any) -> FloatArray:
        """Currents (A, into the terminals) at voltages (V), both (..., n_terminals).

        Raises
        ------
        InputError
            For voltages of another shape, or beyond the limits; and what the devices raise.
        """
        return self._summed(voltages, lambda device, volts: device.currents(volts))

    def follow(self, voltages: Any) -> FloatArray:
        """Currents along a path of neighbouring settings, both (n, n_terminals); errors as `currents`."""
        return self._summed(voltages, follow_path)

    def _summed(self, voltages: Any, ask: Callable[[Trainable, FloatArray], FloatArray]) -> FloatArray:
        volts = within_limits(voltages, self.terminals, self.limits_V)
        total = np.zeros(volts.shape)
        for d, device in enumerate(self.devices):
            place = self._places(d)
            total[..., place] += ask(device, volts[..., place])
        return total

    def conductances(self, voltages: Any) -> FloatArray:
        """dI_j/dV_k, S, (..., n_terminals, n_terminals): each device's own, added where outputs meet."""
        volts = within_limits(voltages, self.terminals, self.limits_V)
        total = np.zeros((*volts.shape, volts.shape[-1]))
        for d, device in enumerate(self.devices):
            place = self._places(d)
            total[..., place[:, None], place] += device.conductances(volts[..., place])
        return total

    def kernel(self, voltages: Any, *, seed: int = 0) -> SteppableKernel:
        """Compiled form, settled at `voltages` (V, (n_terminals,)); each device draws numbers of its own.

        Raises
        ------
        InputError
            If the devices are of different kinds; and as `currents`.
        """
        volts = within_limits(voltages, self.terminals, self.limits_V)
        count = len(self.devices)
        kernels = [
            device.kernel(volts[self._places(d)], seed=seed * count + d) for d, device in enumerate(self.devices)
        ]
        first = kernels[0]
        if len({(k.c_functions, k.evaluate, k.advance) for k in kernels}) > 1:
            kinds = ", ".join(dict.fromkeys(type(device).__name__ for device in self.devices))
            raise InputError("devices", kinds, "are of different kinds, so one kernel cannot hold them", "join alike")
        params, state = words.packed(kernels, self.output)
        evaluate, advance = words.functions(first.evaluate, first.advance)
        many = None
        if first.many is not None:
            many = (f"{words.__name__}:c_many({first.many[0]})", f"{words.__name__}:c_many({first.many[1]})")
        conductances = np.zeros((len(volts), len(volts)))
        for d, kernel in enumerate(kernels):
            place = self._places(d)
            conductances[place[:, None], place] += kernel.conductances_S
        return SteppableKernel(
            evaluate,
            advance,
            params,
            state,
            conductances,
            first.wrapped(words.__name__, "c_evaluate", "c_advance"),
            many,
        )
