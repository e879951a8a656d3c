"""`inmateria stability`: the margins of every channel, what falls short of what is asked, and what has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from circuits.homodyne.stability import Stability

from .command import Result, assert_refused, in_process

DESIGN = """
name = "small"
[device]
model = "{chip}"
inputs = ["e1", "e2"]
[task]
name = "AND"
[learning]
sequences = 1
restarts = 1
{learning}
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, chip: str) -> Any:
    """Run the command on a design with these lines in its section learning."""

    def run(*words: str, learning: str = "") -> Result:
        path = tmp_path / "design.toml"
        path.write_text(DESIGN.format(chip=chip, learning=learning), encoding="utf-8")
        return in_process(capsys, "stability", str(path), "--engine", "averaged", *words)

    return run


def test_a_sound_loop_passes_and_leaves_its_margins(run: Any, tmp_path: Path) -> None:
    result = run("--json", "--out", str(tmp_path / "out"))
    assert result.code == 0
    told = result.document
    assert told["success"]
    assert told["below"] == []
    margins = {one["name"]: one["margin_dB"] for one in told["channels"]}
    assert list(margins) == list(told["start"]["controls_V"])
    assert told["tightest"] == min(margins, key=lambda name: margins[name])
    assert min(margins.values()) > 0.0
    assert result.stderr.count("pass ") == len(margins) + 1
    assert f"{told['tightest']} is the tightest" in result.stderr
    assert {Path(name).name for name in told["files"]} == {"stability.nc", "stability.png", "summary.json"}
    with xr.open_dataset(tmp_path / "out" / "stability.nc") as data:
        np.testing.assert_allclose(data["margin_dB"], list(margins.values()))
        now = int(np.argmin(np.abs(data["factor"].values)))
        # the loop without the tightest channel has one multiplier at 1 more, and none outside the circle
        assert float(np.hypot(data["multiplier_real"][now], data["multiplier_imag"][now]).max()) < 1.02


def test_the_start_and_the_margin_are_those_of_a_learning_run(
    run: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    told = run("--json").document
    design = str(tmp_path / "design.toml")
    learned = in_process(capsys, "learn", "--design", design, "--engine", "averaged", "--json").document
    assert told["stability"]["margin_dB"] == pytest.approx(learned["stability"]["margin_dB"], rel=1e-9)
    shares = {one["name"]: one["rate"] for one in told["channels"]}
    assert shares == pytest.approx(learned["rates"], rel=1e-9)


def test_a_rate_a_hundred_times_too_high_is_named_and_ends_with_one(run: Any) -> None:
    shares = [0.01] * 7
    sound = run("--json", learning=f"rate = 10.0\nrates = {shares}").document
    assert sound["success"]
    tightest = [one["name"] for one in sound["channels"]].index(sound["tightest"])
    shares[tightest] = 1.0
    result = run("--json", learning=f"rate = 10.0\nrates = {shares}")
    assert result.code == 1
    told = result.document
    fault = told["channels"][tightest]
    before = sound["channels"][tightest]["margin_dB"]
    assert before < 40.0
    assert fault["margin_dB"] == pytest.approx(before - 40.0, abs=0.05)
    assert told["tightest"] == sound["tightest"]
    assert told["stability"]["decay_s"] is None
    assert f"hunts by {told['tightest']}, whose rate has to fall to" in result.stderr
    # a channel that cannot still the loop has no margin of its own
    others = [one for k, one in enumerate(told["channels"]) if k != tightest]
    assert [one["margin_dB"] for one in others] == [None] * 6
    assert len(told["below"]) == 8
    assert "doubt: the loop hunts" in result.stderr


def test_more_margin_than_there_is_ends_with_one(run: Any) -> None:
    told = run("--json").document
    least = min(told["stability"]["margin_dB"], *(one["margin_dB"] for one in told["channels"]))
    for asked, code in ((least - 0.1, 0), (least + 0.1, 1)):
        result = run("--margin-min", f"{asked:.4f}", "--json")
        assert result.code == code
        assert bool(result.document["below"]) == bool(code)


def test_what_has_no_margin_is_refused(run: Any) -> None:
    assert_refused(run(learning='loss = "hinge"'), "learning.loss", "no curvature", "squared")
    assert_refused(run("--margin-min", "nan"), "margin_min", "decibels")


def test_ctrl_c_ends_with_130_and_says_so(run: Any, interrupt_at: Any) -> None:
    interrupt_at(Stability, "hunts_at", 30)
    result = run()
    assert result.code == 130
    assert "stopped by Ctrl-C" in result.stderr
    assert result.stdout == ""
