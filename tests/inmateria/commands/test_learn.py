"""`learn`, `gradient` and `export`: the documents they print and the files they leave."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from circuits.homodyne.engines import Twin
from circuits.ngspice.engine import Engine
from inmateria.errors import ConvergenceError
from lockin.error_budget import TERMS

from .command import in_child, in_process
from .conftest import Short

CONTROLS = ["e1", "e2", "e3", "e4", "e5", "e6", "e7"]
PATTERNS = ["00", "01", "10", "11"]
FILES = {
    "waveforms.nc", "summary.json", "deck.cir", "truth_table.png", "learning.png", "waveforms.png", "gradient.png",
    "trace.png",
}  # fmt: skip


def no_noise(text: str) -> bool:
    """No escape sequence, no bar, no empty line."""
    return "\x1b" not in text and "━" not in text and all(text.splitlines())


def check_learning_document(document: dict[str, Any], engine: str) -> None:
    assert document["schema"] == "inmateria/1"
    assert document["command"] == "learn"
    assert document["seed"] == 3
    assert {"inmateria", "numpy", "PySpice"} <= set(document["versions"])
    assert document["engine"] == engine
    assert (document["ngspice"] is None) == (engine == "twin")
    assert isinstance(document["success"], bool)
    initial = document["initial"]
    assert list(initial["outputs_V"]) == PATTERNS
    assert isinstance(initial["margin"], float)
    assert isinstance(initial["loss"], float)
    for key in ("outputs_V", "currents_A"):
        assert list(document[key]) == PATTERNS
        assert all(isinstance(v, float) for v in document[key].values())
    for pattern in PATTERNS:
        assert document["outputs_V"][pattern] == pytest.approx(1e7 * document["currents_A"][pattern])
    assert isinstance(document["margin"], float)
    assert isinstance(document["separation_A"], float)
    assert list(document["controls_V"]) == CONTROLS
    gradient = document["gradient"]
    assert gradient["dither_V"] == pytest.approx([0.005] * len(gradient["dither_V"]))  # one sequence: nothing falls
    assert gradient["parts"] == "ideal parts, as in the loop"
    assert gradient["engine"] == engine
    for of in ("loss", "output"):
        assert len(gradient[of]["cosines"]) == len(gradient[of]["relative_errors"]) == len(gradient["dither_V"])
        assert 0.95 < min(gradient[of]["cosines"]) <= 1
    assert document["dither"]["frequencies_Hz"] == [260, 270, 300, 360, 440, 490, 510]
    assert document["dither"]["amplitudes_V"] == [0.005] * 7
    device = document["device"]
    assert (device["model"], device["preset"], device["seed"]) == ("meanfield", "tertilt2022", 0)
    for key in ("device_evaluations", "timepoints"):
        assert isinstance(document[key], int)
        assert document[key] > 0
    assert isinstance(document["rejected"], int)
    assert document["simulated_s"] > 0
    assert document["wall_s"] > 0


@pytest.mark.parametrize("engine", ["ngspice", "twin"])
def test_learn_leaves_everything_even_if_nothing_was_learned(short: Short, engine: str, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    folder.mkdir(parents=True)
    (folder / "gradient.png").write_text("of an earlier run")
    (folder / "notes.txt").write_text("the user's")
    words = ["learn", "xor", "--engine", engine, "--restarts", "1", "--seed", "3", "--out", str(folder), "--json"]
    result = short(*words)
    assert result.code == 1, result
    assert no_noise(result.stderr), result.stderr
    document = result.document
    check_learning_document(document, engine)
    assert document["gate"] == "XOR"
    assert document["success"] is False
    assert document["restarts"] == 1
    assert {Path(f).name for f in document["files"]} == FILES
    assert {f.name for f in folder.iterdir()} == FILES | {"notes.txt"}
    assert json.loads((folder / "summary.json").read_text()) == document
    for picture in folder.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")
    with xr.open_dataset(folder / "waveforms.nc") as waves:
        assert waves.attrs["complete"] == 1
        assert waves.attrs["gate"] == "XOR"
        assert waves.attrs["seed"] == 3
        assert list(waves["control"].values) == CONTROLS
        assert all(waves[name].attrs["units"] for name in waves.data_vars)
        assert waves["time"].attrs["units"] == "s"
        assert float(waves["time"][-1]) == pytest.approx(document["simulated_s"])
        final = waves["control_V"].isel(time=-1).values
        assert final == pytest.approx(list(document["controls_V"].values()))
        if engine == "ngspice":
            assert waves.sizes["time"] == document["timepoints"]
    deck = (folder / "deck.cir").read_text()
    assert ".subckt" in deck.lower()


def test_a_failed_attempt_is_told_and_followed_by_the_next(
    short: Short, chip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, calls = Twin.run, []

    def fails_first(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise ConvergenceError("device", "NaN", "gave no current near 4.19 s", "check its voltages")
        return run(*arguments, **options)

    monkeypatch.setattr(Twin, "run", fails_first)
    words = ("learn", "XOR", "--engine", "twin", "--device", chip, "--restarts", "2")
    result = short(*words, "--json")
    assert result.code == 1, result
    reason = "device = 'NaN': gave no current near 4.19 s; check its voltages"
    assert f"XOR: attempt 1 failed, {reason}" in result.stderr
    assert result.document["restarts"] == 2
    assert result.document["failed_attempts"] == [{"attempt": 1, "reason": reason}]
    calls.clear()
    assert "XOR not learned after 2 attempts (1 failed)" in short(*words).stdout


def test_without_json_the_result_is_on_stdout(short: Short, chip: str) -> None:
    result = short("learn", "XOR", "--engine", "twin", "--device", chip, "--restarts", "1")
    assert result.code == 1
    assert "XOR not learned after 1 attempt" in result.stdout
    assert "gradient of the loss, lock-ins against exact: cosine" in result.stdout
    assert no_noise(result.stderr)


@pytest.mark.parametrize(
    ("of", "engine", "units", "dither_V"), [("output", "ngspice", "S", 5e-3), ("loss", "twin", "V/V", 5e-5)]
)
def test_gradient(
    of: str, engine: str, units: str, dither_V: float, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "gradient"
    words = ["gradient", "--of", of, "--gate", "XOR", "--engine", engine, "--out", str(folder), "--json"]
    words += ["--loss", "absolute"] if of == "loss" else []
    at = [-0.1, 0.2, 0.1, 0.3, -0.2, 0.1, 0.05]
    result = in_process(
        capsys, *words, "--at", ",".join(map(str, at)), "--max-step", "6e-5", "--amplitude", f"{dither_V}"
    )
    assert result.code == 0, result
    assert no_noise(result.stderr), result.stderr
    document = result.document
    assert document["command"] == "gradient"
    assert document["of"] == of
    assert document["gate"] == (None if of == "output" else "XOR")
    assert document["loss_function"] == (None if of == "output" else "absolute")
    assert document["controls"] == CONTROLS
    assert document["controls_V"] == at
    assert document["units"] == units
    assert len(document["lockin"]) == len(document["ideal"]) == 7
    assert document["cosine"] > 0.999
    assert document["relative_error"] < 0.05
    assert document["sign_agreement"] == 1
    assert document["dither_V"] == dither_V
    assert document["device"]["preset"] == "tertilt2022"
    assert document["wall_s"] > 0
    assert document["timepoints"] > 0.9 * document["simulated_s"] / 6e-5 or engine == "twin"
    files = {"waveforms.nc", "summary.json", "deck.cir", "gradient.png", "budget.png"}
    assert {f.name for f in folder.iterdir()} == files
    budget = document["budget"]
    assert set(budget["terms"]) == set(TERMS)
    measured, exact = np.array(document["lockin"]), np.array(document["ideal"])
    predicted = np.array(budget["predicted"])
    np.testing.assert_allclose(exact + np.sum(list(budget["terms"].values()), axis=0), predicted)
    # told before the run: it explains nine tenths of the deviation at 5 mV, where that is above the solver's rounding
    assert np.linalg.norm(measured - predicted) < (0.1 if of == "output" else 2.0) * np.linalg.norm(measured - exact)
    assert json.loads((folder / "summary.json").read_text()) == document
    with xr.open_dataset(folder / "waveforms.nc") as waves:
        assert waves["reading_V"].attrs["units"] == "V"
        assert "control_V" not in waves


@pytest.mark.parametrize(("of", "engine"), [("output", "ngspice"), ("loss", "twin")])
def test_corrected_gradient(of: str, engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    """At 2 mV, below the device's kinks; the budget says beforehand what is left."""
    words = ["gradient", "--corrected", "--engine", engine, "--amplitude", "0.002", "--of", of, "--seed", "3", "--json"]
    words += ["--chopped"] if of == "output" else []
    document = in_process(capsys, *words).document
    raw, exact, corrected = np.array(document["lockin"]), np.array(document["ideal"]), document["corrected"]
    assert document["frequencies_Hz"] == [2000.0, 2010.0, 2040.0, 2130.0, 2320.0, 2710.0, 3120.0]
    gradient = np.array(corrected["gradient"])
    np.testing.assert_allclose(gradient, raw + np.multiply(corrected["kept"], corrected["correction"]))
    error = np.linalg.norm(gradient - exact)
    assert corrected["relative_error"] == pytest.approx(error / np.linalg.norm(exact))
    assert error < 0.5 * np.linalg.norm(raw - exact)
    assert np.linalg.norm(gradient - document["budget"]["predicted"]) < 0.3 * np.linalg.norm(raw - exact)
    assert not any("correction" in doubt for doubt in document["doubts"])


@pytest.mark.parametrize("words", [[], ["--chopped"], ["--of", "loss"]])
def test_windows_read_the_same_with_less_noise(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The lock-ins' mean, its correction and its budget, of 3 windows and of 1: the noise is 1/sqrt(3) of it."""
    one, three = (
        in_process(
            capsys, "gradient", "--corrected", "--engine", "twin", *words, "--windows", windows, "--json"
        ).document
        for windows in ("1", "3")
    )
    assert (one["windows"], three["windows"]) == (1, 3)
    assert three["simulated_s"] > 1.9 * one["simulated_s"]
    size = np.linalg.norm(one["ideal"])
    np.testing.assert_allclose(three["lockin"], one["lockin"], atol=1e-3 * size)
    np.testing.assert_allclose(three["corrected"]["correction"], one["corrected"]["correction"], atol=1e-3 * size)
    noises = [np.array(document["budget"]["noise_std"]) for document in (one, three)]
    np.testing.assert_allclose(noises[1] * np.sqrt(3.0), noises[0])
    np.testing.assert_allclose(three["budget"]["predicted"], one["budget"]["predicted"], rtol=1e-6, atol=1e-9 * size)


def test_a_correction_that_adds_error_is_doubted(capsys: pytest.CaptureFixture[str]) -> None:
    """20 mV are beyond the kinks of the default device at this setting."""
    document = in_process(
        capsys, "gradient", "--corrected", "--engine", "twin", "--amplitude", "0.02", "--json"
    ).document
    assert document["corrected"]["relative_error"] > document["relative_error"]
    assert any("the correction makes an error of" in doubt for doubt in document["doubts"])


def test_random_controls_follow_the_seed(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["gradient", "--engine", "twin", "--json", "--seed"]
    one, same, other = (in_process(capsys, *words, seed).document["controls_V"] for seed in ("1", "1", "2"))
    assert one == same
    assert one != other


def test_rejected_steps_are_ngspices_own(tmp_path: Path, engine: Engine) -> None:
    circuit = (
        "stiff\nV1 a 0 PULSE(0 5 1e-4 1n 1n 4e-4 1e-3)\nR1 a b 1k\nD1 b 0 dm\nC1 b 0 1n\n.model dm D(cjo=1p tt=1u)"
    )
    run = engine.transient(circuit, stop_s=5e-3, max_step_s=1e-4, save=["v(b)"])
    batch = tmp_path / "deck.cir"
    batch.write_text(
        f"{circuit}\n.save v(b)\n.tran 1e-4 5e-3 0 1e-4 uic\n.control\nrun\nrusage accept rejected\n.endc\n.end\n"
    )
    said = subprocess.run(["ngspice", "-b", str(batch)], capture_output=True, text=True, check=False).stdout.lower()
    counted = {
        key: int(next(line for line in said.splitlines() if line.startswith(f"{key} timepoints")).split("=")[1])
        for key in ("accepted", "rejected")
    }
    assert counted["rejected"] > 0
    assert run.statistics["rejected"] == counted["rejected"]
    assert run.statistics["accepted"] == counted["accepted"]


def passes_in_ngspice(folder: Path) -> None:
    run = subprocess.run(
        [shutil.which("ngspice") or "ngspice", "-b", "deck.cir"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-2000:]
    assert "PASS" in run.stdout


def test_a_recorded_run_is_exported(short: Short, tmp_path: Path) -> None:
    result = short("export", "and", str(tmp_path / "deck.cir"), "--restarts", "1", "--json")
    assert result.code == 0, result  # the gate is there where the run begins
    document = result.document
    assert document["success"] is True
    assert document["closed"] is False
    assert document["network_rms_A"] is None
    passes_in_ngspice(tmp_path)


def test_what_has_no_closed_deck_is_told_before_it_is_learned(short: Short, tmp_path: Path) -> None:
    design = tmp_path / "macro.toml"
    design.write_text('[task]\nname = "AND"\n[dither]\namplitude = "10 mV"\n[electronics]\nlevel = "macro"\n')
    result = short("export", "AND", str(tmp_path / "deck.cir"), "--closed", "--design", str(design), "--restarts", "1")
    assert result.code == 2, result
    assert "dither_sum" in result.stderr
    assert "attempt" not in result.stderr
    assert "learned" not in result.stderr


@pytest.mark.slow
def test_learn_and_export_from_another_folder(tmp_path: Path) -> None:
    (tmp_path / "short.toml").write_text('[task]\nname = "AND"\n\n[learning]\nsequences = 10\n')
    words = ["export", "AND", "sub/deck.cir", "--closed", "--design", "short.toml", "--restarts", "2", "--json"]
    result = in_child(words, tmp_path)
    assert result.code == 0, result
    document = result.document
    assert document["success"] is True
    assert document["files"] == ["sub/deck.cir"]
    assert list(document["lockin_V"]) == CONTROLS
    assert 0 < document["network_rms_A"] < 0.2 * document["network_spread_A"]
    passes_in_ngspice(tmp_path / "sub")
