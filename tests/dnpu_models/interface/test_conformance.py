"""Every device keeps what all devices must; and the checks see a device that does not.

To add a device: one line in `DEVICES`. The statistical checks (kinetic Monte Carlo only, fixed seed) would fail for
another seed with a probability of at most 1e-6 each if the code were right.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from circuits.user_device.user_device import user_device
from dnpu_models.interface.conformance import CHECKS, Examination, check_device
from dnpu_models.interface.device import SteppableKernel
from dnpu_models.master_equation.model import MasterEquation
from dnpu_models.mean_field.model import MeanField
from dnpu_models.monte_carlo.model import KineticMonteCarlo
from dnpu_models.network.network import DopantNetwork
from dnpu_models.noise.noisy_device import NoisyDevice
from dnpu_models.noise.spectrum import NoiseSpectrum
from dnpu_models.surrogate.chip import ChipSurrogate
from inmateria.errors import InputError
from learning.bench.bench import Bench

from ...toys import OneOutput, random_chip
from ..small_networks import small_network

Find = Callable[[str], Path]


@cache
def few_sites() -> DopantNetwork:
    """Seven sites in a square, three electrodes, biases small enough that all currents are seen."""
    return small_network(7, 2, limit_V=0.1)


@cache
def disc() -> DopantNetwork:
    return DopantNetwork.random(seed=0, acceptors=40)


def made_up_chip() -> ChipSurrogate:
    return random_chip(4, 12, 9, 1, seed=7, low_V=[-1.2, -0.7, 0.1, -0.4], high_V=[0.6, 0.3, 0.9, -0.1])


# name: how it is made from data, what it claims beyond what it offers
DEVICES: dict[str, tuple[Callable[[Find], Any], dict[str, Any]]] = {
    "mean field": (lambda _: MeanField(disc()), {}),
    "kinetic Monte Carlo": (lambda _: KineticMonteCarlo(few_sites()), {"exact": True}),
    "kinetic Monte Carlo, disc": (lambda _: KineticMonteCarlo(disc()), {"exact": True}),
    "master equation": (lambda _: MasterEquation(few_sites()), {"exact": True}),
    "made-up chip": (lambda _: made_up_chip(), {}),
    "noisy chip": (lambda _: NoisyDevice(made_up_chip(), NoiseSpectrum(1e-24)), {}),
    "chip (npz)": (lambda find: ChipSurrogate.from_npz(find("dnpu_chip.npz")), {}),
    "chip (brains-py)": (lambda find: ChipSurrogate.from_brainspy(find("brainspy_training_data.pickle")), {}),
}


@pytest.fixture(scope="module", params=list(DEVICES))
def exam(request: pytest.FixtureRequest) -> Examination:
    make, claims = DEVICES[request.param]
    # Data are asked for by the devices that need them only: the fixture skips where they are absent.
    return Examination(make(lambda name: request.getfixturevalue("data_file")(name)), **claims)


@pytest.mark.parametrize("check", list(CHECKS))
def test_every_device_conforms(exam: Examination, check: str) -> None:
    finding = CHECKS[check](exam)
    if finding is None:
        assert_it_may_be_left_out(exam, check)
        return
    print(finding)
    assert finding.passed, str(finding)


def assert_it_may_be_left_out(exam: Examination, check: str) -> None:
    """A check is not left out but where the device claims nothing that it could check."""
    device = exam.device
    claimed = {
        "Kirchhoff": not hasattr(device, "measured"),
        "equal voltages": exam.exact,
        "power": exam.exact,
        "equilibrium": exam.exact and exam.derives,
        "conductances": exam.derives,
        "kernel": hasattr(device, "kernel"),
    }
    assert claimed[check] is False


# -- the checks see what is wrong ---------------------------------------------------------------------------------


class Resistors:
    """Three terminals, a resistor of 1 GOhm between any two; one thing can be made wrong."""

    terminals = ("a", "b", "c")
    limits_V = np.array([[-1.0, 1.0], [-0.5, 0.2], [-0.1, 0.9]])
    matrix = 1e-9 * np.array([[2.0, -1.0, -1.0], [-1.0, 2.0, -1.0], [-1.0, -1.0, 2.0]])

    def __init__(self, wrong: str = "") -> None:
        self.wrong = wrong
        self.asked = 0
        if wrong == "Kirchhoff":
            self.matrix = self.matrix + 1e-13
        if wrong == "equilibrium":
            self.matrix = self.matrix + 1e-13 * np.array([[0, 1, -1], [-1, 0, 1], [1, -1, 0]])
        if wrong == "power":
            self.matrix = -self.matrix

    def _checked(self, voltages: Any) -> Any:
        volts = np.asarray(voltages, dtype=float)
        if volts.ndim == 0 or volts.shape[-1] != 3:
            raise InputError("voltages", volts.shape, "three are required", "check it")
        low, high = self.limits_V.T
        beyond = (volts < low - 1e-9) | (volts > high + 1e-9)
        if self.wrong == "refusals":
            beyond[..., 1] = False
        if not np.all(np.isfinite(volts)) or np.any(beyond):
            raise InputError("voltages", "these", "are beyond the limits", "lower them")
        return volts

    def currents(self, voltages: Any) -> Any:
        volts = self._checked(voltages)
        self.asked += 1
        currents = volts @ self.matrix.T
        if self.wrong == "equal voltages":
            currents += 1e-15 * np.array([1.0, -1.0, 0.0])
        if self.wrong == "repetition":
            currents *= 1 + 1e-12 * self.asked
        if self.wrong == "leading axes" and volts.ndim > 1:
            currents[..., 1, :] = currents[..., 0, :]
        return currents

    def conductances(self, voltages: Any) -> Any:
        factor = 1.01 if self.wrong == "conductances" else 1.0
        return np.broadcast_to(factor * self.matrix, (*self._checked(voltages).shape, 3))

    def kernel(self, voltages: Any, *, seed: int = 0) -> SteppableKernel:
        volts = self._checked(voltages)
        factor = 1.001 if self.wrong == "kernel" else 1.0

        def evaluate(t: float, v: Any, params: Any, state: Any, out: Any) -> None:
            out[:] = factor * (params.reshape(3, 3) @ v)

        def advance(dt: float, v: Any, params: Any, state: Any) -> None:
            pass

        return SteppableKernel(evaluate, advance, self.matrix.ravel(), np.zeros(1), self.conductances(volts))


def test_resistors_conform() -> None:
    findings = check_device(Resistors(), exact=True)
    assert [finding.check for finding in findings] == list(CHECKS)
    assert all(finding.passed for finding in findings), "\n".join(map(str, findings))
    assert {finding.check for finding in check_device(Resistors())} == set(CHECKS) - {
        "equal voltages", "power", "equilibrium"
    }  # fmt: skip


@pytest.mark.parametrize("wrong", list(CHECKS))
def test_what_is_wrong_is_found(wrong: str) -> None:
    findings = check_device(Resistors(wrong), exact=True)
    failed = {finding.check for finding in findings if not finding.passed}
    assert wrong in failed
    print(next(str(finding) for finding in findings if finding.check == wrong))


def test_an_estimate_that_is_off_is_found() -> None:
    class Off(KineticMonteCarlo):
        def estimate(self, voltages: Any, **settings: Any) -> Any:
            found = super().estimate(voltages, **settings)
            object.__setattr__(found, "value", found.value + 12 * found.stderr)
            return found

    failed = {f.check for f in check_device(Off(few_sites()), exact=True, seed=1) if not f.passed}
    assert failed >= {"equal voltages"}


def test_what_is_not_offered_is_said() -> None:
    """A device of currents alone: what it lacks, and what therefore cannot be done, in words."""
    device = OneOutput(lambda volts: 1e-9 * volts[..., 1])
    lines = Bench(device, 0, (1, 2)).lacks  # type: ignore[arg-type]
    assert [line.partition(": ")[0] for line in lines] == ["conductances", "kernel"]
    assert "it stands in no circuit" in lines[1]
    chip = random_chip(4, 8, 1, seed=0)
    assert Bench(chip, 0, (1, 2)).lacks == ()
    assert all(finding.offered for finding in check_device(chip))


def test_a_netlist_lacks_a_kernel(tmp_path: Path) -> None:
    path = tmp_path / "two.lib"
    path.write_text(".subckt two out a\nR1 a out 1meg\n.ends\n")
    told = [str(finding) for finding in check_device(user_device(path, limits_V=(-1.0, 1.0)))]
    assert told[-1].startswith("none kernel: it is a netlist: ngspice runs its loops")
    assert not [line for line in told if line.startswith("FAIL")]
