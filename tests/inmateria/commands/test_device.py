"""`inmateria device`: key figures agree with the model, the picture exists, a chip's file is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from dnpu_models.mean_field.current_paths import hop_currents
from dnpu_models.mean_field.model import MeanField
from dnpu_models.mean_field.trust import MeanFieldTrustWarning
from dnpu_models.network.network import DopantNetwork
from dnpu_models.surrogate.chip import ChipSurrogate

from .command import answered, assert_refused, in_process

Capsys = pytest.CaptureFixture[str]


def test_figures_agree_with_the_model(capsys: Capsys, tmp_path: Path) -> None:
    words = ["--at", "e4=0.4,e2=-0.2", "--device-seed", "2", "--out", str(tmp_path), "--json"]
    found = answered(capsys, "device", *words)
    network = DopantNetwork.random(seed=2, preset="tertilt2022")
    volts = np.array([0, 0, -0.2, 0, 0.4, 0, 0, 0])
    model = MeanField(network)
    solution = model.solve(volts)
    largest = np.abs(solution.currents_A).max()
    assert found["voltages_V"] == dict(zip(model.terminals, volts, strict=True))
    np.testing.assert_allclose(list(found["currents_A"].values()), solution.currents_A, atol=1e-9 * largest)
    assert found["imbalance_A"] < 1e-9 * largest
    assert (found["sites"], found["donors"], found["temperature_K"]) == (200, 3, 77.0)
    assert found["occupation_mean"] == pytest.approx(solution.occupations.mean(), abs=1e-9)
    # e^2/(4 pi eps_0 kT) = 16.7 um K / T, over eps_r; a disc of 150 nm for 200 sites
    assert found["coulomb_length_m"] == pytest.approx(1.671e-5 / 77 / 10, rel=1e-3)
    assert found["mean_spacing_m"] == pytest.approx(150e-9 * np.sqrt(np.pi / 200), rel=1e-5)
    shares = [path["share"] for path in found["paths"]]
    assert shares == sorted(shares, reverse=True)
    assert len(shares) == 5
    assert all(0 < share < 1 for share in shares)
    assert found["paths_for_half"] > 5 or sum(shares) >= 0.5
    for path in found["paths"]:
        assert path["via"][0].startswith("e")
        assert path["via"][-1].startswith("e")
        assert all(isinstance(site, int) for site in path["via"][1:-1])
    assert {Path(name).name for name in found["files"]} == {"device.nc", "device.png", "summary.json"}
    assert json.loads((tmp_path / "summary.json").read_text()) == found
    assert (tmp_path / "device.png").read_bytes()[:4] == b"\x89PNG"
    with xr.open_dataset(tmp_path / "device.nc") as data:
        np.testing.assert_array_equal(data["site_m"], network.acceptors_m)
        np.testing.assert_allclose(data["occupation"], solution.occupations, atol=1e-9)
        sums = np.zeros(208)
        np.add.at(sums, data["hop_tail"].values, data["hop_A"].values)
        np.add.at(sums, data["hop_head"].values, -data["hop_A"].values)
        np.testing.assert_allclose(sums[200:], data["current_A"], atol=1e-9 * largest)
        assert np.abs(sums[:200]).max() < 1e-9 * largest
        assert data["potential_V"].attrs["units"] == "V"


def test_people_read_key_figures(capsys: Capsys) -> None:
    result = in_process(capsys, "device")
    assert result.code == 0
    assert "200 acceptors, 3 donors, 8 electrodes, 77 K" in result.stdout
    assert "largest path e4-" in result.stdout  # 0.5 V on e4 if nothing is said
    same = in_process(capsys, "device", "--device", "kmc", "--at", "e4=0.5")
    assert same.stdout == result.stdout


def test_a_chips_file_is_told(capsys: Capsys, tmp_path: Path) -> None:
    chip = ChipSurrogate(
        (np.ones((4, 2)), np.ones((2, 4)), np.ones((1, 2))), (np.ones(4), np.ones(2), [0.0]),
        [-1.0, -0.5], [0.5, 0.25], 2e-8,
    )  # fmt: skip
    path = chip.to_npz(tmp_path / "chip.npz")
    result = in_process(capsys, "device", "--device", str(path), "--json")
    found = result.document
    assert found["terminals"] == ["out", "e1", "e2"]
    assert found["ranges_V"] == {"e1": [-1.0, 0.5], "e2": [-0.5, 0.25]}
    assert found["layers"] == [2, 4, 2, 1]
    assert found["weights"] == 8 + 4 + 8 + 2 + 2 + 1
    assert found["scale_A"] == pytest.approx(2e-8)
    assert found["measured"] == ["out"]
    shown = in_process(capsys, "device", "--device", str(path)).stdout
    assert "2-4-2-1" in shown
    assert "e2 -0.5 to 0.25 V" in shown


def test_the_picture_names_electrodes_and_units() -> None:
    from analysis.plots.device import plot_device

    network = DopantNetwork.random(seed=1, preset="tertilt2022", acceptors=40)
    volts = np.array([0, 0.3, 0, 0, -0.2, 0, 0, 0.0])
    flow = hop_currents(MeanField(network), volts)
    figure = plot_device(network, volts, flow, title="forty sites")
    axes, *bars = figure.axes
    texts = [text.get_text() for text in axes.texts]
    for k in range(8):
        assert sum(text.startswith(f"e{k}\n") for text in texts) == 1
    assert any("+0.3 V" in text for text in texts)
    assert any("−0.2 V" in text for text in texts)
    assert any(text.endswith(" nm") for text in texts)
    assert {bar.get_ylabel() for bar in bars} == {"potential of the electrodes (V)", "occupation by a hole"}
    sites = next(c for c in axes.collections if c.get_offsets().shape == (40, 2))
    np.testing.assert_allclose(sites.get_offsets(), network.acceptors_m * 1e9)
    np.testing.assert_allclose(sites.get_array(), flow.occupations)
    # the arrows: those of more than 2 % of the largest, in the direction of the current
    chosen = np.sort(flow.current_A[flow.current_A > 0.02 * flow.current_A.max()])
    (arrows,) = (c for c in axes.collections if len(c.get_paths()) == len(chosen) and c is not sites)
    best = int(flow.current_A.argmax())
    corners = arrows.get_paths()[-1].vertices
    if flow.head[best] < 40:
        np.testing.assert_allclose(corners[3], network.acceptors_m[flow.head[best]] * 1e9)
    if flow.tail[best] < 40:
        np.testing.assert_allclose(0.5 * (corners[0] + corners[6]), network.acceptors_m[flow.tail[best]] * 1e9)
    assert flow.head[best] < 40 or flow.tail[best] < 40


def test_a_rectangle_is_drawn_too() -> None:
    from analysis.plots.device import plot_device

    network = DopantNetwork.random(seed=1, preset="kmc_dn")
    volts = np.linspace(-50, 50, 8)
    with pytest.warns(MeanFieldTrustWarning):
        model = MeanField(network)
    figure = plot_device(network, volts, hop_currents(model, volts))
    assert any(text.get_text().endswith(" m") for text in figure.axes[0].texts)


WRONG = [
    (["--at", "e4"], "at", ["'e4' is no setting"]),
    (["--at", "e8=1"], "at", ["'e8'", "e0, e1"]),
    (["--at", "e1=2"], "at", ["e1's range", "-1 to 1 V"]),
    (["--at", "e1=inf"], "at", ["'inf' is no voltage"]),
    (["--device", "nowhere.npz"], "device", ["'nowhere.npz'"]),
    (["--device-seed", "-1"], "device_seed", ["'-1'"]),
    (["--out", "/dev/null/x"], "out", ["/dev/null/x"]),
    (["--sweep", "e1=0:1:2"], "--sweep", ["is no option"]),
]


@pytest.mark.parametrize(("words", "field", "told"), WRONG, ids=[" ".join(words) for words, _, _ in WRONG])
def test_wrong_words(words: list[str], field: str, told: list[str], capsys: Capsys) -> None:
    result = in_process(capsys, "device", *words, "--json")
    assert result.document["error"]["field"] == field
    assert_refused(replace(result, stdout=""), field, *told)
