"""`inmateria bench`: it measures, and what should be fast is fast."""

from __future__ import annotations

from functools import partial

import pytest

from inmateria import HgeSettings
from inmateria.benchmarks import loop as loop_bench
from inmateria.benchmarks import pat as pat_bench
from inmateria.benchmarks import spice as spice_bench

from .command import answered


@pytest.mark.slow
def test_bench_kmc(capsys: pytest.CaptureFixture[str]) -> None:
    found = answered(capsys, "bench", "kmc", "--json", "--settings", "1")
    assert found["command"] == "bench kmc"
    for name in ("n200", "n30", "n30_kmc_dn"):
        figures = found[name]
        assert figures["hops_per_s"] > 0
        assert figures["ratio_to_direct"] > 3  # a ratio of one run: seen 20 to 100
    assert found["n200"]["gain_over_counting"] > 5
    assert found["n200"]["s_to_1pct"] > 0
    assert 0 < found["meanfield"]["followed_ms"] < found["meanfield"]["cold_ms"]


@pytest.mark.slow
def test_bench_spice(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spice_bench, "ROUNDS", 2)  # of three
    found = answered(capsys, "bench", "spice", "--json")
    assert found["command"] == "bench spice"
    callback = found["callback"]
    assert callback["us_per_point_builtin"] > 0
    assert callback["us_per_point_numba"] < callback["us_per_point_python"]  # seen: 1.07 and 2.5 times the built-in
    loop = found["loop"]
    assert 10 <= loop["points_per_cycle"] < 11
    assert loop["ratio"] < 1.5  # the aim; of one run: seen 1.08


def test_bench_loop(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    # The same document from a short attempt: 4 sequences of the network's, one of XOR on the default device.
    short = partial(loop_bench.run_bench, sequences=4, rounds=1, xor=HgeSettings(restarts=1, looks=2, sequences=1))
    monkeypatch.setattr(loop_bench, "run_bench", short)
    found = answered(capsys, "bench", "loop", "--json")
    assert found["command"] == "bench loop"
    assert found["xor"]["wall_s"] > 0
    assert 0 < found["xor"]["us_per_point_device"] < found["xor"]["us_per_point"]
    assert found["xor"]["attempts"] == 1
    assert found["twin"]["speedup"] == pytest.approx(found["ngspice"]["wall_s"] / found["twin"]["wall_s"])
    assert found["twin"]["speedup"] > 3  # ratios of one run: seen 30 and 200
    assert found["averaged"]["speedup"] > found["twin"]["speedup"]


def test_bench_mgd(capsys: pytest.CaptureFixture[str]) -> None:
    found = answered(capsys, "bench", "mgd", "--json")
    assert found["command"] == "bench mgd"
    assert found["steps_per_s_221"] > found["steps_per_s_4944"] > 0
    assert found["ratio_numpy"] > 30  # ratios of one run: seen 130 to 360
    assert found["ratio_numpy_4944"] > 15  # seen 65 to 120


def test_bench_pat(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pat_bench, "ROUNDS", 2)
    monkeypatch.setattr(pat_bench, "STREAMED", 400)
    found = answered(capsys, "bench", "pat", "--json")
    assert found["command"] == "bench pat"
    assert found["points_per_sample"] <= 50
    assert found["samples_per_s"] > found["samples_per_s_vowels"] > 0
    assert found["share_of_bound"] == pytest.approx(found["ratio_process_per_sample"] / found["bound"])
    assert found["ratio_process_per_sample"] > 5  # ratios of one run: seen 20 to 45
