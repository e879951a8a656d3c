"""Whatever is wrong with a command line ends with exit code 2 and one line that names field, value and fix."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from circuits.parts import preamble

from .command import assert_refused, in_child, in_process

SEVEN = "270,300,360,440,490,510"

# words, field, what the line must tell
WRONG = [
    (["learn", "NOSUCH"], "gate", ["'NOSUCH'", "XNOR"]),
    (["learn", "AND", "--frequencies", f"-260,{SEVEN}"], "frequencies[0]", ["-260.0", "above 0"]),
    (["learn", "AND", "--frequencies", "100,110,120,130,140,150,160"], "frequencies", ["collide", "260,270,300"]),
    (["learn", "AND", "--frequencies", "260,260,300,360,440,490,510"], "frequencies", ["260", "twice"]),
    (["learn", "AND", "--frequencies", f"260.1234567,{SEVEN}"], "frequencies", ["common period"]),
    (["learn", "AND", "--frequencies", f"260.001,{SEVEN}"], "frequencies", ["time-points", "common period"]),
    (["learn", "AND", "--frequencies", "260,270"], "frequencies", ["7 trained electrodes"]),
    (["learn", "AND", "--frequencies", "a,b"], "frequencies", ["'a,b'", "numbers"]),
    (["learn", "AND", "--frequencies", ""], "frequencies", ["empty"]),
    (["learn", "AND", "--amplitude", "2"], "amplitude", ["2.0", "no room"]),
    (["learn", "AND", "--amplitude", "0.9"], "amplitude", ["0.9", "no room within e2's range", "the swing"]),
    (["learn", "AND", "--amplitude", "-0.1"], "amplitude", ["-0.1"]),
    (["learn", "AND", "--amplitude", "lots"], "amplitude", ["'lots'", "volt"]),
    (["learn", "AND", "--max-step", "1"], "max_step", ["too coarse", "510 Hz", "take at most 0.000245 s"]),
    (["learn", "AND", "--max-step", "0"], "max_step", ["0.0"]),
    (["learn", "AND", "--max-step", "1e-12"], "max_step", ["time-points", "take at least"]),
    (["learn", "AND", "--device", "foo"], "device", ["'foo'", "meanfield"]),
    (["learn", "AND", "--device", ""], "device", ["''", "meanfield"]),
    (["learn", "AND", "--out", "/dev/null/x"], "out", ["/dev/null/x", "cannot be written"]),
    (["learn", "AND", "--seed", "-1"], "seed", ["'-1'", "at least 0"]),
    (["learn", "AND", "--seed=1.5"], "seed", ["'1.5'", "whole number"]),
    (["learn", "AND", "--device-seed", "-3"], "device_seed", ["'-3'", "at least 0"]),
    (["learn", "AND", "--restarts", "0"], "restarts", ["'0'", "at least 1"]),
    (["plan", "--points", "2000"], "points", ["'2000'", "from 1 to 1000"]),
    (["learn", "AND", "--engine", "spectre"], "engine", ["'spectre'", "ngspice, twin or averaged"]),
    (["learn", "AND", "--loss", "cubic"], "loss", ["'cubic'", "squared, absolute or hinge"]),
    (["learn", "AND", "--electronics-noise", "--engine", "twin"], "electronics_noise", ["use --engine ngspice"]),
    (["learn", "NOSUCH", "--out", "new/run"], "gate", ["'NOSUCH'"]),
    (["lockin", "--time-constant", "1e-9", "--out", "run"], "time_constant", ["1e-09"]),
    (["learn", "AND", "--xyz"], "--xyz", ["is no option", "learn --help"]),
    (["learn", "AND", "--sed", "1"], "--sed", ["--seed"]),
    (["learn", "AND", "--seed"], "--seed", ["requires an argument"]),
    (["learn", "AND", "OR"], "arguments", ["OR"]),
    (["learn"], "gate", ["missing", "XNOR"]),
    (["teach", "AND"], "command", ["'teach'", "learn"]),
    (["gradient", "--at", "1,2,x"], "at", ["'1,2,x'"]),
    (["gradient", "--at", "0.1,0.2"], "at", ["2 values for 7 controls", "e1, e2"]),
    (["gradient", "--at", "9,0,0,0,0,0,0"], "at[0]", ["9.0", "-0.995 to 0.995 V"]),
    (["gradient", "--at", "0,0,0,0,0,nan,0"], "at[5]", ["nan"]),
    (["gradient", "--of", "loss", "--at", "0,0,0,0,0,0.8,0"], "at[5]", ["logic swing", "0.7449 V"]),
    (["gradient", "--of", "loss", "--gate", "foo"], "gate", ["'foo'"]),
    (["gradient", "--of", "foo"], "of", ["'foo'", "output or loss"]),
    (["gradient", "--amplitude", "inf"], "amplitude", ["inf"]),
    (["gradient", "--windows", "0"], "windows", ["0", "at least 1"]),
    (["gradient", "--windows", "1000000"], "windows", ["1000000", "time-points", "at most"]),
    (
        ["gradient", "--corrected", "--frequencies", "260,270,300,360,440,490,510"],
        "frequencies",
        ["which a correction reads", "2000, 2010, 2040"],
    ),
    (["export", "AND", "/dev/null/x"], "deck", ["/dev/null/x"]),
    (["export", "AND", "/tmp"], "deck", ["/tmp"]),
    (["export", "AND"], "deck", ["missing", "deck.cir"]),
]  # fmt: skip
NAMES = [" ".join(words) for words, _, _ in WRONG]


@pytest.mark.parametrize(("words", "field", "told"), WRONG, ids=NAMES)
def test_one_line_and_one_document_say_what_is_wrong(
    words: list[str],
    field: str,
    told: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = in_process(capsys, words[0], "--json", *words[1:])
    assert list(tmp_path.iterdir()) == []
    error = result.document["error"]
    assert error["field"] == field
    assert set(error) == {"field", "value", "problem", "fix"}
    assert error["problem"]
    assert error["fix"]
    assert_refused(replace(result, stdout=""), field, *told)


@pytest.mark.parametrize(("words", "field", "told"), WRONG[::8], ids=NAMES[::8])
def test_without_json_nothing_is_on_stdout(
    words: list[str], field: str, told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(in_process(capsys, *words), field, *told)


@pytest.mark.parametrize("words", [["learn", "AND"], ["gradient"], ["export", "AND", "deck.cir"]])
def test_a_missing_library_is_named(
    words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NGSPICE_LIBRARY_PATH", "/nonexistent")
    assert_refused(in_process(capsys, *words), "NGSPICE_LIBRARY_PATH", "/nonexistent", "apt-get install ngspice")
    assert list(tmp_path.iterdir()) == []


def test_a_library_that_is_none_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    not_a_library = tmp_path / "libngspice.so"
    not_a_library.write_text("no library")
    monkeypatch.setenv("NGSPICE_LIBRARY_PATH", str(not_a_library))
    assert_refused(in_process(capsys, "gradient"), "libngspice", str(not_a_library), "apt-get install ngspice")


@pytest.mark.parametrize(
    "words",
    [
        ("learn", "AND", "--restarts", "1"),
        ("learn", "AND", "--restarts", "1", "--level", "macro"),  # fails before the attempt, where the stage is set
        ("gradient",),
        ("gradient", "--of", "loss", "--level", "macro"),
    ],
    ids=" ".join,
)
def test_a_deck_that_ngspice_rejects_is_kept(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...]
) -> None:
    for name in ("OPTIONS", "LOOSE"):  # of ideal parts, and of those with op-amps
        monkeypatch.setattr(preamble, name, getattr(preamble, name) + "\nRbroken tia 0 nonsense of a value")
    result = in_process(capsys, *words, "--out", str(tmp_path / "run"))
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.code == 2
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: deck")
    kept = list((tmp_path / "run").glob("failed-*.cir"))
    assert len(kept) == 1
    assert str(kept[0]) in lines[0]
    assert "nonsense" in kept[0].read_text()


def test_streams_of_a_real_process(tmp_path: Path) -> None:
    plain = in_child(["learn", "AND", "--amplitude", "2"], tmp_path)
    assert_refused(plain, "amplitude", "2.0")
    document = in_child(["learn", "AND", "--engine", "x", "--json"], tmp_path)
    assert document.code == 2
    assert json.loads(document.stdout)["error"]["field"] == "engine"
    assert len(document.stderr.splitlines()) == 1
