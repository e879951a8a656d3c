"""`inmateria check`: parts at resolved steps, and what runs without it say of themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
import xarray as xr

from ...planted_faults import BUFFER
from .command import assert_refused, in_process

DESIGN = """
name = "own low-pass"
[task]
name = "AND"
[electronics.parts]
lowpass = { file = "buffer.lib" }
"""


@pytest.fixture
def design(tmp_path: Path) -> Path:
    (tmp_path / "design.toml").write_text(DESIGN, encoding="utf-8")
    return tmp_path / "design.toml"


def test_a_part_that_oscillates_ends_with_one_and_is_named(
    capsys: pytest.CaptureFixture[str], design: Path, tmp_path: Path
) -> None:
    (tmp_path / "buffer.lib").write_text(BUFFER.format(load="10n"), encoding="utf-8")
    result = in_process(capsys, "check", str(design), "--out", str(tmp_path / "out"), "--json")
    assert result.code == 1
    found = result.document["fast_check"]
    assert not found["passed"]
    bad = {one["question"] for one in found["findings"] if one["passed"] is False}
    assert bad == {"phase margin", "edge"}
    assert {Path(name).name for name in result.document["files"]} == {"loop_gain.nc", "loop_gain.png", "summary.json"}
    with xr.open_dataset(tmp_path / "out" / "loop_gain.nc") as data:
        assert float(data["phase_margin_deg"].min()) == pytest.approx(-22.5, abs=0.1)
    assert "FAIL" in result.stderr


def test_a_sound_part_ends_with_zero(capsys: pytest.CaptureFixture[str], design: Path, tmp_path: Path) -> None:
    (tmp_path / "buffer.lib").write_text(BUFFER.format(load="10p"), encoding="utf-8")
    result = in_process(capsys, "check", str(design))
    assert result.code == 0
    assert result.stdout.splitlines()[-1].endswith("answers, all good")


def test_equations_have_nothing_to_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "ideal.toml").write_text('name = "ideal"\n', encoding="utf-8")
    assert_refused(in_process(capsys, "check", str(tmp_path / "ideal.toml")), "electronics.level", "has no amplifiers")


@pytest.mark.parametrize(("level", "doubts"), [("ideal", 0), ("macro", 1)])
def test_a_run_with_amplifiers_says_that_it_could_not_see_them_oscillate(
    capsys: pytest.CaptureFixture[str], level: str, doubts: int
) -> None:
    result = in_process(capsys, "gradient", "--engine", "twin", "--level", level, "--json")
    told = [one for one in result.document["doubts"] if "inmateria check" in one]
    assert len(told) == doubts
    assert result.stderr.count("inmateria check") == doubts
