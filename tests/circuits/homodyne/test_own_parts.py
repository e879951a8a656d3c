"""Own op-amps, multipliers and switches in the loop: each run ends, without a step too many, near the ideal one's end.

`tests/own_parts` has them as a vendor or a user brings them: Boyle op-amps of JFETs or bipolar transistors with POLY
sources, amplifiers built of these, a Gilbert cell, analogue switches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from circuits.homodyne.engines import Ngspice
from circuits.homodyne.loop import HomodyneLoop, OutputStage
from circuits.ngspice.engine import Engine
from circuits.parts.levels import loop_fields
from circuits.signals.patterns import PatternSequence
from circuits.signals.transient import Transient
from lockin.plan import DitherPlan
from netlists.reader import Part, load_part
from netlists.user_part import user_part

from ...toys import Linear

OWN = Path(__file__).resolve().parents[2] / "own_parts"
RAILS = {"vcc": 15.0, "vee": -15.0}


def own_parts(*names: str) -> dict[str, Part]:
    """Parts of `tests/own_parts` by the place they take; "switches" is a mixer, too."""
    made = {
        "transimpedance": lambda like: user_part(OWN / "my_tia.lib", like, subckt="mytia", supplies=RAILS),
        "lowpass": lambda like: user_part(OWN / "my_lowpass.lib", like, subckt="mylp", supplies=RAILS),
        "mixer": lambda like: user_part(
            OWN / "gilbert.lib", like, subckt="gilbert", pins={"a": "x", "b": "y", "out": "w"}, supplies=RAILS
        ),
        "switches": lambda like: user_part(
            OWN / "cd4053.lib", like, subckt="cd4053mix", supplies={**RAILS, "vdd": 5, "vss": -5}, fixed={"vscale": 10}
        ),
    }
    places = {name: "mixer" if name == "switches" else name for name in names}
    return {place: made[name](load_part(place)) for name, place in places.items()}


def run(engine: Engine, parts: Mapping[str, Part]) -> Transient:
    """One sequence of learning with these parts."""
    patterns = PatternSequence(((0.0,), (0.3,)), (1.0, -1.0), 0.1, 0.005, 0.005, 5e-5)
    loop = HomodyneLoop(
        Linear(), 0, (1,), (1, 2), np.array([-0.25, 0.3]), DitherPlan((260.0, 510.0), (0.03, 0.02)), patterns,
        sequences=1, stage=OutputStage(baseline_V=-0.05, gain_log=2.0), parts=parts, multiplier_V=10.0,
    )  # fmt: skip
    return Ngspice(engine).run(loop)


def controls(found: Transient) -> list[float]:
    return [float(found[f"v(w{k})"][-1]) for k in range(2)]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(timeout_s=60.0) as one:
        yield one


@pytest.fixture(scope="module")
def ideal(engine: Engine) -> Transient:
    return run(engine, {})


@pytest.mark.parametrize(
    ("level", "names", "within_V"),
    [
        ("ideal", ("transimpedance",), 2e-4),
        ("ideal", ("transimpedance", "lowpass"), 2e-3),
        ("ideal", ("switches",), 0.02),  # no sine: what the loop hears of the third harmonic, and 4/pi of the gain
        ("transistor", ("transimpedance", "lowpass", "mixer"), 0.02),  # with offsets of millivolts
    ],
    ids=str,
)
def test_own_parts_learn_in_no_more_points(
    engine: Engine, ideal: Transient, level: str, names: tuple[str, ...], within_V: float
) -> None:
    """POLY sources made a XSPICE device of each op-amp, and ngspice then rejected half of all steps, without an end."""
    found = run(engine, {**loop_fields(level)["parts"], **own_parts(*names)})
    assert found.complete
    assert not found.trust.doubts
    assert found.statistics["rejected"] <= 0.005 * found.statistics["points"]
    assert found.statistics["points"] <= 1.01 * ideal.statistics["points"]
    np.testing.assert_allclose(controls(found), controls(ideal), rtol=0, atol=within_V)
