"""How a loop learns and what it is built of: what a loop and a training's settings have in common, spelled once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from circuits.choices import LossName
from circuits.parts.chosen import check_chosen
from circuits.parts.levels import CHOPPER, LOOP_PARTS
from circuits.parts.losses import check_loss
from circuits.parts.temperature import NOMINAL_K
from inmateria.checks import count, positive
from inmateria.errors import InputError
from netlists.reader import Part

REAL_DITHER_END = 0.3
"""Least scale that the dither of a loop of real parts falls to, unless it is given; measured, see docs/decisions.md."""


def check_rates(rates: float | Sequence[float] | str, controls: int | None = None) -> None:
    """Refuse shares of the rate that are none, or not one for all or one for each of the controls.

    Raises
    ------
    InputError
        If so.
    """
    if isinstance(rates, str):
        raise InputError("rates", rates, "is no number", "give shares of the learning rate, above 0 and at most 1")
    shares = np.asarray(rates, dtype=float)
    if shares.ndim > 1 or shares.size == 0 or (controls is not None and shares.ndim == 1 and shares.size != controls):
        problem = f"{'the' if controls is None else controls} trained electrodes need one share, or one each"
        raise InputError("rates", rates, problem, "give as many")
    for share in shares.ravel().tolist():
        if not 0 < share <= 1:
            raise InputError("rates", share, "must lie in (0, 1]", "give shares of the learning rate")


@dataclass(frozen=True, eq=False, kw_only=True)
class LoopOptions:
    """What is chosen of a loop whatever device, task and start it gets.

    Parameters
    ----------
    sequences : int
        Passes through all patterns while learning.
    learning_rate : float
        V per (V/V): step of a control per sequence for a unit mean slope of the loss, where the limiter is linear.
    step_V : float
        Largest step of a control per sequence, V.
    anneal_to : float
        Scale of the integrators' rate, and with it of the largest steps, in the last sequence; it falls linearly
        from 1.
    dither_to : float, optional
        Scale of the dither in the last sequence, as `anneal_to`; see `dither_end` for what it is by default.
    parts : mapping of str to Part
        Parts that take the place of the ideal ones, by name; see `circuits.parts.levels.parts_at`. An op-amp's name,
        such as ``opamp_tl072``, takes that op-amp's place inside every part that uses it.
    multiplier_V : float
        Scale of the multipliers and amplitude of the references: 10 V suits an AD633. Ideal ones do not care.
    loss : {"squared", "absolute", "hinge"}
        What the loop descends; `circuits.parts.losses` has the equations.
    chopped : bool
        Whether the dither changes its sign from window to window, and a switch behind each mixer changes it back:
        offsets and feedthroughs of the multipliers then cancel over two passes. See `HomodyneLoop.chop`.
    leads : bool
        Whether a lead (`device_leads`: R, capacitance to ground and to the next electrode) stands before each
        electrode. Its R times the device's conductances must stay below `cosimulation.LOOP_GAIN_LIMIT`.
    component_errors : mapping of str to float
        What components that are not all alike deviate by, e.g. ``{"mix3.offset": 6.5e-3, "w0.rate": 0.01}``; see
        `circuits.parts.component_errors`.
    electronics_noise : bool
        Whether the electronics have their own noise, white and 1/f, of every resistor and transistor as ngspice's
        ``.noise`` knows it. In ngspice only; the other engines leave it out.
    temperature_K : float
        Of the electronics, K: ``.temp`` of the deck. What temperature does to resistors, capacitors and offsets is in
        `component_errors`.

    Raises
    ------
    InputError
        For a value out of its range, an unknown loss, or a part that the loop would not use.
    """

    sequences: int = 30
    learning_rate: float = 0.1
    step_V: float = 0.05
    anneal_to: float = 0.1
    dither_to: float | None = None
    parts: Mapping[str, Part] = field(default_factory=dict)
    multiplier_V: float = 1.0
    loss: LossName = "squared"
    chopped: bool = False
    leads: bool = False
    component_errors: Mapping[str, float] = field(default_factory=dict)
    electronics_noise: bool = False
    temperature_K: float = NOMINAL_K

    def __post_init__(self) -> None:
        for name, unit in {
            "learning_rate": "V per (V/V)",
            "step_V": "V",
            "multiplier_V": "V",
            "temperature_K": "K",
        }.items():
            positive(name, getattr(self, name), unit)
        count("sequences", self.sequences)
        for name in ("anneal_to", "dither_to"):
            share = getattr(self, name)
            if share is not None and not 0 < share <= 1:
                raise InputError(name, share, "must lie in (0, 1]", "change it")
        check_loss(self.loss)
        check_chosen(self.parts, LOOP_PARTS)
        switch = self.parts.get(CHOPPER)
        if switch is not None and switch.level == "user" and not self.chopped:
            fix = "give chopped=True, or leave it out"
            raise InputError(f"parts[{CHOPPER!r}]", switch.subckt, "stands in a chopped loop only", fix)

    @property
    def dither_end(self) -> float:
        """Scale of the dither in the last sequence: `dither_to`, or by default `anneal_to`.

        With real parts by default no less than `REAL_DITHER_END`: what their offsets add to a slope is 2/alpha of them.
        """
        if self.dither_to is not None:
            return self.dither_to
        return max(self.anneal_to, REAL_DITHER_END) if self.parts else self.anneal_to

    @property
    def loop_options(self) -> dict[str, Any]:
        """These options alone, by name: what a training's settings hand on to its loops."""
        return {one.name: getattr(self, one.name) for one in fields(LoopOptions)}
