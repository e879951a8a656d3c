"""What disturbances leave of the margin is a row of a verification: against closed forms of straight lines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.designs.design import Design
from analysis.report.page import Criterion
from analysis.verification.disturbed import check_disturbed, check_temperature
from analysis.verification.nominal import NominalRun
from inmateria.errors import ConvergenceError
from learning.homodyne.robustness import Disturbances, robustness

from ...learning.homodyne.test_holding import Tilted, attempt_at, or_task
from ...learning.homodyne.test_robustness import CONTROL_V, Warm, margin
from ...refused import refused

SIZES = {"drift": "2 %", "offset": "4 mV", "temperature": "6 K", "noise": 0.0}
WORST = margin(CONTROL_V + 4e-3)


def design(least: float | None, **sizes: object) -> Design:
    criteria = {} if least is None else {"disturbed_margin_min": least}
    return Design.from_values({"criteria": criteria, **({"disturbances": sizes} if sizes else {})})


def nominal(device: Tilted | None = None, control_V: float = CONTROL_V) -> NominalRun:
    experiment, attempt = attempt_at([control_V, *[0.0] * 6], or_task(), device)
    bench, task = experiment.bench, experiment.task
    still = task.score(bench.outputs_A(attempt.controls_V, task), attempt.loop.stage.polarity, bench.noise_A())
    attempt = replace(attempt, final=still)
    return NominalRun(experiment, "averaged", attempt, 1, 0, (), None)  # type: ignore[arg-type]  # no gradients asked


def judged(asked: Design, run: NominalRun) -> Criterion:
    _, (criterion,) = check_disturbed(asked, run)
    return criterion


@pytest.mark.parametrize(("least", "passed"), [(WORST - 1e-3, True), (WORST + 1e-3, False)])
def test_the_worst_disturbance_decides(least: float, passed: bool) -> None:
    asked, run = design(least, **SIZES), nominal(Warm())
    found, _ = check_disturbed(asked, run)
    assert found is not None
    direct = robustness(run.experiment, run.best, Disturbances(0.02, 4e-3, 6.0, 0.0), seed=asked.seed)
    assert found.facts() == direct.facts()
    assert found.worst.worst == pytest.approx(WORST)
    criterion = judged(asked, run)
    assert (criterion.name, criterion.where, criterion.passed) == ("disturbed_margin_min", "nominal, disturbed", passed)
    assert criterion.found.startswith("0.230 under offset of 4 mV (")
    assert "temperature by 6 K" in criterion.found


def test_a_device_that_knows_only_its_own_temperature_says_so() -> None:
    sizes = {name: size for name, size in SIZES.items() if name != "temperature"}
    assert judged(design(0.0, **sizes), nominal()).found.endswith("; the device knows only its own temperature")
    check_temperature(design(0.0, **sizes), nominal().experiment.bench)
    check_temperature(design(0.0, **SIZES), nominal(Warm()).experiment.bench)
    with refused("disturbances.temperature", "knows only its own"):
        check_temperature(design(0.0, **SIZES), nominal().experiment.bench)


def test_nothing_learned_passes_nothing_and_nothing_asked_is_no_row() -> None:
    failed = nominal(control_V=0.2)
    assert not failed.success
    criterion = judged(design(-1.0), failed)
    assert (criterion.passed, criterion.found) == (False, "nothing was learned")
    assert check_disturbed(design(None), nominal()) == (None, [])


class Frozen(Warm):
    """Has no state at another temperature."""

    def at_temperature(self, temperature_K: float) -> Warm:
        raise ConvergenceError("temperature_K", temperature_K, "leaves the device without a state", "stay nearer")


def test_a_device_without_a_state_fails_the_row_in_its_own_words() -> None:
    criterion = judged(design(0.0, **SIZES), nominal(Frozen()))
    assert not criterion.passed
    assert "leaves the device without a state" in criterion.found


@pytest.mark.parametrize(
    ("sizes", "told"),
    [({"drift": 1.5}, "drift"), ({"offset": "-1 mV"}, "offset"), ({"temperature": "200 K"}, "temperature"),
     ({"noise": -1.0}, "noise"), ({"drfit": 0.1}, "drfit")],
)  # fmt: skip
def test_sizes_that_cannot_be_are_refused(sizes: dict[str, object], told: str) -> None:
    with refused(f"disturbances.{told}", ""):
        design(0.0, **sizes)
