"""A device inside an ngspice transient: its terminals become external current sources with compiled values.

The currents are fed back explicitly (ngspice tells node voltages only after a point is accepted), which is stable
only while the device conductance times the resistance that drives it is small. That holds for a DNPU driven from low
impedance into a virtual ground; it is checked when the co-simulation is built, and refused above a limit, from which on
`circuits.ngspice.implicit` couples the device by its tangent.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numba.core.serialize import dumps as numba_dumps

from circuits.signals.sources import Drive
from circuits.signals.transient import Transient
from dnpu_models.interface.device import SteppableKernel
from inmateria.checks import FloatArray
from inmateria.errors import InputError

LOOP_GAIN_LIMIT = 0.1
"""Largest G R for which an explicit feedback is accepted; at G R = 10 ngspice was 8 % off in trials."""


@dataclass(frozen=True, eq=False)
class CoSimulation:
    """One device coupled to the nodes of a circuit.

    Parameters
    ----------
    kernel : SteppableKernel
        The compiled device.
    nodes : sequence of str
        Circuit node of each terminal.
    start_V : ndarray
        Terminal voltages at time 0.
    drive : Drive
        Known part of the terminal voltages.
    source_ohm : float or sequence of float
        Resistance that drives each terminal, for the check of the loop gain.

    Raises
    ------
    InputError
        If the numbers of terminals differ, or the loop gain G R is above `LOOP_GAIN_LIMIT`.
    """

    kernel: SteppableKernel
    nodes: Sequence[str]
    start_V: FloatArray
    drive: Drive = field(default_factory=Drive)
    source_ohm: float | Sequence[float] = 0.0

    def __post_init__(self) -> None:
        count = len(self.nodes)
        if len(self.start_V) != count or self.kernel.conductances_S.shape != (count, count):
            problem = f"{self.kernel.conductances_S.shape[0]} terminals want a node each"
            raise InputError("nodes", list(self.nodes), problem, "check it")
        gain = self.loop_gain
        if not gain <= LOOP_GAIN_LIMIT:
            problem = f"the loop gain G R is {gain:.3g}, above {LOOP_GAIN_LIMIT}: explicit feedback would be unstable"
            fix = "take implicit_cosimulation, or drive the device from a lower resistance"
            raise InputError("source_ohm", self.source_ohm, problem, fix)

    @property
    def loop_gain(self) -> float:
        """Largest row sum of |G| R: the fraction of a voltage error fed back in one step."""
        resistance = np.broadcast_to(np.asarray(self.source_ohm, dtype=float), (len(self.nodes),))
        return float(np.max(resistance * np.abs(self.kernel.conductances_S).sum(axis=1)))

    def cards(self) -> str:
        """The external sources, one a terminal: nothing may follow the word, ngspice 38-40 crash on it."""
        return "\n".join(f"Idevice{k} {node} 0 external" for k, node in enumerate(self.nodes))

    def told(self, run: Transient) -> Transient:
        """A run as it came: its `device_A` are the terminals' currents."""
        return run

    def write(self, folder: Path, min_step_s: float) -> None:
        """Store what the worker needs in `folder`."""
        np.savez(
            folder / "device.npz",
            params=self.kernel.params,
            state=self.kernel.state,
            drive=self.drive.pack(),
            start=np.asarray(self.start_V, dtype=float),
            min_step=min_step_s,
        )
        description = {"evaluate": _reference(self.kernel.evaluate), "advance": _reference(self.kernel.advance)}
        description["c_functions"] = self.kernel.c_functions
        (folder / "device.pickle").write_bytes(pickle.dumps(description))


def _reference(function: Any) -> Any:
    """``module:name`` where the worker can import it, else a pickle of the function itself."""
    python = getattr(function, "py_func", function)
    module = python.__module__
    if module not in ("__main__", "__mp_main__") and "<locals>" not in python.__qualname__:
        return f"{module}:{python.__qualname__}"
    return numba_dumps(function)
