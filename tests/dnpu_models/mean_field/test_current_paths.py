"""Currents along hops add up at every site and every electrode; the largest paths are the largest."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from dnpu_models.mean_field.current_paths import HopCurrents, hop_currents, largest_paths
from dnpu_models.mean_field.model import MeanField
from dnpu_models.network.network import DopantNetwork


@pytest.fixture(scope="module")
def model() -> MeanField:
    return MeanField(DopantNetwork.random(seed=3, preset="tertilt2022", acceptors=60))


@pytest.fixture(scope="module")
def volts() -> np.ndarray:
    return np.random.default_rng(1).uniform(-0.5, 0.5, 8)


@pytest.fixture(scope="module")
def flow(model: MeanField, volts: np.ndarray) -> HopCurrents:
    return hop_currents(model, volts)


def test_kirchhoffs_law_at_every_site_and_electrode(model: MeanField, volts: np.ndarray, flow: HopCurrents) -> None:
    assert flow.current_A.min() >= 0
    sums = np.zeros(68)
    for tail, head, current in zip(flow.tail, flow.head, flow.current_A, strict=True):
        sums[tail] += current
        sums[head] -= current
    largest = np.abs(flow.electrodes_A).max()
    assert largest > 1e-9
    assert np.abs(sums[:60]).max() < 1e-9 * largest
    assert flow.imbalance_A < 1e-9 * largest
    np.testing.assert_allclose(sums[60:], flow.electrodes_A, atol=1e-9 * largest)
    # the compiled equations, in other units, from other tables
    np.testing.assert_allclose(flow.electrodes_A, model.currents(volts), atol=1e-9 * largest)
    into = flow.current_A[flow.tail >= 60].sum()
    assert flow.through_A == pytest.approx(into)
    assert flow.through_A == pytest.approx(flow.current_A[flow.head >= 60].sum(), rel=1e-9)
    assert flow.through_A >= 0.5 * np.abs(flow.electrodes_A).sum() * (1 - 1e-9)


def test_sites_are_the_networks(model: MeanField, flow: HopCurrents) -> None:
    pairs = {frozenset(p) for p in zip(flow.tail.tolist(), flow.head.tolist(), strict=True)}
    net = model.network
    i, j = np.nonzero(np.triu(net.hop_prefactors_Hz))
    site, electrode = np.nonzero(net.electrode_prefactors_Hz)
    wanted = {frozenset(p) for p in zip(i.tolist(), j.tolist(), strict=True)}
    wanted |= {frozenset(p) for p in zip(site.tolist(), (electrode + 60).tolist(), strict=True)}
    assert pairs == wanted


def test_paths_lead_along_the_flow(flow: HopCurrents) -> None:
    left = {(a, b): c for a, b, c in zip(flow.tail.tolist(), flow.head.tolist(), flow.current_A.tolist(), strict=True)}
    paths = largest_paths(flow, 40)
    assert len(paths) == 40
    currents = [path.current_A for path in paths]
    assert currents == sorted(currents, reverse=True)
    assert sum(currents) <= flow.through_A * (1 + 1e-12)
    for path in paths:
        assert path.nodes[0] >= 60
        assert path.nodes[-1] >= 60
        assert all(node < 60 for node in path.nodes[1:-1])
        assert min(left[hop] for hop in pairwise(path.nodes)) == path.current_A
        for hop in pairwise(path.nodes):
            left[hop] -= path.current_A
    assert min(left.values()) >= 0


def test_a_flow_made_of_known_paths() -> None:
    """Sites 0 to 3, electrodes 4 to 6: 4-0-1-5 carries 5, 4-0-2-5 carries 3, 6-3-5 carries 4, a loop 1."""
    hops = {
        (4, 0): 8.0, (0, 1): 5.0, (1, 5): 5.0, (0, 2): 3.0, (2, 5): 3.0, (6, 3): 4.0, (3, 5): 4.0,
    }  # fmt: skip
    tail, head = (np.array(side) for side in zip(*hops, strict=True))
    flow = HopCurrents(np.zeros(4), tail, head, np.array(list(hops.values())), np.array([8.0, -12.0, 4.0]), 0.0)
    assert flow.through_A == 12
    assert [(p.nodes, p.current_A) for p in largest_paths(flow, 9)] == [
        ((4, 0, 1, 5), 5.0), ((6, 3, 5), 4.0), ((4, 0, 2, 5), 3.0),
    ]  # fmt: skip
    assert [p.current_A for p in largest_paths(flow, 1)] == [5.0]


def test_nothing_flows_nowhere() -> None:
    none = np.zeros(0, dtype=int)
    assert largest_paths(HopCurrents(np.zeros(2), none, none, np.zeros(0), np.zeros(2), 0.0), 3) == []
