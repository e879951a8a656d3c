"""The closed loop against a deck written by hand from the documents alone: textbook elements in plain ``ngspice -b``.

Nothing of the product is in that deck: its device is one B source, its lock-ins are B sources and RC poles, ngspice's
own step control integrates it (gear, reltol 1e-6). The two shared no line when they were found to agree.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit
from numpy.typing import NDArray

from circuits.homodyne.engines import Ngspice
from circuits.homodyne.loop import HomodyneLoop, OutputStage
from circuits.signals.patterns import PatternSequence
from dnpu_models.interface.device import SteppableKernel
from lockin.plan import DitherPlan

Array = NDArray[np.float64]
SCALE_A = 50e-9
FREQUENCIES_HZ, PEAKS_V = (110.0, 130.0), (0.03, 0.02)
WINDOW_S, RAMP_S, EDGE_S = 0.1, 0.005, 5e-5
LEVELS_V, TARGETS_V = (0.0, 0.3), (1.0, -1.0)
START_V, SEQUENCES, RATE, STEP_V, ANNEAL_TO = (-0.25, 0.3), 3, 0.1, 0.05, 0.1
BASELINE_V, GAIN_LOG, STAGE_RATE = -0.1, 1.2, 0.5


@njit
def _evaluate(t, v, params, state, out):  # type: ignore[no-untyped-def]
    i = params[0] * (np.tanh((v[1] - v[0]) / 0.3) + 0.6 * np.tanh((0.5 * v[1] + v[2] - v[0]) / 0.2))
    out[0] = -i
    out[1] = i
    out[2] = 0.0


@njit
def _advance(dt, v, params, state):  # type: ignore[no-untyped-def]
    pass


class TwoTanh:
    """I = 50 nA (tanh(a / 0.3 V) + 0.6 tanh((0.5 a + b) / 0.2 V)) out of the first of three terminals."""

    terminals = ("out", "a", "b")
    limits_V = np.array([[-0.01, 0.01], [-1.0, 1.0], [-1.0, 1.0]])

    def currents(self, voltages: Any) -> Array:
        o, a, b = np.moveaxis(np.asarray(voltages), -1, 0)
        i = SCALE_A * (np.tanh((a - o) / 0.3) + 0.6 * np.tanh((0.5 * a + b - o) / 0.2))
        return np.stack([-i, i, 0 * i], axis=-1)

    def conductances(self, voltages: Any) -> Array:
        steps = 1e-30j * np.eye(3)
        return np.stack([self.currents(np.asarray(voltages) + step).imag / 1e-30 for step in steps], axis=-1)

    def kernel(self, voltages: Any, *, seed: int = 0) -> SteppableKernel:
        return SteppableKernel(_evaluate, _advance, np.array([SCALE_A]), np.zeros(1), self.conductances(voltages))


def _pwl(points: list[tuple[float, float]]) -> str:
    return "PWL(\n" + "".join(f"+ {t:.12g} {v:.12g}\n" for t, v in points) + "+ )"


def _deck_by_hand() -> tuple[str, float]:
    """The deck and its length, s."""
    slot = 2 * RAMP_S + WINDOW_S + EDGE_S  # ramp, wait as long, window and half an edge on either side
    period = 2 * slot
    stop = (SEQUENCES + 2) * period
    gate, level, target = [(0.0, 0.0)], [(0.0, LEVELS_V[1])], [(0.0, TARGETS_V[1])]
    for slots in range(2 * (SEQUENCES + 2)):
        start, pattern = slots * slot, slots % 2
        level += [(start, level[-1][1]), (start + RAMP_S, LEVELS_V[pattern])]
        target += [(start, target[-1][1]), (start + RAMP_S, TARGETS_V[pattern])]
        opens = start + 2 * RAMP_S  # the edge before the window; its middle is the window's start
        closes = opens + WINDOW_S
        gate += [(opens, 0.0), (opens + EDGE_S, 1.0), (closes, 1.0), (closes + EDGE_S, 0.0)]
    envelope = [(0.0, 0.0)]
    for k, scale in enumerate([*np.linspace(1.0, ANNEAL_TO, SEQUENCES), 0.0]):
        envelope += [((k + 1) * period, envelope[-1][1]), ((k + 1) * period + RAMP_S, float(scale))]
    listening = 2 * WINDOW_S
    cards = [
        "a learning loop of textbook elements",
        ".options reltol=1e-6 abstol=1e-15 vntol=1e-9 trtol=1 chgtol=1e-18 method=gear itl4=50",
        f"Vgate gate 0 {_pwl(gate)}",
        f"Vlevel level 0 {_pwl(level)}",
        f"Vtarget target 0 {_pwl(target)}",
        f"Venvelope envelope 0 {_pwl(envelope)}",
        f"Btia tia 0 V=1e7*{SCALE_A}*(tanh(V(ela)/0.3)+0.6*tanh((0.5*V(ela)+V(elb))/0.2))",
        "Bu u 0 V=V(tia)-V(baseline)",
        f"Cbaseline baseline 0 1 ic={BASELINE_V}",
        f"Bbaseline 0 baseline I={STAGE_RATE / listening}*V(gate)*V(u)",
        f"Cgain gain 0 1 ic={GAIN_LOG}",
        f"Bgain 0 gain I={STAGE_RATE / listening}*V(gate)*(1-V(y)*V(y))",
        "By y 0 V=exp(V(gain))*V(u)",
        "Bloss loss 0 V=V(gate)*(V(y)-V(target))*(V(y)-V(target))",
    ]
    for k, name in enumerate("ab"):
        slope = 2 / PEAKS_V[k] * RATE * period / listening
        on_input = "+V(level)" if name == "a" else ""
        cards += [
            f"Vref{k} ref{k} 0 SIN(0 1 {FREQUENCIES_HZ[k]})",
            f"Bel{k} el{name} 0 V=V(w{k}){on_input}+{PEAKS_V[k]}*V(envelope)*V(ref{k})",
            f"Bm{k} m{k} 0 V=V(loss)*V(ref{k})",
            f"Rlow{k} m{k} low{k} 10k",
            f"Clow{k} low{k} 0 {0.1 * WINDOW_S / 1e4:.12g} ic=0",
            f"Elow{k} buffered{k} 0 low{k} 0 1",
            f"Rmean{k} buffered{k} mean{k} 100k",
            f"Cmean{k} mean{k} 0 {period / 1e5:.12g} ic=0",
            f"Bstep{k} step{k} 0 V={STEP_V}*tanh({slope / STEP_V:.12g}*V(mean{k}))",
            f"Cw{k} w{k} 0 1 ic={START_V[k]}",
            f"Bw{k} 0 w{k} I=-{1 / period:.12g}*V(envelope)*V(step{k})",
        ]
    kept = "v(w0) v(w1) v(baseline) v(gain)"
    cards += [
        ".control", f"tran 1e-5 {stop:.12g} 0 1e-5 uic", "set wr_singlescale", f"linearize {kept}",
        f"wrdata hand.txt {kept}", "quit 0", ".endc", ".end", "",
    ]  # fmt: skip
    return "\n".join(cards), stop


def test_the_loop_is_the_one_written_by_hand(tmp_path: Path) -> None:
    text, stop = _deck_by_hand()
    (tmp_path / "hand.cir").write_text(text, encoding="utf-8")
    done = subprocess.run(["ngspice", "-b", "hand.cir"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    time, *by_hand = np.loadtxt(tmp_path / "hand.txt").T

    loop = HomodyneLoop(
        TwoTanh(), 0, (1,), (1, 2), np.array(START_V), DitherPlan(FREQUENCIES_HZ, PEAKS_V),
        PatternSequence(tuple((v,) for v in LEVELS_V), TARGETS_V, WINDOW_S, RAMP_S, RAMP_S, EDGE_S),
        sequences=SEQUENCES, learning_rate=RATE, step_V=STEP_V, anneal_to=ANNEAL_TO, points_per_cycle=96,
        stage=OutputStage(
            baseline_V=BASELINE_V, gain_log=GAIN_LOG, baseline_rate=STAGE_RATE, gain_rate=STAGE_RATE
        ),
    )  # fmt: skip
    with Ngspice() as engine:
        run = engine.run(loop)
    assert loop.stop_s == pytest.approx(stop, rel=1e-12)
    at = np.linspace(0.01, 0.999 * stop, 4000)
    for vector, expected in zip(("v(w0)", "v(w1)", "v(baseline)", "v(gainlog)"), by_hand, strict=True):
        span = np.ptp(expected)
        assert span > 0.01  # the controls learn, the stage follows
        off = np.interp(at, run.time_s, run[vector]) - np.interp(at, time, expected)
        assert np.max(np.abs(off)) < 5e-4 * span, vector  # measured: 1e-4 to 3e-4 of the span
