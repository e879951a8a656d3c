"""The tables of docs/parts.md: every figure measured is the one the data sheet or the formula states."""

import importlib.util
import math
import sys
from pathlib import Path

import pytest

STUDY = Path(__file__).resolve().parents[2] / "docs" / "studies" / "parts_table.py"


@pytest.fixture(scope="module")
def study():
    spec = importlib.util.spec_from_file_location("parts_table", STUDY)
    module = importlib.util.module_from_spec(spec)
    sys.modules["parts_table"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["parts_table"]


NAMES = (
    "opamp_tl072", "opamp_op07", "mixer", "switching_mixer", "dither_sum", "transimpedance", "difference",
    "gain_offset", "variable_gain", "squared_error", "absolute_error", "hinge", "limiter", "lowpass",
    "lowpass_sallen_key", "track_hold", "integrator",
)  # fmt: skip


def test_every_part_is_measured(study):
    assert set(study.SETUPS) == set(NAMES)
    others = {
        "analog_switch",
        "comparator",
        "blanked_highpass",
        "device_leads",
        "oscillator",
        "output_stage",
        "rlc_layer",
        "sigmoid",
        *(name for name, level in study.available() if level == "board" and (name, "macro") not in study.available()),
    }
    assert {name for name, _ in study.available()} == set(NAMES) | others


@pytest.mark.parametrize("name", NAMES)
def test_macro_part_has_the_stated_figures(study, name):
    found, stated = study.measure(name, "macro"), study.expected(name, "macro")
    assert found["gain error"] == pytest.approx(stated["gain error"], abs=1e-4)
    assert found["offset"] == pytest.approx(stated["offset"], rel=0.01, abs=1e-7)
    assert found["noise"] == pytest.approx(stated["noise"], rel=0.01)
    # the op-amp's pole makes the transimpedance amplifier's wider than 1 / (2 pi rf cf): 6 %
    if "bandwidth" in stated:
        assert found["bandwidth"] == pytest.approx(stated["bandwidth"], rel=0.06 if name == "transimpedance" else 2e-3)
    assert found["swing"] == pytest.approx(stated["swing"], rel=0.05)


@pytest.mark.parametrize("corner", ["cold, least supply", "hot, largest supply"])
@pytest.mark.parametrize("name", NAMES)
def test_macro_part_has_the_stated_figures_at_the_ends_of_temperature_and_supply(study, name, corner):
    limits = {one.name: one.default for one in study.load_part(name, "macro").limits}
    at = {"celsius": -40.0, "supply": limits["supply_min"]}
    if corner.startswith("hot"):
        at = {"celsius": 125.0, "supply": limits["supply_max"]}
    found, stated = study.measure(name, "macro", **at), study.expected(name, "macro", **at)
    assert found["gain error"] == pytest.approx(stated["gain error"], abs=2e-4)
    assert found["offset"] == pytest.approx(stated["offset"], rel=0.01, abs=1e-7)
    assert found["noise"] == pytest.approx(stated["noise"], rel=0.01)
    assert (
        -0.01 * stated["swing"] < found["swing"] - stated["swing"] < 0.5
    )  # the clamp gives way by a root of the excess


@pytest.mark.parametrize("name", ["mixer", "limiter", "integrator"])
def test_transistor_part_has_the_stated_figures(study, name):
    found, stated = study.measure(name, "transistor"), study.expected(name, "transistor")
    assert abs(found["gain error"] - stated["gain error"]) < 0.03  # finite current gain and Early voltage
    if name != "integrator":  # whose mirror has an offset of its own
        assert found["offset"] == pytest.approx(stated["offset"], rel=0.05)
    if not math.isnan(stated["noise"]):
        assert found["noise"] == pytest.approx(stated["noise"], rel=0.05)
