"""How long a gate stays: the moment at which it is lost against a closed form, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from circuits.homodyne.engines import Averaged, Ngspice
from circuits.homodyne.holding import drift_V_s
from circuits.ngspice.engine import Engine
from circuits.parts.levels import loop_fields
from learning.bench.bench import Bench
from learning.homodyne import holding
from learning.homodyne.experiment import Experiment, build_loop
from learning.homodyne.results import Attempt
from learning.homodyne.settings import HgeSettings
from learning.homodyne.start import Start
from learning.homodyne.training import judge
from learning.tasks.boolean import BooleanTask
from learning.tasks.library import named_task

from ...refused import refused
from ...toys import OneOutput

LEVELS_V = 0.1
SLOPE_S = 4e-8


class Tilted(OneOutput):
    """An OR whose lowest high output sinks below the low one as control 1 rises: outputs of a, b = +-0.1 V.

    I = SLOPE (a + b - 2 v1 [a > 0 and b < 0]); so at v1 = x the separation is SLOPE (0.2 V - 2 x).
    """

    kernel = None

    def __init__(self) -> None:
        super().__init__(lambda v: SLOPE_S * (v[..., 2] + v[..., 6] - 2 * v[..., 1] * self.mixed(v)))

    @staticmethod
    def mixed(volts: Any) -> Any:
        return (volts[..., 2] > 0.0) & (volts[..., 6] < 0.0)


def attempt_at(controls_V: Any, task: BooleanTask, device: Any = None, **settings: Any) -> tuple[Experiment, Attempt]:
    """An attempt that only stood at these controls."""
    from circuits.signals.transient import Transient

    experiment = Experiment(Bench(device or Tilted()), task, HgeSettings(**settings))
    loop = build_loop(experiment, np.asarray(controls_V), 1.0, np.arange(4) * 1e-9)
    time = np.array([0.0, loop.stop_s])
    waves = {name: np.zeros(2) for name in ("v(tia)", "v(y)", "v(baseline)", "v(gainlog)")}
    waves |= {f"v(w{k})": np.full(2, control) for k, control in enumerate(controls_V)}
    run = Transient(time, waves, np.zeros((2, 8)), True, {}, (), "")
    return experiment, judge(experiment, loop, run, Start(loop.start_V, 1.0, np.zeros(4), 0, None))


def or_task() -> BooleanTask:
    task = named_task("OR")
    assert isinstance(task, BooleanTask)
    return replace(task, swing_V=2 * LEVELS_V)


def settings_of(**figures: float) -> dict[str, Any]:
    known = {"rleak": 1e30, "vos": 0.0, "ctol": 0.0, **figures}
    return loop_fields("macro", trimmed={"integrator": known, "dither_sum": {"esum": 0.0, "offset": 0.0}})


def test_the_gate_is_lost_when_the_separation_has_drifted_away() -> None:
    """At v1 = x + rate t the separation is SLOPE (0.2 V - 2 v1), and the gate there to a margin of 0.2 of 0.4 V."""
    settings = settings_of(ibias=20e-9, c=1e-5)
    experiment, attempt = attempt_at([0.02, *[0.0] * 6], or_task(), **settings)
    rate = float(drift_V_s(attempt.loop)[0])
    assert rate == pytest.approx(2e-3, rel=0.01)
    found = holding.hold_learned(experiment, attempt)
    lost = (0.1 - 0.5 * 0.2 * 0.4 - 0.02) / rate
    assert not found.stays
    assert found.lasts_s == pytest.approx(lost, rel=0.01)
    assert found.separation_A[0] == pytest.approx(SLOPE_S * (0.2 - 0.04), rel=1e-3)
    # asked for more, it is lost sooner; not looked at for long enough, it stays
    stricter = holding.hold_learned(experiment, attempt, good=lambda score: score.separation_A >= 4e-9)
    assert stricter.lasts_s == pytest.approx((0.1 - 0.5 * 4e-9 / SLOPE_S - 0.02) / rate, rel=0.01)
    short = holding.hold_learned(experiment, attempt, longest_s=0.5 * lost)
    assert short.stays
    assert short.lasts_s == pytest.approx(0.5 * lost)
    # lost between the last two looks only, it does not stay
    late = holding.hold_learned(experiment, attempt, longest_s=1.005 * lost)
    assert not late.stays
    assert late.lasts_s == pytest.approx(lost, rel=0.01)


def test_what_was_not_learned_is_lost_at_once() -> None:
    experiment, attempt = attempt_at([0.2, *[0.0] * 6], or_task(), **settings_of())
    found = holding.hold_learned(experiment, attempt)
    assert found.lasts_s == 0.0
    assert not found.stays


def test_a_gate_that_is_lost_and_comes_back_is_lost() -> None:
    """Within 10 mV of one control it is gone: looks that follow the controls' way do not step over that."""

    class Notched(Tilted):
        @staticmethod
        def mixed(volts: Any) -> Any:
            return Tilted.mixed(volts) & (volts[..., 1] > 0.07) & (volts[..., 1] < 0.08)

    experiment, attempt = attempt_at([0.02, *[0.0] * 6], or_task(), Notched(), **settings_of(ibias=20e-9, c=1e-5))
    found = holding.hold_learned(experiment, attempt)
    rate = float(drift_V_s(attempt.loop)[0])
    assert found.lasts_s == pytest.approx(0.05 / rate, rel=0.01)


def test_ngspice_loses_it_at_the_same_time(engine: Engine) -> None:
    settings = settings_of(ibias=20e-9, c=1e-5, rleak=1e10)
    experiment, attempt = attempt_at([0.02, *[0.0] * 6], or_task(), **settings)
    predicted = holding.hold_learned(experiment, attempt)
    measured = holding.hold_learned(experiment, attempt, longest_s=100.0, engine=Ngspice(engine))
    assert measured.lasts_s == pytest.approx(predicted.lasts_s, rel=0.02)


def test_a_prediction_without_figures_and_a_measurement_without_ngspice_are_refused() -> None:
    experiment, attempt = attempt_at([0.02, *[0.0] * 6], or_task(), **loop_fields("transistor"))
    with refused("engine", "figures"):
        holding.hold_learned(experiment, attempt)
    with refused("engine", "averaged"):
        holding.hold_learned(experiment, attempt, engine=Averaged())
    with refused("longest_s"):
        holding.hold_learned(experiment, attempt, longest_s=0.0)
