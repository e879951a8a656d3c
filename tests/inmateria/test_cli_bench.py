"""`inmateria bench`: it measures, and what should be fast is fast."""

from __future__ import annotations

import pytest

from .command import in_process


@pytest.mark.slow
def test_bench_kmc(capsys: pytest.CaptureFixture[str]) -> None:
    result = in_process(capsys, "bench", "kmc", "--json", "--settings", "1")
    assert result.code == 0, result.stderr
    found = result.document
    assert found["command"] == "bench kmc"
    for name in ("n200", "n30", "n30_kmc_dn"):
        figures = found[name]
        assert figures["hops_per_s"] > 0
        assert figures["ratio_to_direct"] > 3  # a ratio of one run: seen 20 to 100
    assert found["n200"]["gain_over_counting"] > 5
    assert found["n200"]["s_to_1pct"] > 0
    assert 0 < found["meanfield"]["followed_ms"] < found["meanfield"]["cold_ms"]


@pytest.mark.slow
def test_bench_spice(capsys: pytest.CaptureFixture[str]) -> None:
    result = in_process(capsys, "bench", "spice", "--json")
    assert result.code == 0, result.stderr
    found = result.document
    assert found["command"] == "bench spice"
    callback = found["callback"]
    assert callback["us_per_point_builtin"] > 0
    assert callback["us_per_point_numba"] < callback["us_per_point_python"]  # seen: 1.07 and 2.5 times the built-in
    loop = found["loop"]
    assert 10 <= loop["points_per_cycle"] < 11
    assert loop["ratio"] < 1.5  # the aim; of one run: seen 1.08
