"""What no device can be is refused in one clear line: the field, the value, what is wrong, what to do.

Beside the cases of `test_network.py`, and those of damaged model files in `test_chip_surrogate.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dnpu_models.master_equation.model import MasterEquation
from dnpu_models.mean_field.model import MeanField
from dnpu_models.monte_carlo.model import KineticMonteCarlo
from dnpu_models.network.geometry import Disc, Electrode, Rectangle
from dnpu_models.network.network import DopantNetwork
from inmateria.errors import InMateriaError, InputError

from ..small_networks import THREE_SIDE as SIDE
from ..small_networks import three_sites as build


def refused(make: Callable[[], Any], field: str, problem: str, error: type[InMateriaError] = InputError) -> None:
    with pytest.raises(error, match=problem) as caught:
        make()
    assert caught.value.field == field
    assert caught.value.fix
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 250


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("acceptors_m", [[1e-8, 1e-8], [2e-8]], "no real numbers"),
        ("acceptors_m", [[1e-8, 1e-8], [1e-8 + 1e-15, 1e-8], [2e-8, 1e-8]], "overlap"),
        ("donors_m", None, "no real numbers"),
        ("donors_m", [[1e-8, 2e-8, 3e-8]], "not the shape"),
        ("donors_m", [[13e-9, 14e-9 + 1e-15]], "donor lies on an acceptor"),
        ("donors_m", [[1e-8, 4e-8], [2e-8, 4e-8], [3e-8, 4e-8]], "leave no hole"),
        ("site_energies_eV", [np.inf, 0, 0], "finite"),
        ("electrodes", None, "tuple of Electrode"),
        ("electrodes", 5, "tuple of Electrode"),
        ("electrodes", (0, 1), "tuple of Electrode"),
        ("electrodes", (Electrode(0, SIDE / 2), Electrode(SIDE / 2, SIDE / 2)), "off the boundary"),
        ("electrodes", (Electrode(0, SIDE / 2), Electrode(5.0, SIDE / 2)), "off the boundary"),
        ("shape", None, "is no shape"),
        ("shape", "disc", "is no shape"),
        ("temperature_K", None, "not a number"),
        ("temperature_K", 1e-300, "underflow"),
        ("localisation_m", np.inf, "finite"),
        ("relative_permittivity", np.nan, "finite"),
        ("attempt_rate_Hz", np.inf, "finite"),
        ("hop_max_m", None, "not a number"),
        ("unit_potentials", "x", "no real numbers"),
        ("unit_potentials", [[np.inf, 0.5]] * 3, "finite"),
    ],
)
def test_no_device(field: str, value: Any, problem: str) -> None:
    refused(lambda: build(**{field: value}), field, problem)


@pytest.mark.parametrize("hop_max_m", [-1e-9, 0.0, np.nan])
def test_no_longest_hop(hop_max_m: float) -> None:
    refused(lambda: build(hop_max_m=hop_max_m), "hop_max_m", "positive")


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("seed", -1, "whole number"),
        ("seed", 1.5, "whole number"),
        ("preset", ["tertilt2022"], "is unknown"),
        ("acceptors", None, "whole number"),
        ("donors", np.nan, "whole number"),
        ("disorder_eV", -0.1, "negative"),
        ("shape", None, "is no shape"),
        ("electrodes", None, "tuple of Electrode"),
        ("temperature_K", 0, "positive"),
    ],
)
def test_no_random_device(field: str, value: Any, problem: str) -> None:
    refused(lambda: DopantNetwork.random(**({"seed": 0, "acceptors": 4} | {field: value})), field, problem)


def test_as_many_donors_as_acceptors_leave_no_hole() -> None:
    refused(lambda: DopantNetwork.random(seed=0, acceptors=4, donors=4), "donors_m", "leave no hole")


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Disc(np.inf), "radius_m"),
        (lambda: Rectangle(-1.0, 1.0), "width_m"),
        (lambda: Rectangle(1.0, "a"), "height_m"),  # type: ignore[arg-type]
        (lambda: Electrode("a", 0), "x_m"),  # type: ignore[arg-type]
        (lambda: Disc(1e-7).ring_of_electrodes(0, 1e-9), "count"),
        (lambda: Disc(1e-7).ring_of_electrodes(8, -1e-9), "width_m"),
    ],
)
def test_no_geometry(make: Callable[[], Any], field: str) -> None:
    refused(make, field, "number|finite|negative")


@pytest.mark.parametrize("volts", [["a", "b"], None, [None, None], [[0, 0], [0]], [1j, 0], [np.inf, 0.0]])
@pytest.mark.parametrize("model", [MeanField, MasterEquation, KineticMonteCarlo])
def test_no_voltages(model: Any, volts: Any) -> None:
    device = model(build())
    arguments = {"seed": 0, "hops": 100} if model is KineticMonteCarlo else {}
    refused(lambda: device.currents(volts, **arguments), "voltages", "no real numbers|not the shape|finite")


def test_electrodes_out_of_reach() -> None:
    # All electrodes too far away, or one site: each model says which sites or what is undetermined.
    far = build(hop_max_m=8e-9)
    refused(lambda: MeanField(far), "acceptors_m", "no chain of hops leads")
    refused(lambda: MasterEquation(far).currents([0.0, 0.1]), "holes", "no electrode is within reach")
    island = build(acceptors_m=[[5e-9, 25e-9], [9e-9, 25e-9], [26e-9, 45e-9]], hop_max_m=17e-9)
    refused(lambda: MeanField(island), "acceptors_m", "no chain of hops leads")
    refused(lambda: MasterEquation(island).currents([0.0, 0.1]), "acceptors_m", "no chain of hops joins")
