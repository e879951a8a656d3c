"""Several devices wired together: what one gives out moves an electrode of the next; all other voltages are trained.

    parameter theta_k ---------------------------- electrode
    parameter theta_k --+
                        dither_sum --------------- electrode with a signal
    input x_j  or  z_d -+
    output electrode -- transimpedance -- difference: (I_d - centre_d)/scale_d -- dither_sum: s_d, with offset theta_k
                                    limiter: z_d = swing tanh(s_d), a signal for later devices --+
                                    limiter: tanh(s_d) V, an output of the network --------------+

I_d flows out of device d into its transimpedance amplifier. Every electrode but the output has a parameter, those with
signals too: D devices of n electrodes make D (n - 1), device by device; then follow the offsets of the D stages, which
take the devices' backgrounds away. The limiters keep signals within an electrode's range, and the cost within a few
volts, whatever the devices do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from circuits.multiplexed import device_network_kernel as words
from circuits.ngspice.cosimulation import CoSimulation
from circuits.parts.placed_device import PlacedDevice, coupled, placed_device
from dnpu_models.interface.device import InNetlists, Steppable, SteppableKernel, kernel_of
from inmateria.checks import FloatArray, array, positive
from inmateria.errors import InputError

if TYPE_CHECKING:
    from circuits.multiplexed.loop import MultiplexedLoop
    from circuits.parts.assembly import Assembly

LOOKS = 200
"""Random settings of each device from which `measured_network` takes its centre and scale."""
MARGIN = 0.005
"""Share of an electrode's range that parameters keep from its ends: rails are not quite hard."""


@dataclass(frozen=True)
class Wire:
    """A signal at an electrode: of an input of the network, or of an earlier device.

    Parameters
    ----------
    device, terminal : int
        Where it goes.
    input : int, optional
        Which input of the network.
    source : int, optional
        Which earlier device.

    Raises
    ------
    InputError
        Unless exactly one of `input` and `source` is given.
    """

    device: int
    terminal: int
    input: int | None = None
    source: int | None = None

    def __post_init__(self) -> None:
        if (self.input is None) == (self.source is None):
            raise InputError("wire", (self.input, self.source), "has not one origin", "give input or source")


@dataclass(frozen=True, eq=False)
class DeviceNetwork:
    """Devices in the order of the signals, for `MultiplexedLoop`.

    Bound the loop's steps (`MultiplexedLoop.largest`): what moves fast overshoots its rail, and a measured chip knows
    nothing of voltages outside its ranges.

    Parameters
    ----------
    devices : tuple of Device
        All of one kind, with as many terminals: each with a `kernel`, or each a netlist.
    wires : tuple of Wire
        At most one an electrode.
    output : int
        Terminal that is read, the same of each device.
    centres_A, scales_A : array_like, shape (devices,)
        What is subtracted from each device's output current and what it is divided by.
    read : tuple of int
        Devices whose tanh(s_d) are the network's outputs; by default the last.
    swing_V : float
        Of the signals between devices, V.
    transimpedance_ohm : float

    Raises
    ------
    InputError
        For wires from or to what is not there, or backwards; devices of different kinds; numbers out of range.
    """

    devices: tuple[Steppable | InNetlists, ...]
    wires: tuple[Wire, ...]
    output: int
    centres_A: FloatArray
    scales_A: FloatArray
    read: tuple[int, ...] = ()
    swing_V: float = 0.2
    transimpedance_ohm: float = 1e7

    def __post_init__(self) -> None:
        count = len(self.devices)
        if count == 0 or len({len(device.terminals) for device in self.devices}) != 1:
            raise InputError("devices", count, "have not all as many terminals", "give devices of one kind")
        if not 0 <= self.output < self.terminals:
            raise InputError("output", self.output, f"is no terminal of 0..{self.terminals - 1}", "change it")
        for name in ("centres_A", "scales_A"):
            object.__setattr__(self, name, array(name, getattr(self, name), (count,)))
        if not np.all(self.scales_A > 0):
            raise InputError("scales_A", self.scales_A.tolist(), "must be positive", "change it")
        positive("swing_V", self.swing_V, "V")
        positive("transimpedance_ohm", self.transimpedance_ohm, "ohm")
        object.__setattr__(self, "read", tuple(self.read) or (count - 1,))
        if not all(0 <= d < count for d in self.read) or len(set(self.read)) != len(self.read):
            raise InputError("read", self.read, f"are no different devices of 0..{count - 1}", "change it")
        taken = set()
        for wire in self.wires:
            place = (wire.device, wire.terminal)
            if not (0 <= wire.device < count and 0 <= wire.terminal < self.terminals) or wire.terminal == self.output:
                raise InputError("wires", wire, "goes to no electrode that can be driven", "change it")
            if place in taken:
                raise InputError("wires", wire, "goes to an electrode that has a signal already", "change it")
            if wire.source is not None and not 0 <= wire.source < wire.device:
                raise InputError("wires", wire, "comes from no earlier device", "order the devices by the signals")
            taken.add(place)
        used = sorted({wire.input for wire in self.wires if wire.input is not None})
        if used != list(range(len(used))):
            raise InputError("wires", used, "leave out inputs", "number the inputs 0, 1, ...")

    # -- shape -----------------------------------------------------------------------------------------------------

    @property
    def terminals(self) -> int:
        """Terminals of each device."""
        return len(self.devices[0].terminals)

    @property
    def electrodes(self) -> tuple[int, ...]:
        """Terminals that have a parameter, of each device."""
        return tuple(m for m in range(self.terminals) if m != self.output)

    @property
    def parameters(self) -> int:
        """One an electrode, one a stage."""
        return len(self.devices) * self.terminals

    @property
    def inputs(self) -> int:
        """Inputs of the network."""
        return len({wire.input for wire in self.wires if wire.input is not None})

    @property
    def output_nodes(self) -> tuple[str, ...]:
        """Nodes of the limiters behind the devices that are read."""
        return tuple(f"out{d}" for d in self.read)

    def number(self, device: int, terminal: int) -> int:
        """Number of an electrode's parameter."""
        return device * len(self.electrodes) + self.electrodes.index(terminal)

    def limits_V(self, levels_V: FloatArray) -> FloatArray:
        """Lowest and highest voltage of each parameter with its perturbation, for these input levels, (P, 2)."""
        whole = np.concatenate([np.asarray(device.limits_V)[list(self.electrodes)] for device in self.devices])
        limits = whole + MARGIN * (whole[:, 1] - whole[:, 0])[:, None] * np.array([1.0, -1.0])
        for wire in self.wires:
            low, high = -self.swing_V, self.swing_V
            if wire.input is not None:
                low, high = float(np.min(levels_V[:, wire.input])), float(np.max(levels_V[:, wire.input]))
            limits[self.number(wire.device, wire.terminal)] -= min(low, 0.0), max(high, 0.0)
        return np.concatenate([limits, np.tile([-np.inf, np.inf], (len(self.devices), 1))])

    # -- statics ---------------------------------------------------------------------------------------------------

    def static_outputs(self, parameters: Any, inputs_V: Any) -> FloatArray:
        """Outputs without perturbation, from the devices' static currents.

        Parameters
        ----------
        parameters : array_like, shape (P,)
        inputs_V : array_like, shape (patterns, inputs)

        Returns
        -------
        ndarray, shape (patterns, outputs)
            V, within +-1 V; near 0 one scale makes 1 V.
        """
        theta, inputs = np.asarray(parameters, dtype=float), np.asarray(inputs_V, dtype=float)
        signals: list[FloatArray] = []
        for d, device in enumerate(self.devices):
            volts = np.zeros((len(inputs), self.terminals))
            volts[:, list(self.electrodes)] = theta[d * len(self.electrodes) : (d + 1) * len(self.electrodes)]
            for wire in self.wires:
                if wire.device == d:
                    volts[:, wire.terminal] += (
                        inputs[:, wire.input] if wire.input is not None
                        else self.swing_V * np.tanh(signals[wire.source or 0])
                    )  # fmt: skip
            current = -np.asarray(device.currents(volts))[:, self.output]
            signals.append((current - self.centres_A[d]) / self.scales_A[d] + theta[d - len(self.devices)])
        return np.tanh(np.stack([signals[d] for d in self.read], axis=1))

    # -- circuit ---------------------------------------------------------------------------------------------------

    def nodes(self, parameters: Sequence[str]) -> list[str]:
        """Circuit node of every terminal, device by device; electrodes without signal are the parameters' own nodes."""
        wired = {(wire.device, wire.terminal) for wire in self.wires}
        return [
            f"el{d}_{m}" if m == self.output or (d, m) in wired else parameters[self.number(d, m)]
            for d in range(len(self.devices))
            for m in range(self.terminals)
        ]

    def place(self, assembly: Assembly, parameters: Sequence[str], inputs: Sequence[str], multiplier_V: float) -> None:
        """Put the electronics between the devices into a circuit; the devices themselves come by `join`.

        Parameters
        ----------
        assembly : Assembly
        parameters, inputs : sequence of str
            Nodes of the perturbed parameters and of the inputs.
        multiplier_V : float
            Not used: there are no multipliers.
        """
        sources = {wire.source for wire in self.wires if wire.source is not None}
        for d, centre in enumerate(self.centres_A):
            assembly.add("transimpedance", f"tia{d}", {"in": f"el{d}_{self.output}", "out": f"tia{d}"},
                         rf=self.transimpedance_ohm)  # fmt: skip
            assembly.source(f"centre{d}", float(centre) * self.transimpedance_ohm)
            gain = 1.0 / (float(self.scales_A[d]) * self.transimpedance_ohm)
            assembly.add("difference", f"stage{d}", {"a": f"tia{d}", "b": f"centre{d}", "out": f"b{d}"}, gain=gain)
            offset = parameters[d - len(self.devices)]
            nodes = {"bias": offset, "signal": f"b{d}", "ref": "0", "scale": "0", "out": f"s{d}"}
            assembly.add("dither_sum", f"offset{d}", nodes)
            if d in sources:
                nodes = {"in": f"s{d}", "out": f"z{d}"}
                assembly.add("limiter", f"limit{d}", nodes, gain=self.swing_V, vlimit=self.swing_V)
        for wire in self.wires:
            nodes = {
                "bias": parameters[self.number(wire.device, wire.terminal)],
                "signal": inputs[wire.input] if wire.input is not None else f"z{wire.source}",
                "ref": "0", "scale": "0", "out": f"el{wire.device}_{wire.terminal}",
            }  # fmt: skip
            assembly.add("dither_sum", f"join{wire.device}_{wire.terminal}", nodes)
        for d in self.read:
            assembly.add("limiter", f"out{d}", {"in": f"s{d}", "out": f"out{d}"})

    def placed(self, loop: MultiplexedLoop) -> list[PlacedDevice]:
        """The devices that are netlists; errors as `placed_device`."""
        nodes, width = self.nodes(loop.perturbed), self.terminals
        found = [
            placed_device(device, nodes[d * width : (d + 1) * width], volts, loop.temperature_K, f"device{d}")
            for d, (device, volts) in enumerate(zip(self.devices, self._start_V(loop), strict=True))
        ]
        return [device for device in found if device is not None]

    def _start_V(self, loop: MultiplexedLoop) -> FloatArray:
        """Terminal voltages at time 0 but for signals, (devices, terminals)."""
        count = len(self.devices)
        volts = np.zeros((count, self.terminals))
        volts[:, list(self.electrodes)] = loop.start_V[:-count].reshape(count, -1)
        return volts

    def join(self, sources: CoSimulation, loop: MultiplexedLoop, seed: int = 0) -> CoSimulation:
        """The devices beside the sources from outside; of netlists, which stand in the circuit, the noise alone.

        Each device draws numbers of its own, which `seed` decides.

        Raises
        ------
        InputError
            If the devices are not all of one kind.
        """
        netlists = sum(hasattr(device, "netlist") for device in self.devices)
        if netlists not in (0, len(self.devices)):
            raise InputError("devices", netlists, "of them are netlists, the rest not", "give devices of one kind")
        if not any(coupled(device) for device in self.devices):
            return sources
        start, count, width = loop.start_V, len(self.devices), self.terminals
        volts = self._start_V(loop)
        kernels = [
            kernel_of(device, v, seed=seed * count + d)
            for d, (device, v) in enumerate(zip(self.devices, volts, strict=True))
        ]
        first = kernels[0]
        if len({(k.c_functions, k.evaluate, k.advance) for k in kernels}) > 1:
            raise InputError("devices", count, "are of different kinds", "give devices of one kind")
        inner, code = sources.kernel, loop.perturbation
        terms = np.full((count, width, words.TERMINAL_WORDS), -1.0)
        terms[:, list(self.electrodes), words.PARAMETER] = np.arange(count * (width - 1)).reshape(count, -1)
        for wire in self.wires:
            term = terms[wire.device, wire.terminal]
            if wire.input is not None:
                term[words.INPUT] = list(sources.nodes).index(f"x{wire.input}")
            else:
                d = int(wire.source or 0)
                term[words.FROM] = d * width + self.output
                term[words.CENTRE_A :] = self.centres_A[d], 1.0 / self.scales_A[d], self.swing_V
        head = words.HEADER + terms.size + words.DEVICE_WORDS * count
        outside = np.concatenate([volts.ravel(), start[-count:]])
        arrays = np.zeros((words.ARRAYS, len(outside)))
        arrays[[words.ADDED, words.ANCHOR]] = outside
        state = [inner.state, np.zeros(words.TIMES), arrays.ravel(), np.zeros(width)]
        own = [np.append(k.state, float(width)) for k in kernels]
        p_at = head + len(inner.params) + np.cumsum([0, *(len(k.params) for k in kernels)])
        s_at = sum(map(len, state)) + np.cumsum([0, *map(len, own)])
        table = [[p_at[d], len(k.params), s_at[d], len(k.state)] for d, k in enumerate(kernels)]
        tone = 0.0 if loop.held else min(code.dither(loop.step_s).frequencies_Hz)
        codes = self.parameters if loop.held else 0
        header = [len(inner.params), len(inner.state), len(sources.nodes), codes, tone, code.peak, loop.multiplier_V,
                  count, width, 0.25 * loop.max_step_s, head]  # fmt: skip
        conductances = np.zeros((len(sources.nodes) + len(outside),) * 2)
        for d, k in enumerate(kernels):
            at = len(sources.nodes) + d * width
            conductances[at : at + width, at : at + width] = k.conductances_S
        evaluate, advance = words.network_functions(first.evaluate, first.advance)
        kernel = SteppableKernel(
            evaluate,
            advance,
            np.concatenate([header, terms.ravel(), np.ravel(table), inner.params, *(k.params for k in kernels)]),
            np.concatenate([*state, *own]),
            conductances,
            first.wrapped(words.__name__, "c_evaluate_network", "c_advance_network"),
        )
        nodes = [*sources.nodes, *self.nodes(loop.perturbed), *loop.perturbed[-count:]]
        ohm = [1.0] * len(sources.nodes) + [0.0] * len(outside)
        return CoSimulation(kernel, nodes, np.append(np.zeros(len(sources.nodes)), outside), source_ohm=ohm)


def layered_wires(sizes: Sequence[int], inputs: int, ports: Sequence[int]) -> tuple[Wire, ...]:
    """Wires of devices in layers: the first layer's see all inputs, later ones as many of the layer before as fit.

    Parameters
    ----------
    sizes : sequence of int
        Devices of each layer.
    inputs : int
        Inputs of the network.
    ports : sequence of int
        Terminals of each device that take signals.

    Returns
    -------
    tuple of Wire
        Device i of a layer takes the devices i n, i n + 1, ... of the layer before at its n ports, round and round.

    Raises
    ------
    InputError
        If there are fewer ports than inputs, or a layer has no device.
    """
    if inputs > len(ports) or inputs < 1:
        raise InputError("ports", tuple(ports), f"do not take {inputs} inputs", "name as many terminals")
    if not sizes or min(sizes) < 1:
        raise InputError("sizes", tuple(sizes), "has a layer without devices", "give counts")
    wires = [Wire(d, ports[j], input=j) for d in range(sizes[0]) for j in range(inputs)]
    first = 0
    for before, here in pairwise(sizes):
        count = min(before, len(ports))
        wires += [
            Wire(first + before + i, ports[n], source=first + (i * count + n) % before)
            for i in range(here)
            for n in range(count)
        ]
        first += before
    return tuple(wires)


def measured_network(
    devices: Sequence[Steppable | InNetlists],
    wires: Sequence[Wire],
    output: int,
    *,
    share: float = 0.2,
    seed: int = 0,
    **fields: Any,
) -> DeviceNetwork:
    """A network whose stages are set as an operator sets them: by each device's output at random settings.

    The centre is the mean, the scale a share of the standard deviation.

    Parameters
    ----------
    devices, wires, output
        As `DeviceNetwork`.
    share : float
        Scale as a share of the standard deviation: inputs move a device's output less than its settings do.
    seed : int
        Of the settings.
    **fields
        Further fields of `DeviceNetwork`.

    Raises
    ------
    InputError
        As `DeviceNetwork`.
    """
    centres, scales = [], []
    for d, device in enumerate(devices):
        low, high = np.asarray(device.limits_V).T
        rng = np.random.default_rng([seed, d])
        volts = 0.5 * (low + high) + 0.3 * (high - low) * rng.uniform(-1.0, 1.0, (LOOKS, len(low)))
        volts[:, output] = 0.0
        current = -np.asarray(device.currents(volts))[:, output]
        centres.append(float(np.mean(current)))
        scales.append(float(np.std(current)) * share)
    return DeviceNetwork(tuple(devices), tuple(wires), output, np.array(centres), np.array(scales), **fields)
