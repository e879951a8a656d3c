"""A circuit that takes a waveform for each sample and answers with one; a batch goes through it in one transient.

    values of sample s at an input:   x_0 x_1 ... x_N-1, each held for `hold` periods; then `settle` periods at rest
    read at an output:                where value k ends, and `delay` periods later

Samples stand back to back: an ngspice process is started, a deck loaded and a run prepared once for a batch, not once
for a sample. The rest between two samples lets the circuit forget; `memory` measures what it keeps. Several copies of
the circuit may stand side by side in the deck, each with its share of the batch: what ngspice does once a time-point
then serves as many samples.
Inputs are compiled sources (`waveform_kernel`); they move in straight lines from one period to the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from circuits.ngspice.cosimulation import CoSimulation
from circuits.ngspice.engine import Engine, tolerances
from circuits.ngspice.one_thread import ONE_THREAD
from circuits.ngspice.pool import EnginePool
from circuits.physics_aware import waveform_kernel
from circuits.signals.transient import Transient
from dnpu_models.interface import memoryless
from dnpu_models.interface.device import SteppableKernel
from inmateria.checks import FloatArray, count, finite, positive
from inmateria.errors import ConvergenceError, EngineCrashError, EngineHangError, InputError, TooManyPointsError

OPTIONS = tolerances(vntol_V=1e-6, abstol_A=1e-9).replace("reltol=1e-9", "reltol=1e-4")
"""Half a millivolt is enough for what is sampled with millivolts of noise, and takes 2.9 Newton iterations a point
instead of 3.4 (at reltol=1e-6); the maximum step alone sets the points."""

_COPY = "copy_of_circuit"
_OF_THE_DECK = (".ic", ".nodeset", ".global")
"""Cards that cannot stand in a subcircuit, or tie its copies together."""

_SAMPLE_FAILURES = (ConvergenceError, EngineCrashError, EngineHangError, TooManyPointsError)


@dataclass(frozen=True)
class FailedSample:
    """A sample that the circuit gave no answer to.

    Attributes
    ----------
    index : int
        Its place in the batch.
    error : Exception
        What ngspice said.
    """

    index: int
    error: Exception


def _of_copy(nodes: Sequence[str], copy: int, copies: int) -> list[str]:
    """Nodes of one copy of the circuit in the deck."""
    return list(nodes) if copies == 1 else [f"{node}_of_copy{copy}" for node in nodes]


@dataclass(frozen=True, eq=False)
class WaveformCircuit:
    """A circuit fed with waveforms and sampled.

    Parameters
    ----------
    netlist : str
        Cards of the circuit, subcircuits included, without title, sources at its inputs, analysis and options.
    inputs, outputs : tuple of str
        Nodes that are driven (by ideal voltage sources) and nodes that are read.
    values : int
        Values of one sample at each input.
    rate_Hz : float
        Periods per second.
    hold : int
        Periods that a value lasts. With many and ``values=1`` the inputs are voltages, not waveforms.
    settle : int
        Periods at rest behind each sample.
    delay : int
        Periods from the end of a value to its reading; less than `settle`.
    rest_V : float
        The inputs between samples, V.
    steps : int
        Time steps per period.
    copies : int
        Copies of the circuit in one transient, at most. With more than one the netlist becomes the body of a
        subcircuit: nothing in it may be meant for the whole deck (``.ic``, ``.nodeset``, ``.global``).
    options : str
        The ``.options`` line.

    Raises
    ------
    InputError
        For numbers that describe no such stream.
    """

    netlist: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    values: int
    rate_Hz: float = 1e6
    hold: int = 1
    settle: int = 40
    delay: int = 1
    rest_V: float = 0.0
    steps: int = 1
    copies: int = 1
    options: str = field(default=OPTIONS, repr=False)

    def __post_init__(self) -> None:
        for name, least in (("values", 1), ("hold", 1), ("settle", 1), ("delay", 0), ("steps", 1), ("copies", 1)):
            count(name, getattr(self, name), least)
        for name in ("inputs", "outputs"):
            nodes = getattr(self, name)
            if isinstance(nodes, str) or not nodes or len({node.lower() for node in nodes}) != len(nodes):
                raise InputError(name, nodes, "are not different nodes", "give their names in a tuple")
        positive("rate_Hz", self.rate_Hz, "periods per second")
        finite("rest_V", self.rest_V, "V")
        whole = [line for line in self.netlist.splitlines() if line.strip().lower().startswith(_OF_THE_DECK)]
        if self.copies > 1 and whole:
            raise InputError("netlist", whole[0], "cannot stand in a subcircuit", "leave it out, or take copies=1")
        if self.delay >= self.settle:
            raise InputError("delay", self.delay, f"reads behind the {self.settle} periods of rest", "settle longer")

    # -- time ------------------------------------------------------------------------------------------------------

    @property
    def width(self) -> int:
        """Numbers that one sample gives to the circuit."""
        return len(self.inputs) * self.values

    @property
    def answers(self) -> int:
        """Numbers that the circuit answers with."""
        return len(self.outputs) * self.values

    @property
    def slot(self) -> int:
        """Periods of one sample with its rest."""
        return self.values * self.hold + self.settle

    @property
    def points(self) -> int:
        """Time-points of one sample with its rest."""
        return self.slot * self.steps

    @cached_property
    def readings(self) -> np.ndarray[Any, np.dtype[np.int_]]:
        """Periods from a sample's first value to each reading."""
        return np.arange(self.values) * self.hold + self.hold - 1 + self.delay

    def side_by_side(self, samples: int) -> tuple[int, int]:
        """Copies of the circuit for a batch of so many samples, and samples for each of them (the last maybe fewer)."""
        if not samples:
            return 1, 0
        each = -(-samples // min(self.copies, samples))
        return -(-samples // each), each

    def timeline(self, batch: FloatArray) -> FloatArray:
        """Voltages of all inputs, one row a period, V: a rest as long as between samples, then the samples.

        Parameters
        ----------
        batch : ndarray, shape (samples, inputs * values)
            Each row holds the values of the first input, then those of the second, V.

        Returns
        -------
        ndarray, shape (periods, copies * inputs)
            The first samples of the batch go through the first copy, one after the other.
        """
        copies, each = self.side_by_side(len(batch))
        width = len(self.inputs)
        table = np.full((copies * each, self.slot, width), self.rest_V)
        shaped = batch.reshape(len(batch), width, self.values).transpose(0, 2, 1)
        table[: len(batch), : self.values * self.hold] = np.repeat(shaped, self.hold, axis=1)
        streams = table.reshape(copies, each * self.slot, width).transpose(1, 0, 2).reshape(-1, copies * width)
        lead = np.full((self.settle, copies * width), self.rest_V)
        return np.concatenate([lead, streams, lead[:1]])

    # -- circuit ---------------------------------------------------------------------------------------------------

    def deck(self, copies: int = 1) -> str:
        """The netlist: title, options, circuit, and what drives its inputs."""
        body, nodes = self.netlist.strip(), [list(self.inputs)]
        if copies > 1:
            pins = list(dict.fromkeys([*self.inputs, *self.outputs]))
            body = f".subckt {_COPY} {' '.join(pins)}\n{body}\n.ends {_COPY}"
            for k in range(copies):
                body += f"\nX{_COPY}{k} {' '.join(_of_copy(pins, k, copies))} {_COPY}"
            nodes = [_of_copy(self.inputs, k, copies) for k in range(copies)]
        drive = [
            f"Rstream{k} stream{k} 0 1\nEstream{k} {node} 0 stream{k} 0 1"
            for k, node in enumerate(node for copy in nodes for node in copy)
        ]
        return "\n".join(["samples back to back", self.options, body, *drive])

    def standalone(self, batch: FloatArray) -> str:
        """A whole deck for plain ``ngspice -b``: the same waveforms as PWL sources; it writes ``outputs.txt``."""
        table = replace(self, copies=1).timeline(self.checked(batch))
        time_s = np.arange(len(table)) / self.rate_Hz
        sources = []
        for k, node in enumerate(self.inputs):
            points = "\n".join(f"+ {t!r} {v!r}" for t, v in zip(time_s.tolist(), table[:, k].tolist(), strict=True))
            sources.append(f"Vstream{k} {node} 0 PWL(\n{points})")
        step = 1.0 / (self.rate_Hz * self.steps)
        stop = float(time_s[-1])
        read = " ".join(f"v({node})" for node in self.outputs)
        return "\n".join(
            ["samples back to back", self.options, self.netlist.strip(), *sources, f".save {read}",
             ONE_THREAD, f".tran {step!r} {stop!r} 0 {step!r} uic",
             ".control", "run", f"wrdata outputs.txt {read}", "quit 0", ".endc", ".end", ""]
        )  # fmt: skip

    def cosimulation(self, batch: FloatArray) -> CoSimulation:
        """The compiled sources of a batch's waveforms."""
        table = self.timeline(batch)
        count = table.shape[1]
        kernel = SteppableKernel(
            waveform_kernel.evaluate,
            memoryless.advance,
            np.concatenate([[1.0 / self.rate_Hz], np.ravel(table)]),
            np.zeros(1),
            np.zeros((count, count)),
            (f"{waveform_kernel.__name__}:c_evaluate", memoryless.C_ADVANCE),
        )
        return CoSimulation(kernel, [f"stream{k}" for k in range(count)], np.zeros(count), source_ohm=1.0)

    def stream(self, batch: FloatArray, engine: Engine) -> FloatArray:
        """Answers of a batch in one transient.

        Parameters
        ----------
        batch : ndarray, shape (samples, inputs * values)
            V.
        engine : Engine

        Returns
        -------
        ndarray, shape (samples, outputs * values)
            V: the readings of the first output, then those of the second.

        Raises
        ------
        InputError
            For another shape, or values that are no numbers.
        NetlistError, ConvergenceError, EngineError, Interrupted
            As `Engine.transient`; ``time_s`` tells when, `sample_at` which sample that is.
        """
        batch = self.checked(batch)
        if not len(batch):
            return np.empty((0, self.answers))
        return self.read(self.transient(batch, engine), len(batch))

    def transient(self, batch: FloatArray, engine: Engine) -> Transient:
        """The waveforms of `stream`: all outputs of all copies over time, from the rest before the first sample on."""
        batch = self.checked(batch)
        copies, each = self.side_by_side(len(batch))
        periods = self.settle + each * self.slot
        stop = periods / self.rate_Hz
        return engine.transient(
            self.deck(copies),
            stop_s=stop,
            max_step_s=1.0 / (self.rate_Hz * self.steps),
            save=[f"v({node})" for k in range(copies) for node in _of_copy(self.outputs, k, copies)],
            cosimulation=self.cosimulation(batch),
            grids_s=((0.0, stop, periods * self.steps),),
        )

    def read(self, run: Transient, samples: int) -> FloatArray:
        """Answers in the waveforms of a stream of so many samples: (samples, outputs * values), V."""
        copies, each = self.side_by_side(samples)
        starts = self.settle + self.slot * np.arange(each)
        when = (starts[:, None] + self.readings) / self.rate_Hz
        read = [
            np.concatenate([np.interp(when, run.time_s, run[f"v({node})"]) for node in nodes], axis=1)
            for nodes in (_of_copy(self.outputs, k, copies) for k in range(copies))
        ]
        return np.concatenate(read)[:samples]

    def sample_at(self, time_s: float) -> int:
        """Which of its samples each copy is fed with at a time (s) of the transient; 0 before the first."""
        return max(math.floor((time_s * self.rate_Hz - self.settle) / self.slot * (1 + 1e-12)), 0)

    def respond(
        self, batch: FloatArray, engines: Engine | EnginePool, *, skip: bool = False
    ) -> tuple[FloatArray, list[FailedSample]]:
        """Answers of a batch, in as many transients as there are engines.

        Parameters
        ----------
        batch : ndarray, shape (samples, inputs * values)
            V.
        engines : Engine or EnginePool
        skip : bool
            Leave a sample out at which ngspice fails: its answer is NaN, the others are run again without it.

        Returns
        -------
        answers : ndarray, shape (samples, outputs * values)
            V.
        failed : list of FailedSample
            Empty unless `skip`.

        Raises
        ------
        InputError, NetlistError, EngineError, Interrupted
            As `stream`.
        ConvergenceError
            If the circuit does not converge and `skip` is false; its field names the sample.
        """
        batch = self.checked(batch)
        if isinstance(engines, Engine):
            return self._piece(batch, 0, engines, skip)
        bounds = np.linspace(0, len(batch), min(len(engines), max(len(batch), 1)) + 1).astype(int)
        pieces = [(int(a), int(b)) for a, b in pairwise(bounds)]
        outcomes = engines.map(lambda engine, piece: self._piece(batch[slice(*piece)], piece[0], engine, skip), pieces)
        found = [outcome.result() for outcome in outcomes]
        return np.concatenate([answers for answers, _ in found]), [f for _, failed in found for f in failed]

    def _piece(
        self, batch: FloatArray, first: int, engine: Engine, skip: bool
    ) -> tuple[FloatArray, list[FailedSample]]:
        """`respond` for samples from number `first` on, on one engine."""
        try:
            return self.stream(batch, engine), []
        except _SAMPLE_FAILURES as error:
            if self.side_by_side(len(batch))[0] > 1:  # of which copy the sample was, one circuit alone tells
                return replace(self, copies=1)._piece(batch, first, engine, skip)
            if not len(batch) or error.time_s is None:
                raise
            k = min(self.sample_at(error.time_s), len(batch) - 1)
            if not skip:
                error.field = f"sample {first + k}"
                error.args = (f"{error.field} = {error.value!r}: {error.problem}; {error.fix}",)
                raise
            failed = FailedSample(first + k, error)
        before, failed_before = self._piece(batch[:k], first, engine, skip)
        after, failed_after = self._piece(batch[k + 1 :], first + k + 1, engine, skip)
        gap = np.full((1, self.answers), np.nan)
        return np.concatenate([before, gap, after]), [*failed_before, failed, *failed_after]

    def memory(self, engine: Engine, low_V: float, high_V: float) -> float:
        """What a sample leaves to the next one: the largest change of an answer, V, found by a probe.

        The second of two samples is the same, at half way; the first one's inputs are all `low_V`, half way, or all
        `high_V`. Waveforms may be found that leave somewhat more.
        """
        probe = np.full((3, 2, self.width), 0.5 * (low_V + high_V))
        probe[:, 0] = np.array([low_V, 0.5 * (low_V + high_V), high_V])[:, None]
        alone = replace(self, copies=1)
        seconds = np.stack([alone.stream(pair, engine)[1] for pair in probe])
        return float(np.max(np.ptp(seconds, axis=0)))

    def checked(self, batch: FloatArray) -> FloatArray:
        """A batch as an array.

        Raises
        ------
        InputError
            For another shape, or values that are no numbers.
        """
        batch = np.asarray(batch, dtype=float)
        if batch.ndim != 2 or batch.shape[1] != self.width:
            raise InputError("batch", batch.shape, f"is not samples of {self.width} values", "give one row a sample")
        wrong = ~np.isfinite(batch).all(axis=1)
        if wrong.any():
            k = int(np.argmax(wrong))
            raise InputError(f"batch[{k}]", "NaN or infinite", "is no waveform", "give finite numbers")
        return batch
