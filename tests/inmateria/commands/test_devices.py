"""`--device` and `--electrodes`: chips from files, and one line for whatever is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from dnpu_models.surrogate.chip import ChipSurrogate
from inmateria.commands.experiment import make_bench, parse_electrodes
from inmateria.errors import InputError
from learning.bench.devices import DeviceOptions
from lockin.third_order import free_tones

from .command import answered, assert_refused, in_process
from .conftest import Short

LOW, HIGH = [-1.2, -0.7, 0.1, -0.8, -0.4], [0.6, 0.3, 0.9, 1.0, 0.6]


@pytest.fixture
def chip_file(tmp_path: Path) -> Path:
    """A chip with five activation electrodes that was never measured."""
    rng = np.random.default_rng(3)
    sizes = (5, 30, 30, 1)
    arrays = {"voltage_min": np.array(LOW), "voltage_max": np.array(HIGH), "amplification_nA_per_V": np.array([10.0])}
    for k in range(3):
        arrays[f"weight_{k}"] = rng.normal(0, 1.4 / np.sqrt(sizes[k]), (sizes[k + 1], sizes[k]))
        arrays[f"bias_{k}"] = rng.normal(0, 0.3, sizes[k + 1])
    path = tmp_path / "chips" / "chip.npz"
    path.parent.mkdir()
    np.savez(path, **arrays)
    return path


# -- it works -----------------------------------------------------------------------------------------------------


def test_plan(chip_file: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "plan"
    words = ["plan", "--device", str(chip_file), "--electrodes", "out:e2,e4", "--error", "0.3", "--points", "29"]
    document = answered(
        capsys, *words, "--limit", "0.05", "--band", "100:3000", "--filters", "boxcar", "--out", str(folder), "--json"
    )
    assert {f.name for f in folder.iterdir()} == {"plan.nc", "plan.png", "summary.json"}
    assert document["error"] <= 0.3
    assert (document["share"], document["confidence"], document["points"], document["misses"]) == (0.9, 0.95, 29, 0)
    assert max(document["amplitudes_V"]) <= 0.05 * (1 + 1e-9)
    assert min(document["frequencies_Hz"]) >= 100.0
    assert max(document["frequencies_Hz"]) <= 3000.0 * (1 + 1e-9)
    assert document["filter"]["window"] == "boxcar"
    assert document["binding"] == max(document["terms"], key=document["terms"].get)
    with xr.open_dataset(folder / "plan.nc") as curves:
        assert list(curves["control"].values) == document["controls"]
        assert float(curves["smallest_error"][-1]) < document["error"]
    corrected = answered(capsys, *words, "--limit", "0.05", "--corrected", "yes", "--windows", "16", "--json")
    assert (corrected["corrected"], corrected["windows"]) == (True, 16)
    assert document["corrected"] in (True, False)
    spacing = corrected["frequencies_Hz"][0] / 200.0
    np.testing.assert_allclose(np.array(corrected["frequencies_Hz"]) / spacing, free_tones(5))
    assert corrected["filter"]["window"] == "boxcar"
    bad = {"--error": "-1", "--band": "3", "--limit": "5", "--filters": "hann", "--noise": "0", "--share": "1"}
    bad |= {"--points": "28", "--confidence": "0", "--corrected": "perhaps", "--windows": "0"}
    for option, value in bad.items():
        refused = in_process(capsys, "plan", "--device", str(chip_file), "--electrodes", "out:e2,e4", option, value)
        assert refused.code == 2, (option, refused)
        assert refused.stderr.count("\n") == 1
    blind = in_process(capsys, "plan", "--device", "kmc")
    assert blind.code == 2
    assert blind.stderr.startswith("error: device = 'kmc': knows no exact gradient")


@pytest.mark.parametrize("engine", ["twin", "ngspice"])
def test_the_lock_ins_read_a_chips_gradient(
    engine: str, chip_file: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["gradient", "--device", str(chip_file), "--electrodes", "out:e2,e4", "--engine", engine, "--json"]
    at = [-0.4, -0.1, 0.53, 0.21, 0.17]
    document = answered(capsys, *words, "--at", ",".join(map(str, at)), "--amplitude", "1e-4", "--out", f"{tmp_path}/g")
    chip = ChipSurrogate.from_npz(chip_file)
    exact = -chip.conductances([0.0, *at])[0, 1:]
    assert np.linalg.norm(exact) > 1e-10
    assert document["controls"] == ["e1", "e2", "e3", "e4", "e5"]
    np.testing.assert_allclose(document["ideal"], exact, rtol=1e-9)
    assert document["cosine"] > 0.9999
    assert document["device"] == {
        "model": "chip", "preset": None, "seed": None, "file": str(chip_file), "output": "out", "inputs": ["e2", "e4"],
        "count": 1,
    }  # fmt: skip
    assert (tmp_path / "g" / "summary.json").exists()


def test_a_chip_goes_through_a_whole_run(short: Short, chip_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = ["learn", "xor", "--device", str(chip_file), "--restarts", "1", "--out", str(folder), "--json"]
    result = short(*words, "--engine", "twin")
    assert result.code == 1, result
    document = result.document
    assert document["device"]["inputs"] == ["e1", "e3"]
    assert list(document["controls_V"]) == ["e1", "e2", "e3", "e4", "e5"]
    controls = np.array(list(document["controls_V"].values()))
    assert np.all((controls > LOW) & (controls < HIGH))
    assert (folder / "waveforms.nc").exists()


def test_random_controls_lie_in_the_middle_of_each_range(chip_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    middle, half = 0.5 * np.add(LOW, HIGH), 0.5 * np.subtract(HIGH, LOW)
    words = ["gradient", "--device", str(chip_file), "--engine", "twin", "--json", "--seed"]
    drawn = np.array([in_process(capsys, *words, seed).document["controls_V"] for seed in "12345678"])
    assert np.all(np.abs(drawn - middle) <= 0.6 * half + 1e-12)
    assert np.all(np.ptp(drawn, axis=0) > 0.3 * half)


def test_electrodes_of_the_mean_field(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["gradient", "--electrodes", "e3:e5,e1", "--engine", "twin", "--json", "--max-step", "1.9e-4"]
    document = in_process(capsys, *words).document
    assert document["controls"] == ["e0", "e1", "e2", "e4", "e5", "e6", "e7"]
    assert (document["device"]["output"], document["device"]["inputs"]) == ("e3", ["e5", "e1"])
    assert document["cosine"] > 0.99


def test_both_files_of_the_shared_chip_learn_and_in_the_same_way(
    data_file: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    answers = []
    for name in ("dnpu_chip.npz", "brainspy_training_data.pickle"):
        result = in_process(capsys, "learn", "AND", "--engine", "twin", "--json", "--device", str(data_file(name)))
        assert result.code == 0, result
        answers.append(result.document)
    first, second = answers
    assert first["margin"] >= 0.2
    assert first["separation_A"] >= 0.5e-9
    assert first["controls_V"] == second["controls_V"]
    # What the circuit ended with is what the chip gives there, from the file alone.
    chip = ChipSurrogate.from_npz(data_file("dnpu_chip.npz"))
    bench, _ = make_bench(DeviceOptions(str(data_file("dnpu_chip.npz"))), None, 1e-5)
    outputs = bench.outputs_A(np.array(list(first["controls_V"].values())), bench.task("AND"))
    np.testing.assert_allclose(list(first["currents_A"].values()), outputs, atol=2e-3 * np.ptp(outputs))
    for name, volts in first["controls_V"].items():
        low, high = chip.limits_V[chip.terminals.index(name)]
        assert low < volts < high


# -- it says what is wrong ----------------------------------------------------------------------------------------

WRONG = [
    (["--device", "foo"], "device", ["'foo'", "no device known here", "meanfield, kmc"]),
    (
        ["--device", "kmc", "--frequencies", "260,270,300,360,440,490,510"],
        "frequencies",
        ["windows of 0.1 s, 8e+11 hops each", "take for example 2.6e+07,"],
    ),
    (["--device", "/nowhere/chip.npz"], "device", ["/nowhere/chip.npz", "is no file"]),
    (["--device", "missing.pickle"], "device", ["missing.pickle", "is no file"]),
    (["--device", "FOLDER"], "device", ["cannot be read"]),
    (["--device", "TEXT"], "device", ["notes.txt", "chip"]),
    (["--device", "TEXT_NPZ"], "device", ["notes.npz"]),
    (["--device", "OTHER_NPZ"], "device", ["other.npz", "lacks", "weight_0"]),
    (["--device", "NAN_NPZ"], "device", ["nan.npz", "voltage_min_V", "finite"]),
    (["--device", "CHIP", "--device-seed", "1"], "device_seed", ["measured chip", "leave it out"]),
    (["--device", "CHIP", "--electrodes", "e1:e2,e3"], "electrodes", ["'e1'", "not measured", "out"]),
    (["--device", "CHIP", "--electrodes", "out:e2,e6"], "electrodes", ["no 'e6'", "out, e1, e2, e3, e4, e5"]),
    (["--device", "CHIP", "--electrodes", "out:out,e1"], "electrodes", ["names out twice"]),
    (["--device", "CHIP", "--electrodes", "out:e1,e1"], "electrodes", ["names e1 twice"]),
    (["--device", "CHIP", "--swing", "5"], "amplitude", ["no room", "range of", "the swing"]),
    (["--device", "CHIP", "--amplitude", "2"], "amplitude", ["2.0", "no room", "range of"]),
    (["--device", "CHIP", "--frequencies", "260,270"], "frequencies", ["5 trained electrodes"]),
    (["--electrodes", "e2,e6"], "electrodes", ["'e2,e6'", "OUTPUT:INPUT,INPUT", "e0:e1,e2"]),
    (["--electrodes", "e0:e2"], "electrodes", ["OUTPUT:INPUT,INPUT"]),
    (["--electrodes", "e0:e2,e6,e7"], "electrodes", ["OUTPUT:INPUT,INPUT"]),
    (["--electrodes", ":e2,e6"], "electrodes", ["OUTPUT:INPUT,INPUT"]),
    (["--electrodes", ""], "electrodes", ["OUTPUT:INPUT,INPUT"]),
    (["--electrodes", "e0:e2,e8"], "electrodes", ["no 'e8'"]),
]  # fmt: skip
COMMANDS = [["learn", "AND"], ["gradient"], ["export", "AND", "deck.cir"]]


@pytest.mark.parametrize(("words", "field", "told"), WRONG, ids=[" ".join(w) for w, _, _ in WRONG])
def test_one_line_says_what_is_wrong_and_nothing_is_written(
    words: list[str],
    field: str,
    told: list[str],
    chip_file: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = {"CHIP": chip_file, "FOLDER": chip_file.parent}
    for name, file in (("TEXT", "notes.txt"), ("TEXT_NPZ", "notes.npz")):
        files[name] = chip_file.parent / file
        files[name].write_text("no chip")
    files["OTHER_NPZ"] = chip_file.parent / "other.npz"
    np.savez(files["OTHER_NPZ"], x=np.zeros(3))
    files["NAN_NPZ"] = chip_file.parent / "nan.npz"
    with np.load(chip_file) as arrays:
        np.savez(files["NAN_NPZ"], **{**arrays, "voltage_min": np.full(5, np.nan)})
    given = [str(files.get(word, word)) for word in words]
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    command = COMMANDS[WRONG.index((words, field, told)) % len(COMMANDS)]
    options = ["--out", "made"] if command[0] != "export" and "--amplitude" not in words else []
    result = in_process(capsys, command[0], "--json", *command[1:], *options, *given)
    assert list(empty.iterdir()) == []
    error = result.document["error"]
    assert error["field"] == field
    assert error["problem"]
    assert error["fix"]
    assert_refused(replace(result, stdout=""), field, *told)


def test_electrodes_are_read_with_blanks_and_in_any_order() -> None:
    names = ("out", "e1", "e2", "e3")
    assert parse_electrodes("out:e1,e3", names) == (0, (1, 3))
    assert parse_electrodes(" e2 : e3 , out ", names) == (2, (3, 0))
    with pytest.raises(InputError, match="OUTPUT:INPUT,INPUT"):
        parse_electrodes("out", names)
