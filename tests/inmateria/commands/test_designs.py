"""Designs on the command line: the written one, what `--design` changes, and what a verification says."""

from __future__ import annotations

import json
import re
import tomllib
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from analysis.designs.design import Design
from inmateria.commands.experiment import from_design, read_design

from .command import Result, assert_refused, in_process

SMALL = """
name = "small"
[device]
model = "{chip}"
inputs = ["e1", "e2"]
[task]
name = "AND"
[dither]
amplitude = "20 mV"
[learning]
sequences = 8
[electronics]
level = "macro"
values = {{ mixer = {{ offset = 0.2e-3 }} }}
[tolerances]
resistor = "1 %"
capacitor = "5 %"
offset = 1.0
[criteria]
margin_min = 0.2
hold_min = "1 s"
loop_margin_min = "0.5 dB"
[verify]
samples = 3
starts = 2
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    return partial(in_process, capsys)


@pytest.fixture
def small(tmp_path: Path, chip: str) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL.format(chip=chip))
    return path


def keys_of(model: Any, prefix: str = "") -> set[str]:
    found = set()
    for name, field in model.model_fields.items():
        below = getattr(field.annotation, "model_fields", None)
        found |= keys_of(field.annotation, f"{name}.") if below else {prefix + name}
    return found


def test_the_written_design_shows_every_key_and_all_it_shows_is_right(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "d.toml"
    assert run("init", str(path), "--json").document["files"] == [str(path)]
    Design.from_toml(path)
    text = path.read_text()
    shown, section = set(), ""
    for line in text.splitlines():
        bare = line.removeprefix("# ").strip()
        if header := re.match(r"\[([\w.]+)\]", bare):
            section = header[1] + "."
            shown.add(header[1])
        elif key := re.match(r"(\w+) = ", bare):
            shown.add(section + key[1])
    missing = {key for key in keys_of(Design) if key not in shown}
    assert missing == set()
    # what is commented out is right, too: each line for itself in its section
    for line in text.splitlines():
        if header := re.match(r"(?:# )?\[([\w.]+)\]", line):
            section = header[1]
        elif re.match(r"# (\w+) = ", line) and "file =" not in line:
            table: Any = tomllib.loads(line.removeprefix("# "))
            for name in reversed(section.split(".")):
                table = {name: table}
            Design.from_values(table)


def test_init_replaces_no_file(run: Any, tmp_path: Path) -> None:
    assert run("init", str(tmp_path)).code == 0
    assert_refused(run("init", str(tmp_path)), "path", "exists already", "--force")
    assert run("init", str(tmp_path), "--force").code == 0


def test_options_take_the_place_of_the_designs_values(
    tmp_path: Path, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small.write_text(re.sub(r"\[device\]\n(.+\n)*?(?=\[)", "", small.read_text()))
    capsys.readouterr()
    design = read_design(str(small), {"amplitude": 0.005, "electrodes": "e1:e3,e5", "gate": "OR", "seed": 4})
    assert capsys.readouterr().err == f"the task is OR, as the command line says, in place of AND in {small}\n"
    read_design(str(small), {"gate": "and"})
    assert capsys.readouterr().err == ""
    experiment = from_design(design)
    bench = experiment.bench
    assert (bench.output, bench.inputs, experiment.task.name) == (1, (3, 5), "OR")
    assert experiment.settings.amplitude_V == 0.005
    assert experiment.settings.sequences == 8
    assert experiment.settings.parts["mixer"].defaults["offset"] == 0.2e-3
    assert design.seed == 4
    (tmp_path / "tones.toml").write_text('[dither]\nspacing = "20 Hz"\n')
    tones = read_design(str(tmp_path / "tones.toml"), {"frequencies": "260,270,300,360,440,490,510"})
    assert tones.dither.frequencies == (260.0, 270.0, 300.0, 360.0, 440.0, 490.0, 510.0)


def test_a_warmer_board_has_other_components(small: Path) -> None:
    warm = from_design(read_design(str(small), {}).changed({"electronics.temperature": "37 degC"})).settings
    assert warm.component_errors["tia.rf"] == pytest.approx(10 * 50e-6)
    assert warm.component_errors["mix0.offset"] == pytest.approx(0.2e-3 + 10 * 200e-6)
    assert warm.temperature_K == 310.15
    assert from_design(read_design(str(small), {})).settings.component_errors == {}


def test_learn_and_gradient_take_a_design(run: Any, small: Path) -> None:
    learned = run("learn", "--design", str(small), "--engine", "twin", "--restarts", "1", "--json")
    assert learned.code in (0, 1)
    document = learned.document
    assert (document["task"], document["level"], document["restarts"]) == ("AND", "macro", 1)
    assert document["design"]["name"] == "small"
    assert (document["hold"] is not None) == document["success"]
    read = run("gradient", "--design", str(small), "--engine", "twin", "--amplitude", "0.01", "--json").document
    assert (read["dither_V"], read["level"]) == (0.01, "macro")
    assert read["cosine_without_offset"] > 0.99


def test_a_gradient_is_read_where_the_designs_starts_come_from(run: Any, small: Path) -> None:
    """It was read within 0.6 of each range, whatever the design said."""
    small.write_text(small.read_text().replace("sequences = 8", "spread = 0.01"))
    words = ("gradient", "--design", str(small), "--engine", "twin", "--json")
    assert max(map(abs, run(*words).document["controls_V"])) <= 0.01


def test_a_verification_passes_or_names_what_failed(run: Any, small: Path, tmp_path: Path) -> None:
    words = ("verify", str(small), "--quick", "--workers", "1", "--out", str(tmp_path / "out"), "--json")
    found: Result = run(*words)
    assert found.code == 0, found.stderr
    document = found.document
    assert document["success"] is True
    boards = document["boards"]
    assert (boards["boards"], boards["starts"], len(boards["passed"])) == (3, 2, 3)
    assert boards["yield"]["low"] <= boards["yield"]["value"] <= boards["yield"]["high"]
    assert set(boards["references"]) == {"dead", "ideal"}
    assert document["holding"]["held"]["lasts_s"] >= 1.0
    assert {"hold_min", "loop_margin_min"} <= {one["name"] for one in document["criteria"]}
    margins = document["loop_margins"]
    assert min(one["margin_dB"] for one in (margins["stability"], *margins["channels"])) >= 0.5
    assert "Hold time" in (tmp_path / "out" / "report.html").read_text()
    stored = xr.open_zarr(tmp_path / "out" / "samples-quick.zarr", consolidated=False)
    assert (stored.sizes["board"], stored.sizes["start"]) == (3, 2)
    assert abs(stored["error"].sel(component="w0.rate")).max() <= 0.01
    assert json.loads((tmp_path / "out" / "verification.json").read_text())["success"] is True
    assert "B" in (tmp_path / "out" / "worst.cir").read_text()
    assert {"nominal-quick.nc", "nominal-quick.cir"} <= {Path(name).name for name in document["files"]}
    # given again, nothing is trained but the worst sample, for its waveforms; and all it says is the same
    before = (tmp_path / "out" / "nominal-quick.nc").stat().st_mtime_ns
    assert {**run(*words).document, "wall_s": None} == {**document, "wall_s": None}
    assert (tmp_path / "out" / "nominal-quick.nc").stat().st_mtime_ns == before
    small.write_text(small.read_text().replace("margin_min = 0.2", "margin_min = 0.999"))
    told = "criteria.margin_min = 0.2, not 0.999"
    refused: Result = run(*words[:-1])
    assert (refused.code, refused.stdout) == (2, "")
    last = refused.stderr.splitlines()[-1]  # behind a doubt, perhaps
    assert last.startswith("error: out = ")
    assert "holds another design's verification" in last
    assert told in last
    small.write_text(small.read_text().replace("samples = 3", "samples = 0"))
    refused: Result = run(*words[:-2], str(tmp_path / "other"), "--json")
    assert refused.code == 1
    assert refused.document["success"] is False
    assert "margin_min (nominal)" in refused.document["failed"]


def test_wrong_designs_end_in_one_line(run: Any, small: Path, tmp_path: Path) -> None:
    assert_refused(run("verify", str(tmp_path / "none.toml")), "design", "is no file", "inmateria init")
    text = small.read_text().replace("starts = 2", "starts = 5")
    for old, new, field, told in (
        ("resistor", "resitor", "tolerances.resitor", "did you mean tolerances.resistor?"),
        ('"20 mV"', '"20 mA"', "dither.amplitude", "is in mA, V is required"),
        ("margin_min = 0.2", "yield_min = 0.9", "criteria.yield_min", "cannot be shown by 3 boards"),
        ("samples = 3", 'samples = 3\nengine = "fast"', "verify.engine", "'ngspice', 'twin' or 'averaged'"),
        ('level = "macro"', 'level = "transistor"', "verify.engine", "knows no equations"),
        ("{ offset", "{ ofset", "electronics.values.mixer.ofset", "did you mean 'offset'?"),
    ):
        assert old in text
        small.write_text(text.replace(old, new))
        assert_refused(run("verify", str(small)), field, told)
    small.write_text(text)
    assert_refused(run("learn"), "gate", "is missing", "--design")
