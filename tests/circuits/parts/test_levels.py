"""The loop with real parts: it reads the same gradient, and what their offsets add is known before the run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from circuits.homodyne import readings
from circuits.homodyne.engines import Ngspice, Twin
from circuits.homodyne.figures import constants_of
from circuits.homodyne.loop import HomodyneLoop
from circuits.homodyne.offsets import offset_bias
from circuits.ngspice.engine import Engine
from circuits.parts.levels import loop_fields, parts_at
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from learning.bench.bench import default_bench
from learning.homodyne.experiment import Experiment, build_loop
from learning.homodyne.settings import HgeSettings
from learning.homodyne.training import as_measured
from netlists.reader import load_part

AMPLITUDE_V = 0.02
NO_OFFSETS = {
    "mixer": {"offset": 0.0, "xos": 0.0, "yos": 0.0, "yfeed": 0.0}, "lowpass": {"vos": 0.0, "ibias": 0.0},
    "integrator": {"vos": 0.0, "ibias": 0.0, "ileak": 0.0},
}  # fmt: skip


def start() -> tuple[HomodyneLoop, FloatArray]:
    bench = default_bench(0)
    task = bench.task("XOR")
    controls = bench.random_controls(0.6, np.random.default_rng(5))
    return build_loop(Experiment(bench, task, HgeSettings()), controls, 1.0, bench.outputs_A(controls, task)), controls


def opened(mode: str, trimmed: dict[str, dict[str, float]] | None = None, level: str = "macro") -> HomodyneLoop:
    loop, controls = start()
    return replace(loop, **loop_fields(level, trimmed=trimmed)).opened(controls, AMPLITUDE_V, mode, 10.0)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def slopes(engine: Engine) -> dict[str, FloatArray]:
    """Slopes of the output, V/V: ideal, with real parts, and with their offsets trimmed away."""
    loops = {
        "ideal": opened("output", level="ideal"),
        "macro": opened("output"),
        "trimmed": opened("output", NO_OFFSETS),
    }
    return {name: readings.gradient(loop, Ngspice(engine).run(loop)) for name, loop in loops.items()}


def test_offsets_add_what_the_data_sheets_say(slopes: dict[str, FloatArray]) -> None:
    macro = opened("output")
    expected = offset_bias(macro, constants_of(macro)[0].heard_V)
    assert np.all(expected > 0.2 * np.abs(slopes["ideal"]).max())  # it is no small thing
    np.testing.assert_allclose(slopes["macro"] - slopes["trimmed"], expected, rtol=0.005)
    np.testing.assert_array_equal(offset_bias(opened("output", level="ideal")), 0.0)
    np.testing.assert_array_equal(offset_bias(opened("output", NO_OFFSETS)), 0.0)


def test_without_offsets_real_parts_read_the_ideal_gradient(slopes: dict[str, FloatArray]) -> None:
    ideal, real = slopes["ideal"], slopes["trimmed"]
    cosine = ideal @ real / np.linalg.norm(ideal) / np.linalg.norm(real)
    # Not all is offset: 3 mV of the transimpedance amplifier stand at the device, which has another slope there.
    assert cosine > 0.998
    assert np.linalg.norm(real) == pytest.approx(np.linalg.norm(ideal), rel=0.05)


def test_a_mean_that_feeds_through_is_an_offset(engine: Engine) -> None:
    bare = {**NO_OFFSETS, "mixer": {**NO_OFFSETS["mixer"], "xfeed": 0.0}}
    passing = {**NO_OFFSETS, "mixer": {**NO_OFFSETS["mixer"], "yos": 5e-3}}
    found = []
    for trimmed in (passing, bare):
        loop = opened("loss", trimmed)
        run = Ngspice(engine).run(loop)
        found.append(readings.gradient(loop, run))
    heard = float(np.mean(readings.window_means(loop, run.time_s, run["v(loss)"], 0)))
    expected = offset_bias(opened("loss", passing), heard)
    np.testing.assert_allclose(found[0] - found[1], expected, rtol=0.02)


def test_the_operator_sees_the_amplifiers_offset(engine: Engine) -> None:
    loop, _ = start()
    ideal, real = (
        as_measured(loop, Ngspice(engine)),
        as_measured(replace(loop, **loop_fields("macro")), Ngspice(engine)),
    )
    assert ideal.stage.baseline_V == pytest.approx(loop.stage.baseline_V, rel=0.05)
    assert abs(real.stage.baseline_V - ideal.stage.baseline_V) > 1e-3  # 3 mV, and what they do to the device


def test_multipliers_of_any_scale_are_the_same_circuit(engine: Engine) -> None:
    loop, controls = start()
    for mode in ("output", "loss"):
        read = [
            readings.gradient(scaled, Ngspice(engine).run(scaled))
            for scaled in (
                replace(loop, multiplier_V=scale).opened(controls, AMPLITUDE_V, mode, 10.0)  # type: ignore[arg-type]
                for scale in (1.0, 10.0)
            )
        ]
        np.testing.assert_allclose(read[1], read[0], rtol=1e-6, atol=1e-6 * np.abs(read[0]).max())


def test_levels_are_chosen_per_part() -> None:
    parts = parts_at("macro", mixer="transistor", lowpass="ideal")
    assert (parts["mixer"].level, parts["integrator"].level) == ("transistor", "macro")
    assert "lowpass" not in parts  # nothing takes the ideal one's place
    assert parts_at("ideal") == {}
    assert parts_at("transistor")["dither_sum"].level == "macro"  # there is none of transistors
    assert loop_fields("macro")["multiplier_V"] == 10.0
    assert loop_fields("macro", mixer="ideal")["multiplier_V"] == 1.0


def test_bad_levels() -> None:
    loop, _ = start()
    with pytest.raises(InputError, match="use one of: ideal, macro"):
        parts_at("makro")
    with pytest.raises(InputError, match="is no part of the loop"):
        parts_at("macro", trimmed={"mixers": {"offset": 0.0}})
    with pytest.raises(InputError, match="is unknown"):
        parts_at("macro", trimmed={"mixer": {"ofset": 0.0}})
    with pytest.raises(InputError, match="multiplier_V"):
        replace(loop, multiplier_V=0.0)
    with pytest.raises(InputError, match="open it first"):
        offset_bias(loop)
    with pytest.raises(InputError, match="no equation the twin knows"):
        Twin().run(replace(loop, parts={"mixer": load_part("mixer", "transistor")}))
