"""`--device mine.lib`: every command takes a netlist as the device, and says in one line what it cannot do with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.toys import BRIDGE

from .command import answered, assert_refused, in_process


@pytest.fixture
def bridge(tmp_path: Path) -> str:
    path = tmp_path / "bridge.lib"
    path.write_text(BRIDGE, encoding="utf-8")
    return str(path)


def test_device_and_iv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two resistors: all that the commands tell is a closed form."""
    path = tmp_path / "two.cir"
    path.write_text("two\n* device limits: -2 2\n.subckt two out a b\nRa a out 1meg\nRb b out 4meg\n.ends\n")
    told = answered(capsys, "device", "--device", str(path), "--at", "a=1,b=-2", "--json")
    assert told["currents_A"] == pytest.approx({"out": -0.5e-6, "a": 1e-6, "b": -0.5e-6})
    assert told["output_slopes_S"] == pytest.approx({"out": 1.25e-6, "a": -1e-6, "b": -0.25e-6})
    assert told["device"] == {"model": "netlist", "preset": None, "seed": None, "file": str(path)}
    words = ["iv", "--device", str(path), "--sweep", "a=-1:1:5", "--sweep", "b=0:2:3", "--json"]
    found = answered(capsys, *words)["currents_A"]
    a, b = np.linspace(-1, 1, 5)[:, None], np.linspace(0, 2, 3)
    np.testing.assert_allclose(found["out"], -1e-6 * a - 0.25e-6 * b, atol=1e-18)


def test_gradient(bridge: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = answered(capsys, "gradient", "--device", bridge, "--seed", "4", "--json")
    assert found["cosine"] > 0.99999
    assert found["controls"] == ["a", "b", "c", "d", "e"]
    assert (found["device"]["output"], found["device"]["inputs"]) == ("out", ["a", "b"])


def test_learn_and_its_files(bridge: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "xor"
    found = answered(capsys, "learn", "XOR", "--device", bridge, "--seed", "31", "--out", str(folder), "--json")
    assert found["success"]
    assert found["margin"] > 0.3
    assert min(found["gradient"]["output"]["cosines"]) > 0.999
    assert "bridge_as_device" in (folder / "deck.cir").read_text()


def test_plan(bridge: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", "--device", bridge, "--error", "0.3", "--points", "2", "--limit", "0.05", "--filters", "boxcar"]
    words += ["--share", "0.5", "--confidence", "0.75"]
    assert answered(capsys, *words, "--json")["error"] <= 0.3


@pytest.mark.slow
def test_verify(bridge: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To its verdict and its report, boards in ngspice; gone on with only while the netlist is the same."""
    text = """
seed = 5
device = { model = "bridge.lib" }
task = { name = "AND" }
learning = { sequences = 2, restarts = 1, looks = 4 }
tolerances = { resistor = "1 %" }
verify = { engine = "ngspice", samples = 2, starts = 2 }
"""
    (tmp_path / "and.toml").write_text(text)
    words = ["verify", str(tmp_path / "and.toml"), "--quick", "--workers", "1"]
    folder = tmp_path / "out"
    found = in_process(capsys, *words, "--out", str(folder), "--json").document
    assert found["boards"]["engine"] == "ngspice"
    assert len(found["boards"]["passed"]) == 2
    assert min(found["nominal"]["gradient"]["output"]["cosines"]) > 0.999
    assert "bridge_as_device" in (folder / "nominal-quick.cir").read_text()
    assert "bridge.lib" in (folder / "report.html").read_text()
    Path(bridge).write_text(BRIDGE.replace("50meg", "40meg"))
    assert_refused(in_process(capsys, *words, "--out", str(folder)), "out", "holds another design's verification")
    (tmp_path / "and.toml").write_text(text.replace('"ngspice"', '"averaged"'))
    refused = in_process(capsys, *words)
    assert_refused(refused, "verify.engine", "knows no equations of bridge.lib, a netlist; choose ngspice")


@pytest.mark.parametrize(
    ("words", "field", "said"),
    [
        (["learn", "XOR", "--engine", "twin"], "device", "use --engine ngspice"),
        (["learn", "XOR", "--electrodes", "out:a"], "electrodes", "is not of the form"),
        (["iv", "--sweep", "a=-2:0:3"], "sweep", "leaves a's range"),
        (["gradient", "--device-seed", "3"], "device_seed", "means nothing to a netlist"),
    ],
)
def test_what_it_cannot_do_with_it(
    words: list[str], field: str, said: str, bridge: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(in_process(capsys, *words, "--device", bridge), field, said)


def test_a_file_that_says_nothing_of_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "silent.lib"
    path.write_text(".subckt silent out a b\nRa a out 1meg\nRb b out 1meg\n.ends\n")
    words = ["learn", "AND", "--device", str(path)]
    assert_refused(in_process(capsys, *words), "limits_V", "device limits: -1 1")
    path.write_text("* device limits: -1 1\n* device inputs: a\n" + path.read_text())
    assert_refused(in_process(capsys, *words), "electrodes", "no 2 inputs")
