"""Several devices as one: Kirchhoff's law at the common output, slopes, and the compiled form, against the devices."""

import numpy as np
import pytest

from circuits.homodyne.equations import ask, device_calls
from dnpu_models.interface.conformance import check_device
from dnpu_models.joined.joined_devices import JoinedDevices
from dnpu_models.mean_field.model import MeanField
from dnpu_models.monte_carlo.model import KineticMonteCarlo
from dnpu_models.network.network import DopantNetwork
from inmateria.errors import InputError
from tests.toys import Linear, random_chip


def networks(count: int = 2, acceptors: int = 30) -> list[MeanField]:
    """Small mean fields."""
    made = [DopantNetwork.random(seed=seed, acceptors=acceptors, donors=2) for seed in range(count)]
    return [MeanField(network, warn=False) for network in made]


def test_mean_fields_keep_what_a_device_must():
    """Kirchhoff, slopes against differences, bad input, the compiled kernel."""
    failed = [found for found in check_device(JoinedDevices(networks(), output=2)) if not found.passed]
    assert not failed, failed


@pytest.mark.parametrize("output", [0, 3, 7])
def test_the_output_carries_the_sum_and_nothing_else_is_shared(output):
    devices = networks()
    joined = JoinedDevices(devices, output)
    others = [k for k in range(8) if k != output]
    volts = np.random.default_rng(1).uniform(-0.5, 0.5, (2, 8))
    volts[:, output] = 0.1
    whole = np.concatenate([[0.1], *volts[:, others]])
    apart = [device.currents(v) for device, v in zip(devices, volts, strict=True)]
    found = joined.currents(whole)
    largest = np.abs(found).max()
    np.testing.assert_allclose(found[0], sum(i[output] for i in apart), atol=1e-9 * largest)
    np.testing.assert_allclose(found[1:], np.concatenate([i[others] for i in apart]), atol=1e-9 * largest)
    assert joined.terminals == ("out", *(f"d{d}e{k}" for d in (0, 1) for k in others))
    assert joined.everywhere([others[1], others[4]]) == (2, 5, 9, 12)


def test_one_call_answers_many_settings():
    """The function of many settings against the device asked one by one, of a mean field in double precision."""
    joined = JoinedDevices(networks(), output=1)
    middle = np.random.default_rng(2).uniform(-0.4, 0.4, 15)
    volts = middle[:, None] + np.random.default_rng(3).uniform(-0.01, 0.01, (15, 40))
    calls, _alive = device_calls(joined.kernel(middle), 15, 0)
    found = np.empty_like(volts)
    ask(calls, 0.0, volts, found)
    wanted = joined.currents(volts.T).T
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_chips_are_known_at_their_outputs_only():
    chips = [random_chip(7, 12, 1, seed=seed) for seed in range(3)]
    joined = JoinedDevices(chips, chips[0].measured[0])
    assert joined.measured == (0,)
    assert all(found.passed for found in check_device(joined))


def test_what_cannot_be_joined_is_refused():
    network = DopantNetwork.random(seed=0, acceptors=30, donors=2)
    with pytest.raises(InputError, match="no exact slopes") as caught:
        JoinedDevices([KineticMonteCarlo(network)])
    assert caught.value.fix == "join mean fields, chips or functions"
    with pytest.raises(InputError, match="no exact slopes"):
        JoinedDevices([Linear()])
    with pytest.raises(InputError, match="as many terminals"):
        JoinedDevices([*networks(1), random_chip(3, 4, 1, seed=0)])
    with pytest.raises(InputError, match="as many terminals"):
        JoinedDevices([])
    chip = random_chip(7, 12, 1, seed=0)
    with pytest.raises(InputError, match="known"):
        JoinedDevices([chip], (chip.measured[0] + 1) % 8)
    mixed = JoinedDevices([*networks(1), chip], chip.measured[0])
    with pytest.raises(InputError, match="different kinds"):
        mixed.kernel(np.zeros(15))
