"""`inmateria lockin`: the figures are the textbook's, files are there, bad input is one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from .command import answered, assert_refused, in_process

Capsys = pytest.CaptureFixture[str]
TEXTBOOK = {
    "6": (1 / 4, 4.61, 6.02),
    "12": (1 / 8, 6.64, 12.04),
    "18": (3 / 32, 8.41, 18.06),
    "24": (5 / 64, 10.05, 24.08),
}
WORDS = ["--time-constant", "4e-3", "--frequency", "1000"]


@pytest.mark.parametrize("realisation", ["digital", "ideal"])
def test_figures_are_the_textbooks(realisation: str, capsys: Capsys, tmp_path: Path) -> None:
    found = answered(capsys, "lockin", "--realisation", realisation, *WORDS, "--out", str(tmp_path / "out"), "--json")
    assert (found["command"], found["realisation"], found["seed"]) == ("lockin", realisation, None)
    assert list(found["slopes"]) == list(TEXTBOOK)
    for slope, (enbw, settling, rolloff) in TEXTBOOK.items():
        sheet = found["slopes"][slope]
        assert sheet["enbw_times_tau"] == pytest.approx(enbw, rel=0.01)
        assert sheet["settle99_over_tau"] == pytest.approx(settling, rel=0.01)
        assert sheet["rolloff_dB_per_octave"] == pytest.approx(rolloff, abs=0.1)
        assert sheet["phase_error_deg"] < 0.01
        assert set(sheet["harmonic_rejection_dB"]) == {"2", "3", "4", "5"}
        assert found["textbook"][slope]["enbw_times_tau"] == pytest.approx(enbw, rel=1e-12)
        assert sheet["dynamic_reserve_is_a_bound"] is False
    folder = tmp_path / "out"
    assert {Path(name).name for name in found["files"]} == {"lockin.nc", "lockin.png", "summary.json"}
    assert json.loads((folder / "summary.json").read_text()) == found
    assert (folder / "lockin.png").read_bytes()[:4] == b"\x89PNG"
    with xr.open_dataset(folder / "lockin.nc") as data:
        assert data["slope"].values.tolist() == [6, 12, 18, 24]
        assert data["transfer"].attrs["units"] == "1"
        power = data["transfer"].sel(slope=12)
        exact = (1 + (2 * np.pi * 4e-3 * data["offset_Hz"]) ** 2) ** -2
        near = np.abs(data["offset_Hz"].values) < 500
        np.testing.assert_allclose(power.values[near], exact.values[near], rtol=2e-3)
        assert data.attrs["realisation"] == realisation


def test_the_table_is_for_people(capsys: Capsys) -> None:
    result = in_process(capsys, "lockin", *WORDS, "--mixer", "square")
    assert result.code == 0, result.stderr
    rows = {line[:28].strip(): line[28:].split() for line in result.stdout.splitlines() if line.strip()}
    assert [float(cell) for cell in rows["ENBW × τ"]] == pytest.approx([0.25, 0.125, 0.09375, 0.078125], rel=0.01)
    assert rows["closed form"] == ["6.02", "12.04", "18.06", "24.08"]  # the last of the three
    assert rows["rejection of harmonic 3 (dB)"] == ["9.5"] * 4
    assert rows["rejection of harmonic 5 (dB)"] == ["14.0"] * 4
    assert all(len(line) <= 80 for line in result.stdout.splitlines()[1:])


WRONG = [
    (["--time-constant", "1"], "time_constant", ["1.0", "1000 cycles", "0.002 to 0.2 s"]),
    (["--time-constant", "0"], "time_constant", ["0.0"]),
    (["--time-constant", "soon"], "time_constant", ["'soon'", "seconds"]),
    (["--frequency", "nan"], "frequency", ["nan"]),
    (["--frequency", "-5"], "frequency", ["-5.0"]),
    (["--full-scale", "0"], "full_scale", ["0.0"]),
    (["--realisation", "wood"], "realisation", ["'wood'", "digital, ideal or macro"]),
    (["--mixer", "cake"], "mixer", ["'cake'", "sine or square"]),
    (["--out", "/dev/null/x"], "out", ["/dev/null/x"]),
]


@pytest.mark.parametrize(("words", "field", "told"), WRONG, ids=[" ".join(w) for w, _, _ in WRONG])
def test_bad_input_is_one_line_and_one_document(words: list[str], field: str, told: list[str], capsys: Capsys) -> None:
    result = in_process(capsys, "lockin", "--json", *words)
    error = result.document["error"]
    assert error["field"] == field
    assert_refused(replace(result, stdout=""), field, *told)


def test_help_has_an_example_and_a_word_on_every_option(capsys: Capsys) -> None:
    result = in_process(capsys, "lockin", "--help")
    assert result.code == 0
    assert "Example: inmateria lockin" in result.stdout
    for option in ("--realisation", "--time-constant", "--frequency", "--mixer", "--full-scale", "--out", "--json"):
        told = result.stdout.partition(f"  {option} ")[2].partition("  --")[0]
        assert len(told.split()) > 2
