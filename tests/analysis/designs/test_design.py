"""Designs as files: what is read, what is refused and how, and the bench and loop they describe."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.designs.design import Design
from analysis.designs.experiment import experiment_of
from circuits.homodyne import netlist
from circuits.ngspice.dialects import said
from circuits.parts.levels import loop_fields
from dnpu_models.noise.noisy_device import NoisyDevice
from inmateria.errors import InputError, NetlistError
from learning.bench.bench import Bench, default_bench
from learning.homodyne.experiment import Experiment, build_loop, middle_loop
from learning.homodyne.settings import HgeSettings
from learning.tasks.boolean import BooleanTask
from netlists.check import run_deck_file
from netlists.reader import load_part

from ...refused import refused
from ...toys import BRIDGE

TOML = """
name = "mine"
[device]
seed = 3
temperature = "80 K"
output = "e1"
inputs = ["e3", "e5"]
[task]
name = "NAND"
swing = "0.3 V"
[dither]
amplitude = "5 mV"
spacing = "20 Hz"
base = "1 kHz"
[learning]
rate = 0.2
step = "20 mV"
[noise]
density = "1e-5 nA^2/Hz"
"""


def test_a_file_becomes_bench_task_and_settings(tmp_path: Path) -> None:
    path = tmp_path / "design.toml"
    path.write_text(TOML)
    design = Design.from_toml(path)
    experiment = experiment_of(design)
    bench, task, settings = experiment.bench, experiment.task, experiment.settings
    assert isinstance(bench.device, NoisyDevice)
    network = bench.device.device.network  # type: ignore[attr-defined]
    assert (network.seed, network.temperature_K) == (3, 80.0)
    assert (bench.output, bench.inputs) == (1, (3, 5))
    assert isinstance(task, BooleanTask)
    assert (task.gate, task.swings_V) == ("NAND", (0.3, 0.3))
    assert (settings.amplitude_V, settings.learning_rate, settings.step_V) == (5e-3, 0.2, 0.02)
    tones = np.array(bench.plan(settings.amplitude_V).frequencies_Hz)
    assert tones.min() >= 1000.0
    np.testing.assert_allclose(tones / 20.0, np.round(tones / 20.0))


def test_several_devices_are_joined_at_the_output_that_is_said() -> None:
    said = {"device": {"seed": 3, "count": 2, "output": "e1", "inputs": ["e3", "e5"]}, "task": {"swing": "0.3 V"}}
    experiment = experiment_of(Design.from_values(said | {"noise": {"density": "1e-5 nA^2/Hz"}}))
    bench = experiment.bench
    assert [device.network.seed for device in bench.device.device.devices] == [3, 4]  # type: ignore[attr-defined]
    assert [bench.device.terminals[k] for k in (bench.output, *bench.inputs)] == ["out", "d0e3", "d0e5", "d1e3", "d1e5"]
    assert (bench.device.noisy, np.ptp(experiment.task.levels_V, axis=0).tolist()) == ((0,), [0.3] * 4)  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="KineticMonteCarlo has no exact slopes"):
        Design.from_values({"device": {"model": "kmc", "count": 2}}).bench()


def test_nothing_said_is_the_default_experiment() -> None:
    design = Design.from_values({})
    bench = design.bench()
    ours: Bench = default_bench()
    np.testing.assert_array_equal(bench.currents_A(np.zeros(7)), ours.currents_A(np.zeros(7)))
    assert (bench.output, bench.inputs, bench.plan(0.01)) == (ours.output, ours.inputs, ours.plan(0.01))
    settings = design.settings(design.fitted_task(bench))
    assert settings == HgeSettings(**loop_fields("ideal"))


def test_amplitudes_may_differ() -> None:
    peaks = [1e-3 * k for k in range(1, 8)]
    design = Design.from_values({"dither": {"amplitude": peaks}})
    bench = design.bench()
    task = design.fitted_task(bench)
    loop = build_loop(Experiment(bench, task, design.settings(task)), np.zeros(7), 1.0, 1e-9 * np.arange(4))
    assert loop.dither.amplitudes_V == tuple(peaks)
    with pytest.raises(InputError, match="7 trained electrodes need one or 7"):
        bench.plan(peaks[:3])


def test_figures_levels_and_supply_reach_the_parts() -> None:
    design = Design.from_values(
        {"electronics": {"level": "macro", "supply": "12 V", "values": {"mixer": {"offset": 1e-4}}}}
    )
    settings = design.settings(BooleanTask("XOR"))
    assert settings.multiplier_V == 10.0
    mixer = settings.parts["mixer"].defaults
    assert (mixer["offset"], mixer["vsupply"]) == (1e-4, 12.0)
    assert settings.parts["lowpass"].defaults == {**load_part("lowpass", "macro").defaults, "vsupply": 12.0}
    own = Design.from_values({"electronics": {"parts": {"mixer": "transistor"}, "supply": "14 V"}})
    assert own.settings(BooleanTask("XOR")).parts["mixer"].defaults["vsupply"] == 14.0


def expanded(design: Design, folder: Path) -> list[str]:
    """The loop's deck as plain ngspice has it, all subcircuits expanded, line by line."""
    loop = middle_loop(experiment_of(design))
    (folder / "deck.cir").write_text(f"{netlist.deck(loop)}\n.control\nlisting e\nquit 0\n.endc\n.end\n")
    return run_deck_file(folder / "deck.cir").output.splitlines()


@pytest.mark.parametrize(("level", "clamps"), [("macro", 52), ("transistor", 76)])
def test_another_supply_moves_every_amplifier_of_the_deck(level: str, clamps: int, tmp_path: Path) -> None:
    """The clamps of all op-amps and output stages, those inside parts too, and the supplies of transistors."""
    design = Design.from_values({"electronics": {"level": level, "reference": "7 V"}})
    before, after = (expanded(one, tmp_path) for one in (design, design.changed({"electronics.supply": "12 V"})))
    assert len(before) == len(after)
    limited = [(one, other) for one, other in zip(before, after, strict=True) if "* max ( abs (" in one]
    limited += [pair for pair in zip(before, after, strict=True) if re.search(r" : v\.\S+\.v[mp] ", pair[0])]
    assert len(limited) == clamps
    assert all(one != other for one, other in limited)


def test_a_part_of_ones_own_lies_beside_the_design(tmp_path: Path) -> None:
    (tmp_path / "mine.lib").write_text(
        ".subckt mine in out params: tau=1\nR1 in out {tau/1e-6}\nC1 out 0 1e-6\n.ends mine\n"
    )
    (tmp_path / "d.toml").write_text('[electronics.parts]\nlowpass = { file = "mine.lib" }\n')
    design = Design.from_toml(tmp_path / "d.toml")
    assert design.settings(BooleanTask("AND")).parts["lowpass"].subckt == "mine_as_lowpass"
    before = design.digest
    (tmp_path / "mine.lib").write_text(
        ".subckt mine in out params: tau=1\nR1 in out {tau/2e-6}\nC1 out 0 2e-6\n.ends mine\n"
    )
    assert Design.from_toml(tmp_path / "d.toml").digest != before


def test_a_part_of_another_dialect_and_of_a_librarys_section(tmp_path: Path) -> None:
    """The loop's deck says in which dialect it is to be read; of the library there is the section only."""
    (tmp_path / "kit.lib").write_text(
        ".lib slow\n.subckt PS 1 2 3 4 5\nE1 5 0 VALUE={LIMIT(1E5*V(1,2),-5,5)}\nR1 3 4 1K\n.ends\n.endl\n"
        ".lib fast\n.subckt PS 1 2 3 4 5\nE1 5 0 VALUE={LIMIT(1E5*V(1,2),-9,9)}\nR1 3 4 1K\n.ends\n.endl\n"
    )
    given = 'file = "kit.lib", section = "fast", dialect = "pspice", pins = { inp = "1", inn = "2", out = "5" }'
    (tmp_path / "d.toml").write_text(
        '[task]\nname = "AND"\n[electronics]\nlevel = "macro"\n[electronics.parts]\n'
        f"opamp_op07 = {{ {given}, supplies = {{ 3 = 15, 4 = -15 }} }}\n"
    )
    text = netlist.deck(middle_loop(experiment_of(Design.from_toml(tmp_path / "d.toml"))))
    assert said(text) == "pspice"
    assert text.count("LIMIT(1E5*V(1,2),-9,9)") == 1
    assert "-5,5" not in text


def test_a_vendors_opamp_is_in_all_parts_that_use_it(tmp_path: Path) -> None:
    """From the loop's deck: every low-pass and integrator has it, and nothing of the library's op-amp is left."""
    (tmp_path / "opamp.lib").write_text(".subckt OPA 1 2 3 4 5\nG1 0 5 1 2 1\nR1 5 0 1meg\nR2 3 4 1k\n.ends\n")
    given = 'file = "opamp.lib", pins = { inp = "1", inn = "2", out = "5" }, supplies = { 3 = 15, 4 = -15 }'
    head = '[task]\nname = "AND"\n[dither]\namplitude = "10 mV"\n'
    (tmp_path / "d.toml").write_text(
        f'{head}[electronics]\nlevel = "macro"\n[electronics.parts]\nopamp_op07 = {{ {given} }}\n'
    )
    design = Design.from_toml(tmp_path / "d.toml")
    loop = middle_loop(experiment_of(design))
    text = netlist.deck(loop)
    placed = [line for line in text.splitlines() if line.startswith(("Xlp", "Xavg", "Xw"))]
    assert len(placed) == 3 * loop.dither.n
    assert all("opa_as_opamp_op07" in line for line in placed)
    assert "opamp_op07_macro" not in text
    with pytest.raises(InputError, match="your opamp_op07"):
        design.check_engine("twin")


def test_changes_are_checked_like_a_file() -> None:
    design = Design.from_values({})
    louder = design.changed({"dither.amplitude": "20 mV", "device.seed": 4})
    assert (louder.dither.amplitude, louder.device.seed) == ((0.02,), 4)
    assert louder.digest != design.digest
    assert (
        louder.changed({"dither.amplitude": 0.01, "device.seed": 4}).dither
        == Design.from_values({"dither": {"amplitude": "10 mV"}}).dither
    )
    assert pickle.loads(pickle.dumps(louder)) == louder
    with pytest.raises(InputError, match=r"did you mean dither\.amplitude"):
        design.changed({"dither.amplitud": 1.0})


@pytest.mark.parametrize(
    ("key", "unit"), [("dither.amplitude", "V"), ("noise.density", "A^2/Hz"), ("device.seed", ""), ("task.name", "")]
)
def test_units_of_keys(key: str, unit: str) -> None:
    assert Design.unit_of(key) == unit


@pytest.mark.parametrize("key", ["dither", "dither.amplitude.x", "amplitude", "foo.bar"])
def test_keys_without_a_value_are_refused(key: str) -> None:
    with pytest.raises(InputError):
        Design.unit_of(key)


@pytest.mark.parametrize(
    ("content", "field", "told"),
    [
        ({"dither": {"amplitud": 1}}, "dither.amplitud", "did you mean dither.amplitude?"),
        ({"amplitude": 1}, "amplitude", "did you mean dither.amplitude?"),
        ({"devices": {}}, "devices", "did you mean device?"),
        ({"dither": {"amplitude": "5 mA"}}, "dither.amplitude[0]", "is in mA, V is required"),
        ({"dither": {"amplitude": "-5 mV"}}, "dither.amplitude[0]", "must be above 0 V"),
        ({"dither": {"amplitude": []}}, "dither.amplitude", "at least 1 item"),
        ({"dither": {"frequencies": [1, 2], "spacing": "9 Hz"}}, "dither", "both say where the tones are"),
        ({"learning": {"loss": "cubic"}}, "learning.loss", "'squared', 'absolute' or 'hinge'"),
        ({"learning": {"restarts": 0}}, "learning.restarts", "greater than or equal to 1"),
        ({"learning": {"restarts": 2.5}}, "learning.restarts", "integer"),
        ({"device": 3}, "device", "is a table of keys"),
        ({"electronics": {"parts": {"mixer": {"file": "x", "foo": 1}}}}, "electronics.parts.mixer.foo", "no key"),
        ({"tolerances": {"resistor": "200 %"}}, "tolerances.resistor", "at most 1"),
        ({"name": " "}, "name", "is empty"),
        ({"name": "a", "seed": -1, "device": {"seed": "x"}}, "seed", "and 1 more wrong value"),
    ],
)
def test_wrong_values_are_named(content: dict[str, Any], field: str, told: str) -> None:
    with refused(field, re.escape(told)):
        Design.from_values(content)


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"device": {"model": "nochip.npz"}}, "device"),
        ({"device": {"output": "e9"}}, "device.output"),
        ({"device": {"inputs": ["e1", "x"]}}, "device.inputs"),
        ({"task": {"name": "XAND"}}, "task.name"),
        ({"electronics": {"parts": {"mixr": "macro"}}}, "electronics.parts.mixr"),
        ({"electronics": {"parts": {"mixer": "big"}}}, "electronics.parts.mixer"),
        ({"electronics": {"values": {"mixr": {"offset": 1.0}}}}, "electronics.values.mixr"),
    ],
)
def test_what_does_not_exist_is_named_when_it_is_built(content: dict[str, Any], field: str) -> None:
    design = Design.from_values(content)
    with refused(field):
        design.settings(design.fitted_task(design.bench()))


@pytest.mark.parametrize(("text", "told"), [("a = ", "is no TOML"), (None, "is no file"), (b"\xff", "is no TOML")])
def test_files_that_hold_no_design(tmp_path: Path, text: str | bytes | None, told: str) -> None:
    path = tmp_path / "d.toml"
    if text is not None:
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InputError, match=told):
        Design.from_toml(path)


MODELS = ".model ds D(is={}e-9 n=1.05)\n"


def bridge_design(folder: Path, **device: Any) -> Design:
    """A design whose netlist includes its diodes' model, in a section of a library."""
    (folder / "diodes.lib").write_text(f".lib slow\n.include slow.mod\n.endl\n.lib fast\n{MODELS.format(9)}.endl\n")
    (folder / "slow.mod").write_text(MODELS.format(1))
    (folder / "bridge.lib").write_text(BRIDGE.replace(MODELS.format(1).strip(), ".lib diodes.lib slow"))
    return Design.from_values({"device": {"model": "bridge.lib", **device}, "task": {"name": "AND"}}, folder)


def test_files_that_a_netlist_includes_are_the_designs_too(tmp_path: Path) -> None:
    """Another model in an included file was the same design: its store was gone on with."""
    design = bridge_design(tmp_path)
    before = design.digest
    assert bridge_design(tmp_path).digest == before
    (tmp_path / "slow.mod").write_text(MODELS.format(2))
    assert design.changed({}).digest != before
    own = {"electronics": {"parts": {"lowpass": {"file": "mine.lib"}}}}
    (tmp_path / "mine.lib").write_text(".include inner.lib\n.subckt mine in out\n.ends\n")
    digests = []
    for ohm in ("1k", "2k"):
        (tmp_path / "inner.lib").write_text(f".param r={ohm}\n")
        digests.append(Design.from_values(own, tmp_path).digest)
    assert digests[0] != digests[1]
    (tmp_path / "inner.lib").unlink()
    with pytest.raises(NetlistError, match="there is no such file"):
        _ = Design.from_values(own, tmp_path).digest


def test_a_netlist_that_changed_is_read_again_by_the_same_process(tmp_path: Path) -> None:
    currents = []
    for ohm in ("1meg", "2meg"):
        (tmp_path / "two.lib").write_text(f".subckt two out a b\nRa a out {ohm}\nRb b out 1meg\n.ends\n")
        values = {"device": {"model": "two.lib", "limits": [-1, 1]}, "task": {"name": "AND"}}
        bench = experiment_of(Design.from_values(values, tmp_path)).bench
        currents.append(bench.currents_A(np.array([1.0, 0.0])))
    np.testing.assert_allclose(currents, [1e-6, 0.5e-6], rtol=1e-6)


def test_what_a_design_says_of_its_netlist_is_what_user_device_is_told(tmp_path: Path) -> None:
    other = ".subckt spare out a\nR1 a out 1\n.ends\n"
    mine = ".subckt mine w a b vdd\nRa a w 1meg\nRb b w 2meg\nRc vdd w 4meg\n.ends\n"
    (tmp_path / "mine.lib").write_text(f"* device limits: -2 2\n{other}{mine}")
    said = {
        "subckt": "mine", "output": "w", "inputs": ["b", "a"], "supplies": {"VDD": "4 V"},
        "limits": {"a": ["0 V", "500 mV"]}, "transimpedance": "100 kohm",
    }  # fmt: skip
    design = Design.from_values({"device": {"model": "mine.lib", **said}, "task": {"name": "AND"}}, tmp_path)
    bench = design.bench()
    assert (bench.device.terminals, bench.output, bench.inputs) == (("w", "a", "b"), 0, (2, 1))
    assert bench.transimpedance_ohm == 1e5
    assert bench.device.limits_V.tolist() == [[-2.0, 2.0], [0.0, 0.5], [-2.0, 2.0]]
    assert bench.currents_A(np.zeros(2)) == pytest.approx(1e-6)  # out of the supply
    assert Design.unit_of("device.limits") == "V"
    for key, value, field, told in (
        ("limits", {"q": [0, 1]}, "device.limits", "is no pin"),
        ("limits", [1, 1], "device.limits['w']", "is no range"),
        ("supplies", {"vcc": 1}, "device.supplies", "is unknown to mine"),
        ("output", "q", "device.output", "is no pin"),
    ):
        with refused(field, told):
            design.changed({f"device.{key}": value}).bench()
    with refused("device.limits", "is no netlist"):
        Design.from_values({"device": {"limits": [-1, 1]}}).bench()
    (tmp_path / "flat.cir").write_text("flat\nV1 a 0 1\nR1 a w 1meg\nR2 b w 1meg\n")
    flat = {"model": "flat.cir", "terminals": ["w", "a", "b"], "output": "w", "limits": ["-1 V", "1 V"]}
    assert Design.from_values({"device": flat, "task": {"name": "AND"}}, tmp_path).bench().names == ("a", "b")
