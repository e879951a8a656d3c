"""A device whose measured currents carry noise, and a noise source that needs no device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np

from dnpu_models.interface import memoryless
from dnpu_models.interface.device import InNetlists, Steppable, SteppableKernel, kernel_of
from dnpu_models.noise import kernel as noise_kernel
from dnpu_models.noise.spectrum import NoiseSpectrum
from inmateria.checks import FloatArray, count
from inmateria.errors import InputError


@dataclass(frozen=True, eq=False)
class NoisyDevice:
    """Another device with noise currents added where a circuit steps it through time.

    Terminals, limits, `currents`, `conductances` and whatever else the device offers are the device's own: averages,
    without noise. In a transient each noisy terminal carries an independent current of the same spectrum. Unless it is
    returned through a terminal of the device it comes from ground, so that the currents of one instant do not add up
    to zero: what was measured is the noise of one output and the amplifier behind it, not where it flows back.

    Parameters
    ----------
    device : Steppable
        The device beneath.
    spectrum : NoiseSpectrum
        One-sided density of each noise current.
    noisy : tuple of int, optional
        Terminals that carry noise; by default those whose current is known by measurement (`device.measured`).
    returned : int, optional
        Terminal through which the noise currents leave the device again; then Kirchhoff's law holds as without noise.

    Raises
    ------
    InputError
        For terminals that the device does not have, or that are named twice.
    """

    device: Steppable | InNetlists
    spectrum: NoiseSpectrum
    noisy: tuple[int, ...] | None = None
    returned: int | None = None
    random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        noisy = getattr(self.device, "measured", None) if self.noisy is None else self.noisy
        names = ", ".join(f"{k} ({name})" for k, name in enumerate(self.device.terminals))
        if noisy is None:
            raise InputError("noisy", None, "the device has no measured terminal", f"name terminals out of {names}")
        last = len(self.device.terminals) - 1
        chosen = tuple(count("noisy", k, 0, last) for k in noisy)
        named = chosen if self.returned is None else (*chosen, count("returned", self.returned, 0, last))
        if not chosen or len(set(named)) != len(named):
            raise InputError("noisy", named, "are no different terminals of the device", f"take some of {names}")
        object.__setattr__(self, "noisy", chosen)

    def __getattr__(self, name: str) -> Any:
        """Whatever else the device beneath offers."""
        if name.startswith("_") or name == "device":  # while it is being copied, or unpickled
            raise AttributeError(name)
        return getattr(self.device, name)

    @property
    def terminals(self) -> tuple[str, ...]:
        """Names of the terminals."""
        return self.device.terminals

    @property
    def limits_V(self) -> FloatArray:
        """Lowest and highest voltage of each terminal, V, (n_terminals, 2)."""
        return self.device.limits_V

    def currents(self, voltages: Any) -> FloatArray:
        """Mean currents (A, into the terminals): those of the device."""
        return self.device.currents(voltages)

    def noise_psd(self, voltages: Any, frequencies_Hz: Any) -> FloatArray:
        """One-sided spectral densities of the added currents and between them; the same at all voltages.

        Parameters
        ----------
        voltages : array_like
            Not used.
        frequencies_Hz : array_like, shape (n_frequencies,)
            Positive, Hz.

        Returns
        -------
        ndarray, shape (n_frequencies, n_terminals, n_terminals)
            A^2/Hz. Noise of the device beneath is not in it.
        """
        noisy = cast(tuple[int, ...], self.noisy)
        ways = np.zeros((len(self.terminals), len(noisy)))
        ways[list(noisy), range(len(noisy))] = 1.0
        if self.returned is not None:
            ways[self.returned] = -1.0
        return np.asarray(self.spectrum.generated_density(frequencies_Hz)[:, None, None] * (ways @ ways.T))

    def kernel(self, voltages: Any, *, seed: int = 0) -> SteppableKernel:
        """Compiled form for co-simulation, settled at `voltages` (V, (n_terminals,)); `seed` is that of the noise too.

        A transient starts at time 0, where the noise is in its stationary state. Its steps are all told to `advance`.
        Of a device that is a netlist, and stands in the circuit itself, the kernel is the noise alone.
        """
        beneath = OpenCircuit(self.terminals) if hasattr(self.device, "netlist") else self.device
        inner = kernel_of(beneath, voltages, seed=seed)
        returned = -1 if self.returned is None else int(self.returned)
        params, state = self.spectrum.pack(cast(tuple[int, ...], self.noisy), returned, seed)
        evaluate, advance = noise_kernel.with_noise(inner.evaluate, inner.advance)
        return SteppableKernel(
            evaluate,
            advance,
            np.concatenate([params, inner.params]),
            np.concatenate([state, inner.state]),
            inner.conductances_S,
            inner.wrapped(noise_kernel.__name__, "c_evaluate_with_noise", "c_advance_with_noise"),
        )


@dataclass(frozen=True)
class OpenCircuit:
    """Terminals that draw no current at any voltage: what a noise source is without its noise."""

    terminals: tuple[str, ...] = ("out",)
    limit_V: float = float("inf")

    @property
    def limits_V(self) -> FloatArray:
        """Lowest and highest voltage of each terminal, V, (n_terminals, 2)."""
        return np.tile([-self.limit_V, self.limit_V], (len(self.terminals), 1))

    def currents(self, voltages: Any) -> FloatArray:
        """Zero (A), in the shape of `voltages` (V)."""
        return np.zeros(np.shape(voltages))

    def conductances(self, voltages: Any) -> FloatArray:
        """Zero (S), (..., n_terminals, n_terminals)."""
        return np.zeros((*np.shape(voltages), len(self.terminals)))

    def kernel(self, voltages: Any, *, seed: int = 0) -> SteppableKernel:
        """Compiled form; `seed` is not needed."""
        terminals = len(self.terminals)
        return SteppableKernel(
            noise_kernel.open_evaluate,
            memoryless.advance,
            np.zeros(1),
            np.zeros(1),
            np.zeros((terminals, terminals)),
            (f"{noise_kernel.__name__}:c_open_evaluate", memoryless.C_ADVANCE),
        )


def noise_source(spectrum: NoiseSpectrum, terminals: tuple[str, ...] = ("out",)) -> NoisyDevice:
    """Independent noise currents of the same spectrum out of ground into nothing but the circuit, one at each terminal.

    Parameters
    ----------
    spectrum : NoiseSpectrum
    terminals : tuple of str
        Names.
    """
    return NoisyDevice(OpenCircuit(tuple(terminals)), spectrum, tuple(range(len(terminals))))
