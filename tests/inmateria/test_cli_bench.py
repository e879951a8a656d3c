"""`inmateria bench kmc`: it measures, and the fast methods are fast."""

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
