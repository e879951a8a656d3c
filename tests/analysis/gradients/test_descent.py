"""A loop whose own parts make it climb is told so before it runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from analysis.gradients.compare import compare
from analysis.gradients.descent import Descent, predict_descent
from analysis.gradients.path_check import loss_gradients
from circuits.homodyne.engines import Twin
from circuits.parts.levels import loop_fields
from learning.bench.bench import Bench
from learning.homodyne.experiment import Experiment, build_loop
from learning.homodyne.settings import HgeSettings
from learning.homodyne.start import choose_start
from learning.homodyne.training import as_measured

SEED = 11


def experiment(bench: Bench, offset_V: float, **given: Any) -> Experiment:
    parts = loop_fields("macro", trimmed={"mixer": {"offset": offset_V}})
    return Experiment(bench, bench.task("AND"), HgeSettings(**{"amplitude_V": 0.005, **parts, **given}))


def predicted(one: Experiment) -> Descent:
    found = predict_descent(one, "twin", np.random.default_rng(SEED))
    assert found is not None
    return found


@pytest.mark.parametrize("offset_V", [5e-3, -5e-3])
def test_what_is_predicted_is_what_the_loop_reads_there(small_bench: Bench, offset_V: float) -> None:
    """The twin's reading at the start, at the first dither."""
    one, without = experiment(small_bench, offset_V), experiment(small_bench, 0.0)
    start = choose_start(one, np.random.default_rng(SEED))
    read = []
    for each in (one, without):
        loop = as_measured(build_loop(each, start.controls_V, start.polarity, start.outputs_A), Twin())
        measured, exact, _ = loss_gradients(each, loop, start.controls_V, 0.005, Twin())
        read.append(np.asarray(measured))
        assert np.sign(predicted(each).cosines[0]) == np.sign(compare(measured, exact).cosine)  # descends or climbs
    added = predicted(one).bias_start - predicted(without).bias_start
    np.testing.assert_allclose(added, read[0] - read[1], rtol=0.01)
    np.testing.assert_allclose(predicted(one).bias_end, predicted(one).bias_start / 0.3)


def test_it_doubts_where_offsets_outweigh_the_slope(small_bench: Bench) -> None:
    assert predicted(experiment(small_bench, 0.0, amplitude_V=0.05)).doubts == ()
    cosines = []
    for sign in (1.0, -1.0):
        found = predicted(experiment(small_bench, sign * 0.4, dither_to=0.1))
        cosines.append(found.cosines[1])
        assert "offsets add" in found.doubts[-1]
        assert ("the loop climbs there" in found.doubts[-1]) == (found.cosines[1] <= 0)
        assert "at 0.5 mV of dither" in found.doubts[-1]
    assert min(cosines) < 0 < max(cosines)  # against the slope one way, along it the other


def test_each_control_counts_by_its_rate(small_bench: Bench) -> None:
    """Whether the loss falls is told by the readings of the controls that move: here those that offsets turn round."""
    offset_V = -3.7e-3
    plain = predicted(experiment(small_bench, offset_V))
    turned = plain.slope * (plain.slope + plain.bias_start) < 0
    assert np.any(turned)
    assert plain.cosines[0] > 0
    rates = tuple(np.where(turned, 1.0, 1e-4).tolist())
    one = experiment(small_bench, offset_V, rates=rates)
    found = predicted(one)
    assert found.cosines[0] < 0
    assert "the loop climbs there" in found.doubts[0]
    start = choose_start(one, np.random.default_rng(SEED))
    loop = as_measured(build_loop(one, start.controls_V, start.polarity, start.outputs_A), Twin())
    measured, exact, _ = loss_gradients(one, loop, start.controls_V, 0.005, Twin())
    assert np.asarray(measured) @ (np.array(rates) * np.asarray(exact)) < 0  # dE/dt > 0
    auto = predicted(experiment(small_bench, offset_V, rates="auto"))
    assert 0 < auto.rates.min() < auto.rates.max() <= 1


def test_ideal_parts_add_nothing(small_bench: Bench) -> None:
    assert predict_descent(Experiment(small_bench, small_bench.task("AND")), "twin", np.random.default_rng(0)) is None


def test_the_dither_of_real_parts_falls_less(small_bench: Bench) -> None:
    for parts, given, end in (({}, {}, 0.1), (None, {}, 0.3), (None, {"dither_to": 0.1}, 0.1),
                              (None, {"anneal_to": 0.5}, 0.5)):  # fmt: skip
        fields = loop_fields("macro") if parts is None else {}
        one = Experiment(small_bench, small_bench.task("AND"), HgeSettings(sequences=5, **fields, **given))  # type: ignore[arg-type]
        start = choose_start(one, np.random.default_rng(SEED))
        loop = build_loop(one, start.controls_V, 1.0, start.outputs_A)
        last = (loop.sequences + 0.5) * loop.sequence.period_s
        assert loop.envelope.at(np.array([last]))[0] == pytest.approx(end)
        assert loop.learning.at(np.array([last]))[0] == pytest.approx(given.get("anneal_to", 0.1))
