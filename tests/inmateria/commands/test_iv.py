"""`inmateria iv`: the currents are the model's, errors are shown, Ctrl-C keeps what exists, bad input is one line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from dnpu_models.mean_field.model import MeanField
from dnpu_models.monte_carlo.model import KineticMonteCarlo
from dnpu_models.network.network import DopantNetwork
from dnpu_models.surrogate.chip import ChipSurrogate
from inmateria.commands import iv as iv_run

from .command import answered, assert_refused, in_process

Capsys = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def network() -> DopantNetwork:
    return DopantNetwork.random(seed=0, preset="tertilt2022")


@pytest.fixture
def chip_file(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    chip = ChipSurrogate(
        (rng.normal(0, 1, (9, 3)), rng.normal(0, 1, (1, 9))), (rng.normal(0, 1, 9), [0.1]),
        [-1.0, -0.5, -0.2], [0.5, 0.5, 0.9], 3e-9,
    )  # fmt: skip
    return chip.to_npz(tmp_path / "chip.npz")


def table(found: dict[str, Any], key: str = "currents_A") -> np.ndarray:
    return np.stack([found[key][name] for name in found["electrodes"]], axis=-1)


def test_mean_field_currents_with_files(network: DopantNetwork, capsys: Capsys, tmp_path: Path) -> None:
    found = answered(
        capsys, "iv", "--sweep", "e1=-0.3:0.3:5", "--at", "e2=0.2, e4=-0.1", "--out", str(tmp_path), "--json"
    )
    assert found["command"] == "iv"
    assert found["device"] == {"model": "meanfield", "preset": "tertilt2022", "seed": 0, "file": None}
    volts = np.tile([0, 0, 0.2, 0, -0.1, 0, 0, 0], (5, 1))
    volts[:, 1] = np.linspace(-0.3, 0.3, 5)
    assert found["voltages_V"] == {"e1": volts[:, 1].tolist()}
    assert found["electrodes"] == [f"e{k}" for k in range(8)]
    exact = MeanField(network).currents(volts)
    np.testing.assert_allclose(table(found), exact, atol=1e-8 * np.abs(exact).max())
    assert found["stderr_A"] is None
    assert found["held_V"]["e2"] == 0.2
    assert set(found["held_V"]) == {f"e{k}" for k in range(8)} - {"e1"}
    assert {Path(name).name for name in found["files"]} == {"iv.nc", "iv.png", "summary.json"}
    assert json.loads((tmp_path / "summary.json").read_text()) == found
    assert (tmp_path / "iv.png").read_bytes()[:4] == b"\x89PNG"
    with xr.open_dataset(tmp_path / "iv.nc") as data:
        np.testing.assert_array_equal(data["current_A"].transpose("e1_V", "terminal"), table(found))
        assert data["current_A"].attrs["units"] == data["current_A"].attrs["units"] == "A"
        assert data["e1_V"].attrs["units"] == "V"
        assert data.attrs["complete"] == 1
        assert "e2 at 0.2 V" in data.attrs["held"]


def test_a_map_is_the_same_whatever_the_order(network: DopantNetwork, capsys: Capsys) -> None:
    words = ["--sweep", "e1=-0.2:0.2:3", "--sweep", "e3=0.3:-0.1:2", "--electrode", "e5,e0", "--json"]
    found = in_process(capsys, "iv", *words).document
    assert found["electrodes"] == ["e5", "e0"]
    volts = np.zeros((3, 2, 8))
    volts[:, :, 1] = np.linspace(-0.2, 0.2, 3)[:, None]
    volts[:, :, 3] = [0.3, -0.1]
    exact = MeanField(network).currents(volts)[..., [5, 0]]
    np.testing.assert_allclose(table(found), exact, atol=1e-8 * np.abs(exact).max())


def test_monte_carlo_has_errors_that_hold(network: DopantNetwork, capsys: Capsys, monkeypatch: Any) -> None:
    """Of 16 differences none beyond 6.5 errors: Student's t with 31 degrees of freedom, false alarm below 1e-4."""
    words = ["iv", "--device", "kmc", "--sweep", "e1=-0.4:0.4:2", "--hops", "16384", "--seed", "5", "--json"]
    first = in_process(capsys, *words).document
    value, error = table(first), table(first, "stderr_A")
    assert np.all(error > 0)
    volts = np.zeros((2, 8))
    volts[:, 1] = [-0.4, 0.4]
    other = KineticMonteCarlo(network).estimate(volts, seed=99, hops=32768, threads=2)
    assert np.all(np.abs(value - other.value) < 6.5 * np.hypot(error, other.stderr))
    assert np.abs(value).max() > 50 * error.max()
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    again = in_process(capsys, *words).document
    np.testing.assert_array_equal(table(again), value)


def test_an_error_that_cannot_be_reached_is_told(capsys: Capsys) -> None:
    words = ["iv", "--device", "kmc", "--sweep", "e1=-0.4:0.4:3", "--hops", "2048"]
    reached = in_process(capsys, *words[:3], "--sweep", "e1=0.3:0.4:2", "--until", "0.5", "--json")
    assert reached.document["until_missed"] == 0
    result = in_process(capsys, *words, "--until", "1e-6", "--json")
    assert result.document["until_missed"] == 3
    assert "3 of 3 settings did not reach" in result.stderr
    assert result.code == 0


def test_a_chip_shows_what_was_measured(chip_file: Path, capsys: Capsys, tmp_path: Path) -> None:
    words = ["--device", str(chip_file), "--sweep", "e1=-1:0.5:4", "--sweep", "e3=0:0.9:3", "--at", "e2=0.5"]
    result = in_process(capsys, "iv", *words, "--out", str(tmp_path / "out"), "--json")
    found = result.document
    assert found["electrodes"] == ["out"]
    chip = ChipSurrogate.from_npz(chip_file)
    volts = np.zeros((4, 3, 3))
    volts[..., 0], volts[..., 1], volts[..., 2] = np.linspace(-1, 0.5, 4)[:, None], 0.5, np.linspace(0, 0.9, 3)
    np.testing.assert_allclose(table(found)[..., 0], -chip.outputs_A(volts), rtol=1e-14)
    assert (tmp_path / "out" / "iv.png").exists()


def test_people_see_one_line_an_electrode(capsys: Capsys) -> None:
    result = in_process(capsys, "iv", "--sweep", "e1=0:0.1:2", "--electrode", "e0,e1")
    assert [line[:3] for line in result.stdout.splitlines()] == ["e0:", "e1:"]
    assert "dI/de1 < 0 at 0 %" in result.stdout.splitlines()[1]


def test_ctrl_c_keeps_what_exists(interrupt_at: Callable[..., None], capsys: Capsys, tmp_path: Path) -> None:
    interrupt_at(MeanField, "solve", 3)
    result = in_process(capsys, "iv", "--sweep", "e1=-0.2:0.2:5", "--out", str(tmp_path), "--json")
    assert result.code == 130
    error = result.document["error"]
    assert error["problem"] == "stopped by Ctrl-C after 2 of 5 settings"
    assert "iv.nc" in error["fix"]
    assert {entry.name for entry in tmp_path.iterdir()} == {"iv.nc", "summary.json"}
    assert json.loads((tmp_path / "summary.json").read_text())["error"] == error
    with xr.open_dataset(tmp_path / "iv.nc") as data:
        assert data.attrs["interrupted"] == 1
        assert data.attrs["complete"] == 0
        assert np.isfinite(data["current_A"]).all("terminal").values.tolist() == [True, True, False, False, False]


def test_ctrl_c_without_a_folder_tells_of_the_option(interrupt_at: Callable[..., None], capsys: Capsys) -> None:
    interrupt_at(MeanField, "solve", 3)
    result = in_process(capsys, "iv", "--sweep", "e1=-0.2:0.2:5")
    assert result.code == 130
    assert result.stdout == ""
    assert "2 of 5" in result.stderr
    assert "--out" in result.stderr


def test_curves_show_the_numbers() -> None:
    from analysis.plots.device import plot_iv

    x = np.array([0.0, 0.1, 0.2])
    current = np.array([[0.0, 1e-9], [2e-9, -3e-9], [4e-9, -5e-9]])
    data = xr.Dataset({"current_A": (("e1_V", "terminal"), current)}, coords={"e1_V": x, "terminal": ["e0", "e5"]})
    left, right = plot_iv(data).axes
    curve = next(line for line in left.lines if line.get_label() == "e5")
    np.testing.assert_allclose(curve.get_xdata(), x)
    np.testing.assert_allclose(curve.get_ydata(), [1, -3, -5])
    assert left.get_ylabel() == "current into the electrode (nA)"
    assert left.get_xlabel() == "e1 (V)"
    np.testing.assert_allclose(right.lines[1].get_ydata(), [1, 3, 5])


S = ["--sweep", "e1=0:0.1:3"]
WRONG = [
    ([], "sweep", ["one or two", "e1=-0.5:0.5:101"]),
    ([*S, "--sweep", "e2=0:1:2", "--sweep", "e3=0:1:2"], "sweep", ["one or two"]),
    (["--sweep", "e1"], "sweep", ["'e1'", "is no sweep"]),
    (["--sweep", ""], "sweep", ["''", "is no sweep"]),
    (["--sweep", "e1=0:1"], "sweep", ["is no sweep"]),
    (["--sweep", "e1=0:1:2:3"], "sweep", ["is no sweep"]),
    (["--sweep", "e1=a:1:3"], "sweep", ["'a' is no voltage"]),
    (["--sweep", "e1=0:nan:3"], "sweep", ["'nan' is no voltage"]),
    (["--sweep", "e1=0:1:x"], "sweep", ["'x' is no number of points"]),
    (["--sweep", "e1=0:1:0"], "sweep", ["0 points", "at least 2"]),
    (["--sweep", "e1=0.2:0.2:3"], "sweep", ["starts where it ends"]),
    (["--sweep", "e9=0:1:3"], "sweep", ["'e9'", "e0, e1"]),
    (["--sweep", "e1=0:1.5:3"], "sweep", ["e1's range", "-1 to 1 V"]),
    (["--sweep", "e1=0:1:2000", "--sweep", "e2=0:1:2000"], "sweep", ["4000000 settings"]),
    ([*S, "--sweep", "e1=0:1:2"], "sweep", ["again"]),
    ([*S, "--at", "e1=0.1"], "at", ["swept"]),
    ([*S, "--at", "e2"], "at", ["'e2' is no setting"]),
    ([*S, "--at", ""], "at", ["is no setting"]),
    ([*S, "--at", "e2=x"], "at", ["'x' is no voltage"]),
    ([*S, "--at", "e9=1"], "at", ["'e9'"]),
    ([*S, "--at", "e2=-7"], "at", ["e2's range"]),
    ([*S, "--at", "e2=0.1,e2=0.2"], "at", ["twice"]),
    ([*S, "--electrode", "e9"], "electrode", ["'e9'"]),
    ([*S, "--electrode", "e1,e1"], "electrode", ["twice"]),
    ([*S, "--device", "foo"], "device", ["'foo'", "meanfield, kmc"]),
    ([*S, "--device", "/etc/hostname"], "device", ["/etc/hostname"]),
    ([*S, "--until", "0.1"], "until", ["kinetic Monte Carlo only"]),
    ([*S, "--hops", "5000"], "hops", ["kinetic Monte Carlo only"]),
    ([*S, "--device", "kmc", "--until", "2"], "until", ["between 0 and 1"]),
    ([*S, "--device", "kmc", "--hops", "3"], "hops", ["at least 1024"]),
    ([*S, "--device", "kmc", "--hops", "x"], "hops", ["'x'"]),
    ([*S, "--out", "/dev/null/x"], "out", ["/dev/null/x"]),
    ([*S, "--seed", "-1"], "seed", ["'-1'"]),
]


@pytest.mark.parametrize(("words", "field", "told"), WRONG, ids=[" ".join(words) for words, _, _ in WRONG])
def test_wrong_words(words: list[str], field: str, told: list[str], capsys: Capsys) -> None:
    result = in_process(capsys, "iv", *words, "--json")
    assert result.document["error"]["field"] == field
    assert_refused(replace(result, stdout=""), field, *told)


def test_a_chip_refuses_what_it_does_not_know(chip_file: Path, capsys: Capsys) -> None:
    words = ["iv", "--device", str(chip_file), "--sweep"]
    for more, field, told in (
        (["e1=0:0.1:3", "--electrode", "e2"], "electrode", "no known current"),
        (["e1=0:0.6:3"], "sweep", "-1 to 0.5 V"),
        (["out=0:0.1:3"], "sweep", "out's range"),
        (["e1=0:0.1:3", "--at", "e2=0.6"], "at", "e2's range"),
        (["e1=0:0.1:3", "--device-seed", "3"], "device_seed", "means nothing"),
    ):
        assert_refused(in_process(capsys, *words, *more), field, told)


def test_the_bar_counts_settings(monkeypatch: pytest.MonkeyPatch, capsys: Capsys) -> None:
    told: list[Any] = []
    original = iv_run.counted

    def counted(console: Any, what: str, total: int) -> Any:
        told.append((what, total))
        return original(console, what, total)

    monkeypatch.setattr(iv_run, "counted", counted)
    in_process(capsys, "iv", "--sweep", "e1=0:0.1:3", "--sweep", "e2=0:0.1:2")
    assert told == [("settings", 6)]
