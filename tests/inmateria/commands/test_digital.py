"""`inmateria digital`: both engines descend alike, what it leaves behind, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import xarray as xr

from tests.toys import BRIDGE

from .command import assert_refused, in_process

COMPUTER = ["--rate", "2kHz", "--adc-bits", "12", "--dac-bits", "0", "--adc-range", "500mV", "--latency", "0.6ms"]


@pytest.fixture
def design(tmp_path: Path) -> str:
    (tmp_path / "bridge.lib").write_text(BRIDGE)
    path = tmp_path / "short.toml"
    path.write_text('[device]\nmodel = "bridge.lib"\n[task]\nname = "XOR"\n[learning]\nsequences = 2\nrestarts = 2\n')
    return str(path)


def test_both_engines_descend_alike(design: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["digital", "--design", design, "--seed", "4", *COMPUTER, "--json"]
    folder = tmp_path / "out"
    told = in_process(capsys, *words, "--out", str(folder)).document
    alone = in_process(capsys, *words, "--engine", "recurrence").document
    assert list(told["controls_V"].values()) == pytest.approx(list(alone["controls_V"].values()), abs=1e-6)
    assert told["restarts"] == alone["restarts"] == (1 if told["success"] else 2)
    assert min(told["cosines"].values()) > 0.99
    assert told["computer"] == {
        "rate_Hz": 2000.0, "adc_bits": 12, "dac_bits": None, "adc_range_V": 0.5, "transimpedance_ohm": 1e7,
        "latency_s": 0.6e-3, "assumed_latency_s": 0.6e-3,
    }  # fmt: skip
    assert {Path(name).name for name in told["files"]} == {"digital.nc", "digital.png", "summary.json"}
    with xr.open_dataset(folder / "digital.nc", engine="h5netcdf") as data:
        assert data["slopes"].shape == (2, 4, 5)
        assert data["controls"].values[-1].tolist() == list(told["controls_V"].values())


def test_a_latency_that_the_computer_does_not_know(design: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["digital", "--design", design, "--seed", "4", "--latency", "2.1ms", "--engine", "recurrence", "--json"]
    known, unknown = (in_process(capsys, *words, *more).document for more in ([], ["--assumed-latency", "0"]))
    assert known["cosines"]["start"] > 0.99
    assert unknown["cosines"]["start"] < 0.9


@pytest.mark.parametrize(
    ("words", "field", "said"),
    [
        (["--rate", "1kV"], "rate", "Hz is required"),
        (["--rate", "1234"], "rate_Hz", "whole multiple"),
        (["--latency", "1mV"], "latency", "s is required"),
        (["--engine", "twin"], "engine", "ngspice"),
    ],
)
def test_what_it_refuses(
    words: list[str], field: str, said: str, design: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(in_process(capsys, "digital", "--design", design, *words), field, said)
