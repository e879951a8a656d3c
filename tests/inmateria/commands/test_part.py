"""`inmateria part`: a vendor's model beside its data sheet and our own part."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import xarray as xr

from .command import assert_refused, in_process

MODELS = Path(__file__).parents[2] / "circuits" / "part_figures" / "models"


def test_a_model_that_agrees(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    wired = ["--pins", "inp=1,inn=2,out=5", "--supplies", "3=15,4=-15V"]
    sheet = ["--expect", "gbw=1MHz,slew=0.5V/us", "--expect", "noise=18nV/rtHz,gain=106dB"]
    file = str(MODELS / "boyle.lib")
    result = in_process(capsys, "part", file, "--as", "opamp", *wired, *sheet, "--out", str(tmp_path), "--json")
    assert result.code == 0
    found = {one["name"]: one for one in result.document["figures"]}
    assert found["gbw"]["measured"] == pytest.approx(1e6, rel=0.02)
    assert found["gbw"]["stated"] == 1e6
    assert found["gbw"]["ours"]["opamp_op07"] == pytest.approx(6e5, rel=0.02)
    assert [found[name]["agrees"] for name in ("slew", "noise")] == [True, True]
    assert math.isclose(found["noise"]["stated"], 18e-9)
    assert math.isclose(found["gain"]["stated"], 10 ** (106 / 20))
    assert found["supply_current"]["reason"] is None
    assert found["gbw"]["measured"] > 0
    assert {Path(name).name for name in result.document["files"]} == {"part.nc", "part.png", "summary.json"}
    with xr.open_dataset(tmp_path / "part.nc", engine="h5netcdf") as data:
        said = [one.attrs for one in data.data_vars.values() if one.attrs["curve"] == "open-loop gain"]
        assert [one["part"] for one in said] == ["boyle.lib", "our opamp_op07", "our opamp_tl072"]


def test_a_model_with_faults_ends_with_one(capsys: pytest.CaptureFixture[str]) -> None:
    result = in_process(capsys, "part", str(MODELS / "boyle.lib"), "--as", "opamp", "--expect", "gbw=3MHz")
    assert result.code == 1
    lines = result.stdout.splitlines()
    assert lines[0] == "pins inp=1, inn=2, out=5, 15 V=3, -15 V=4; read as ngspice"
    assert any(line.startswith("gbw") and line.endswith("FAIL: less than stated") for line in lines)
    assert lines[-1] == "1 thing speaks against this model"


def test_wrong_input(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = str(MODELS / "boyle.lib")
    for arguments, field, words in (
        ([file, "--as", "opampp"], "kind", "did you mean 'opamp'"),
        ([file, "--as", "opamp", "--expect", "gbw"], "expect", "gbw=600kHz"),
        ([file, "--as", "opamp", "--expect", "gwb=1MHz"], "stated", "did you mean 'gbw'"),
        ([file, "--as", "opamp", "--expect", "gbw=1V"], "expect gbw", "Hz is required"),
        ([file, "--as", "opamp", "--pins", "inp"], "pins", "inp=1"),
        ([file, "--as", "opamp", "--supplies", "3=15A"], "supplies", "V is required"),
        ([str(MODELS / "encrypted.lib"), "--as", "opamp"], "file", "encrypted"),
        ([str(tmp_path / "none.lib"), "--as", "opamp"], "file", "No such file"),
    ):
        assert_refused(in_process(capsys, "part", *arguments), field, words)
