"""Closed forms of the filter and the loop, against integrals, eigenvalues and a seeded Monte Carlo."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import chi2

from lockin.demodulate import gradient
from lockin.plan import DitherPlan
from lockin.settings import LockInSettings
from lockin.theory import enbw_Hz, noise_variance, settled_fraction, settling_time, stability_limit, stability_margin

from ..rc_filter import rc_filter
from ..refused import refused

TAU = 0.02
SETTINGS = [LockInSettings(TAU, slope) for slope in (6, 12, 18, 24)] + [
    LockInSettings(TAU, window="boxcar"),
    LockInSettings(TAU, window="hann"),
]


def response(setting, f):
    """|H(f)| written down independently of the code."""
    if setting.window == "rc":
        return (1 + (2 * np.pi * f * TAU) ** 2) ** (-setting.filter_slope / 12)
    x = f * TAU
    if setting.window == "boxcar":
        return abs(np.sinc(x))
    return abs(np.sinc(x) + 0.5 * np.sinc(x - 1) + 0.5 * np.sinc(x + 1))


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: f"{s.window}{s.filter_slope}")
def test_noise_bandwidth_is_the_integral_of_the_squared_response(setting):
    if setting.window == "rc":
        integral = quad(lambda u: response(setting, u / (1 - u)) ** 2 / (1 - u) ** 2, 0, 1, epsabs=1e-9, limit=500)[0]
        assert enbw_Hz(setting) == pytest.approx(integral, rel=1e-8)
    else:
        f = np.linspace(0.0, 4000.0 / TAU, 400001)
        integral = np.trapezoid(response(setting, f) ** 2, f)
        assert enbw_Hz(setting) == pytest.approx(integral, rel=2e-4)  # the boxcar's tail beyond 4000 / T: 5e-5


def test_noise_bandwidths_of_the_design():
    assert [enbw_Hz(s) * TAU for s in SETTINGS[:4]] == pytest.approx([1 / 4, 1 / 8, 3 / 32, 5 / 64], rel=1e-14)


@pytest.mark.parametrize("setting", SETTINGS[:4], ids=lambda s: str(s.filter_slope))
@pytest.mark.parametrize("fraction", [0.5, 0.99, 0.9999])
def test_settling_time_is_when_the_step_response_gets_there(setting, fraction):
    when = settling_time(setting, fraction)
    time = np.linspace(0.0, when, 400)
    assert rc_filter(time, np.ones(400), TAU, setting.poles)[-1] == pytest.approx(fraction, abs=1e-10)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: f"{s.window}{s.filter_slope}")
def test_settled_fraction_inverts_the_settling_time(setting):
    assert settled_fraction(setting, settling_time(setting, 0.9)) == pytest.approx(0.9, rel=1e-12)
    assert settled_fraction(setting, 50 * TAU) == pytest.approx(1.0, rel=1e-12)


def test_hann_settles_as_the_integral_of_its_weight():
    part = quad(lambda s: (1 - math.cos(2 * math.pi * s / TAU)) / TAU, 0, 0.3 * TAU)[0]
    assert settled_fraction(SETTINGS[5], 0.3 * TAU) == pytest.approx(part, rel=1e-10)


@pytest.mark.parametrize("poles", range(1, 7))
def test_stability_limit_against_the_eigenvalues_of_the_loop(poles):
    def growth(gain):
        matrix = np.zeros((poles + 1, poles + 1))  # dw/dt = -gain x_n; dx_1/dt = w - x_1; dx_k/dt = x_{k-1} - x_k
        matrix[0, poles] = -gain
        for k in range(1, poles + 1):
            matrix[k, k], matrix[k, k - 1] = -1.0, 1.0
        return np.linalg.eigvals(matrix).real.max()

    limit = stability_limit(poles)
    if poles == 1:
        assert limit == math.inf
        assert growth(1e6) < 0
        return
    assert growth(limit * 0.999) < 0 < growth(limit * 1.001)
    assert abs(growth(limit)) < 1e-12


def test_stability_limits_of_the_design():
    assert stability_limit(2) == pytest.approx(2.0, rel=1e-14)
    assert stability_limit(3) == pytest.approx(8 / 9, rel=1e-14)
    assert stability_limit(4) == pytest.approx(0.5686, abs=1e-4)


@pytest.mark.parametrize("setting", SETTINGS[1:], ids=lambda s: f"{s.window}{s.filter_slope}")
def test_margin_by_simulating_the_loop(setting):
    """Integrator around the filter's impulse response, convolved: decays below the limit, grows above."""
    length = TAU if setting.window != "rc" else 25 * TAU
    h = length / 400
    s = (np.arange(400) + 0.5) * h
    if setting.window == "rc":
        n = setting.poles
        weight = (s / TAU) ** (n - 1) * np.exp(-s / TAU) / math.factorial(n - 1)
    else:
        weight = np.ones(400) if setting.window == "boxcar" else 1 - np.cos(2 * np.pi * s / TAU)
    weight /= weight.sum()

    def last_to_middle(gain):
        steps = 24000
        w = np.zeros(400 + steps)
        w[400] = 1.0
        for i in range(401, 400 + steps):
            w[i] = w[i - 1] - gain * h * (w[i - 400 : i] @ weight[::-1])
        return np.max(np.abs(w[-4000:])) / np.max(np.abs(w[-14000:-10000]))

    limit = stability_margin(setting, 1.0)
    assert stability_margin(setting, limit / 2) == pytest.approx(2.0)
    assert last_to_middle(0.9 * limit) < 1.0 < last_to_middle(1.1 * limit)


@pytest.mark.parametrize(
    "setting",
    [
        LockInSettings(0.1, window="boxcar"),
        LockInSettings(0.2, window="hann"),
        LockInSettings(0.01, 12),
        LockInSettings(0.01, 24),
    ],
    ids=lambda s: f"{s.window}{s.filter_slope}",
)
def test_noise_variance_by_monte_carlo(setting):
    """600 records, two tones each (independent): (N - 1) var / sigma^2 is chi-squared with N - 1 = 1199.

    False-alarm rate 1e-6 for each of the four filters (a window of about +-20 %; the seed is fixed besides).
    """
    plan = DitherPlan((400.0, 600.0), (0.02, 0.02))
    density, rate, records = 1e-5, 4000.0, 600
    time = np.arange(int(0.2 * rate) + 1) / rate
    rng = np.random.default_rng(20)
    noise = rng.normal(scale=math.sqrt(density * rate / 2), size=(records, time.size))
    read = np.array([gradient(plan, time, row, setting) for row in noise])
    predicted = float(noise_variance(setting, density, 0.02))
    statistic = float(np.sum((read - read.mean()) ** 2)) / predicted
    low, high = chi2.ppf([5e-7, 1 - 5e-7], 2 * records - 1)
    assert low < statistic < high


def test_noise_of_the_boxcar_and_of_the_design():
    # 1e-5 nA^2/Hz, T = 0.1 s, 5 mV: 2 nA/V.
    sigma = math.sqrt(noise_variance(LockInSettings(0.1, window="boxcar"), 1e-5, 5e-3))
    assert sigma == pytest.approx(2.0, rel=1e-12)
    assert noise_variance(SETTINGS[0], [1.0, 2.0], [1.0, 1.0]) == pytest.approx([0.5 / TAU, 1.0 / TAU])


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("poles", lambda: stability_limit(0)),
        ("loop_gain", lambda: stability_margin(SETTINGS[0], 0.0)),
        ("fraction", lambda: settling_time(SETTINGS[0], 1.0)),
        ("duration_s", lambda: settled_fraction(SETTINGS[0], -1.0)),
        ("psd", lambda: noise_variance(SETTINGS[0], -1.0, 1.0)),
        ("amplitude", lambda: noise_variance(SETTINGS[0], 1.0, 0.0)),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(field, call):
    with refused(field):
        call()
