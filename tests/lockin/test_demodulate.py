"""The digital lock-in against closed forms, on uniform and on random grids."""

import math

import numpy as np
import pytest
from scipy.special import gammainc

from inmateria.errors import InputError
from lockin.demodulate import calibrate_phase, demodulate, demodulate_trace, gradient
from lockin.plan import DitherPlan, plan_frequencies
from lockin.settings import LockInSettings

from ..rc_filter import rc_filter
from ..refused import refused

SLOPES = [6, 12, 18, 24]


def grid(kind, end, points, seed=1):
    rng = np.random.default_rng(seed)
    if kind == "uniform":
        return np.linspace(0.0, end, points)
    if kind == "random":
        return np.sort(np.r_[0.0, end, rng.uniform(0.0, end, points - 2)])
    return np.linspace(0.0, end, points) + np.r_[0, rng.uniform(-0.3, 0.3, points - 2), 0] * end / (points - 1)


@pytest.mark.parametrize("kind", ["uniform", "random"])
@pytest.mark.parametrize("points", [12, 3000])  # steps well above and well below the time constant
@pytest.mark.parametrize("slope", SLOPES)
def test_step_response_of_the_poles_is_exact_on_any_grid(kind, points, slope):
    tau, poles = 0.03, slope // 6
    time = grid(kind, 0.6, points)
    out = rc_filter(time, np.full(time.size, 2.5), tau, poles)
    assert np.max(np.abs(out - 2.5 * gammainc(poles, time / tau))) < 1e-12


@pytest.mark.parametrize("kind", ["uniform", "random"])
@pytest.mark.parametrize("slope", SLOPES)
def test_ramp_response_of_the_poles_is_exact_on_any_grid(kind, slope):
    tau, n = 0.03, slope // 6
    time = grid(kind, 0.6, 200)
    r = time / tau
    ramp = time * gammainc(n, r) - n * tau * gammainc(n + 1, r)
    assert np.max(np.abs(rc_filter(time, time, tau, n) - ramp)) < 1e-13


@pytest.mark.parametrize("slope", SLOPES)
def test_parabolas_are_interpolated_exactly_on_a_jittered_grid_up_to_its_ends(slope):
    tau, n = 0.03, slope // 6
    time = grid("jittered", 0.6, 100)
    r = time / tau
    exact = time**2 * gammainc(n, r) - 2 * n * tau * time * gammainc(n + 1, r)
    exact += n * (n + 1) * tau**2 * gammainc(n + 2, r)
    assert np.max(np.abs(rc_filter(time, time**2, tau, n) - exact)) < 1e-13


@pytest.mark.parametrize(
    ("kind", "per_period", "bound"),
    [("uniform", 50, 1e-9), ("jittered", 50, 1e-6), ("jittered", 10000, 1e-12)],
)
def test_sine_response_of_the_poles_follows_the_transfer_function(kind, per_period, bound):
    tau, omega = 0.01, 2 * np.pi * 40.0
    time = grid(kind, 0.5, 20 * per_period + 1)
    out = rc_filter(time, np.sin(omega * time), tau, 3)
    ideal = np.imag(np.exp(1j * omega * time) / (1 + 1j * omega * tau) ** 3)
    # Straight lines between the samples pass a sine with this factor (and images far above): 1 - 1.3e-3.
    line = (2 - 2 * math.cos(omega * 0.5e-3)) / (omega * 0.5e-3) ** 2 if kind == "uniform" else 1.0
    late = time > 0.35
    assert np.max(np.abs(out - line * ideal)[late]) < bound


@pytest.mark.parametrize("window", ["boxcar", "hann"])
@pytest.mark.parametrize("closed", [True, False])
def test_in_phase_readings_are_exact_over_a_common_period(window, closed):
    """A cubic device has all products up to third order; its average derivative is a finite Taylor sum."""
    plan = plan_frequencies(5, None, 10.0, amplitude_V=(0.3, 0.1, 0.2, 0.25, 0.15))
    plan = DitherPlan(plan.frequencies_Hz, plan.amplitudes_V, (0.1, -1.0, 2.0, 0.4, 3.0))
    rng = np.random.default_rng(5)
    a1, a2, a3 = rng.normal(size=5), rng.normal(size=(5, 5)), rng.normal(size=(5, 5, 5))
    span = plan.common_period_s * (1 if window == "boxcar" else 2)
    count = 4 * 23 * 4 * (1 if window == "boxcar" else 2)  # the highest product is at 3 * 230 Hz
    time = np.linspace(0.0, span, count + 1)[: None if closed else -1]
    v = plan.waveform(time)
    y = 7.0 + a1 @ v + np.einsum("ij,it,jt->t", a2, v, v) + np.einsum("ijk,it,jt,kt->t", a3, v, v, v)
    full = sum(np.transpose(a3, p) for p in [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
    peaks = np.asarray(plan.amplitudes_V)
    exact = a1.copy()
    for k in range(5):
        exact[k] += peaks[k] ** 2 / 8 * full[k, k, k]
        exact[k] += sum(peaks[j] ** 2 / 4 * full[k, j, j] for j in range(5) if j != k)
    read = gradient(plan, time, y, LockInSettings(span, window=window))
    assert np.max(np.abs(read - exact)) < 1e-9
    x = demodulate(LockInSettings(span, window=window), plan.frequencies_Hz[1], time, y, plan.phases_rad[1]).x
    assert x == pytest.approx(exact[1] * peaks[1] / math.sqrt(2), abs=1e-9)


@pytest.mark.parametrize(
    ("kind", "window", "per_period", "bound"),
    [
        ("jittered", "boxcar", 50, 5e-6),
        ("jittered", "hann", 50, 5e-6),
        ("jittered", "boxcar", 200, 5e-8),
        ("offset", "boxcar", 50, 2e-7),
        ("offset", "hann", 50, 1e-9),
    ],
)
def test_accuracy_on_other_grids(kind, window, per_period, bound):
    """Relative to the largest gradient, with a DC background 60 times the largest tone's response."""
    plan = plan_frequencies(5, None, 10.0)
    truth = np.array([3.0, -2.0, 0.5, 7.0, -1.0])
    span = 0.1 if window == "boxcar" else 0.2
    count = int(0.31 * 230 * per_period)
    time = grid("jittered", 0.31, count) if kind == "jittered" else np.arange(count) * 0.31 / (count - 0.37)
    y = 4.0 + truth @ plan.waveform(time)
    read = gradient(plan, time, y, LockInSettings(span, window=window))
    assert np.max(np.abs(read - truth)) / 7.0 < bound


def test_a_jump_with_simulator_corners_does_not_upset_the_reading():
    """Steps of 1 ns beside steps of 0.1 ms: the jump is read as the straight line that it is."""
    time = np.unique(np.r_[np.linspace(0.0, 1.0, 10001), 0.3 + 1e-9])
    signal = np.where(time > 0.3 + 0.5e-9, 1.0, 0.0)
    reading = demodulate(LockInSettings(1.0, window="boxcar"), 1.0, time, signal)
    assert reading.x / math.sqrt(2) == pytest.approx((math.cos(0.6 * math.pi) - 1) / (2 * math.pi), abs=1e-8)


@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize("kind", ["uniform", "jittered"])
def test_rc_reading_of_a_settled_sine_with_its_phase(slope, kind):
    tau, f, psi = 0.05, 200.0, 0.7
    time = grid(kind, 1.5, 1500 * 20)
    setting = LockInSettings(tau, slope, phase=25.0, sensitivity=1.0)
    reading = demodulate(setting, f, time, 1.2 * np.sin(2 * np.pi * f * time + psi), reference_phase=0.3)
    assert reading.settled == pytest.approx(gammainc(slope // 6, 1.5 / tau), rel=1e-12)
    ideal = 1.2 / math.sqrt(2) * np.exp(1j * (psi - 0.3 - math.radians(25.0)))
    ripple = 1.2 / math.sqrt(2) * (2 * np.pi * 2 * f * tau) ** -(slope // 6)
    tolerance = 1.2 * ripple + 1e-5
    assert abs(reading.x + 1j * reading.y - ideal) < tolerance
    assert reading.magnitude == pytest.approx(math.hypot(reading.x, reading.y), rel=1e-15)
    assert reading.theta == pytest.approx(math.degrees(np.angle(ideal)), abs=math.degrees(2 * tolerance))
    assert not reading.overload
    strong = demodulate(setting, f, time, 2.4 * np.sin(2 * np.pi * f * time + psi), reference_phase=0.3)
    assert strong.overload


@pytest.mark.parametrize("harmonic", [2, 3])
def test_harmonics_are_read_at_a_multiple_of_the_reference(harmonic):
    time = np.linspace(0.0, 1.0, 4001)
    angle = 2 * np.pi * 20.0 * time + 0.4
    signal = np.sin(angle) + 0.25 * np.sin(harmonic * angle + 0.2)
    setting = LockInSettings(1.0, harmonic=harmonic, phase=math.degrees(0.2), window="boxcar")
    reading = demodulate(setting, 20.0, time, signal, reference_phase=0.4)
    assert reading.x == pytest.approx(0.25 / math.sqrt(2), abs=1e-12)
    assert reading.y == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("window", ["rc", "boxcar", "hann"])
@pytest.mark.parametrize("kind", ["uniform", "jittered"])
def test_the_trace_ends_at_the_reading_and_begins_empty(window, kind):
    time = grid(kind, 1.0, 2001)
    signal = 3.0 + np.sin(2 * np.pi * 30.0 * time) + 0.2 * np.cos(2 * np.pi * 71.0 * time)
    setting = LockInSettings(0.2, 12, window=window)
    x, y = demodulate_trace(setting, 30.0, time, signal)
    reading = demodulate(setting, 30.0, time, signal)
    assert (x[-1], y[-1]) == pytest.approx((reading.x, reading.y), abs=1e-11)
    middle = 1234
    earlier = demodulate(setting, 30.0, time[: middle + 1], signal[: middle + 1])
    assert x[middle] == pytest.approx(earlier.x, abs=1e-4 if kind == "jittered" else 1e-11)
    if window == "rc":
        assert x[0] == 0.0
    else:
        assert np.all(np.isnan(x[time < 0.2 - 1e-6]))
        assert not np.any(np.isnan(x[time > 0.2 + 1e-6]))


def test_gradient_keeps_the_sign_and_the_units():
    plan = DitherPlan((40.0, 60.0), (0.02, 0.05), (0.0, 0.5))
    time = np.linspace(0.0, 0.1, 1001)
    y = 5.0 + np.array([-3.0, 8.0]) @ plan.waveform(time)
    setting = LockInSettings(0.1, window="boxcar")
    assert gradient(plan, time, y, setting) == pytest.approx([-3.0, 8.0], abs=1e-11)
    turned = gradient(plan, time, y, setting, phase=[60.0, 180.0])
    assert turned == pytest.approx([-1.5, -8.0], abs=1e-11)


def test_rc_gradient_settles_as_stated():
    plan = DitherPlan((2000.0,), (0.01,))
    for duration in (0.01, 0.03, 0.08):
        time = np.linspace(0.0, duration, round(duration * 2000 * 40) + 1)
        read = gradient(plan, time, 6.0 * plan.waveform(time)[0], LockInSettings(0.01, 24))
        # What is left is the ripple at 2 f: relative (2 pi 2 f tau)^-4 = 3e-8, and its start-up.
        assert read[0] == pytest.approx(6.0 * gammainc(4, duration / 0.01), abs=6.0 * 1e-4)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_phase_calibration_is_not_fooled_by_a_quadrature_leak(sign):
    f, delay, leak, g = 80.0, math.radians(-17.0), 0.6, sign * 2.0
    time = np.linspace(0.0, 0.5, 8001)
    angle = 2 * np.pi * f * time + 0.9 + delay
    strays = leak * np.cos(angle)
    signal = g * np.sin(angle) + strays + 0.3
    setting = LockInSettings(0.5, window="boxcar", phase=12.0)  # the phase set before does not matter

    subtracted = calibrate_phase(setting, f, time, signal, 0.9, expected=sign, background=strays)
    assert subtracted == pytest.approx(-17.0, abs=1e-9)
    known = calibrate_phase(setting, f, time, signal, 0.9, expected=g + 1j * leak)
    assert known == pytest.approx(-17.0, abs=1e-9)
    # Maximum magnitude would have been off by the leak's angle.
    naive = calibrate_phase(setting, f, time, signal, 0.9, expected=sign)
    assert naive == pytest.approx(-17.0 + math.degrees(math.atan2(leak, g)) - (180.0 if sign < 0 else 0.0), abs=1e-9)
    assert abs(naive - known) > 16.0

    other = 0.4 * np.sin(angle) + strays  # a weak response, read with the calibrated phase: the leak is gone
    plan = DitherPlan((f,), (1.0,), (0.9,))
    assert gradient(plan, time, other, setting, phase=known) == pytest.approx([0.4], abs=1e-10)


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("time_constant", lambda: LockInSettings(0.0)),
        ("filter_slope", lambda: LockInSettings(1.0, 9)),
        ("harmonic", lambda: LockInSettings(1.0, harmonic=0)),
        ("phase", lambda: LockInSettings(1.0, phase=math.nan)),
        ("sensitivity", lambda: LockInSettings(1.0, sensitivity=-1.0)),
        ("window", lambda: LockInSettings(1.0, window="flat")),
        ("time_s", lambda: demodulate(LockInSettings(1.0, window="boxcar"), 1.0, [0.0, 0.5, 0.8], [0.0] * 3)),
        ("time_s", lambda: demodulate(LockInSettings(1.0), 1.0, [0.0, 0.5, 0.5], [0.0] * 3)),
        ("time_s", lambda: demodulate(LockInSettings(1.0), 1.0, [0.0], [0.0])),
        ("signal", lambda: demodulate(LockInSettings(1.0), 1.0, [0.0, 0.5], [0.0] * 3)),
        ("signal", lambda: demodulate(LockInSettings(1.0), 1.0, [0.0, 0.5], [0.0, math.nan])),
        ("frequency_Hz", lambda: demodulate(LockInSettings(1.0), -1.0, [0.0, 0.5], [0.0] * 2)),
        (
            "harmonic",
            lambda: gradient(DitherPlan((1.0,), (1.0,)), [0.0, 1.0], [0.0] * 2, LockInSettings(1.0, harmonic=2)),
        ),
        (
            "phase",
            lambda: gradient(DitherPlan((1.0,), (1.0,)), [0.0, 1.0], [0.0] * 2, LockInSettings(1.0), [1.0, 2.0]),
        ),
        (
            "signal",
            lambda: calibrate_phase(LockInSettings(1.0), 1.0, [0.0, 0.5], [1.0] * 2, background=[1.0] * 2),
        ),
        ("expected", lambda: calibrate_phase(LockInSettings(1.0), 1.0, [0.0, 0.5], [1.0] * 2, expected=0.0)),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(field, call):
    with refused(field):
        call()


@pytest.mark.parametrize("harmonic", range(1, 8))
def test_square_mixer_reads_odd_harmonics_as_one_over_n(harmonic):
    """A square wave's Fourier series: whatever the phase, 1/n of the rms at odd n, nothing at even n."""
    setting = LockInSettings(0.05, window="boxcar", mixer="square")
    time = np.arange(0, 20 * 64) / (400.0 * 64)
    for psi in (0.0, 0.7, 2.0):
        reading = demodulate(
            setting, 400.0, time, 3.0 * np.sin(2 * np.pi * 400.0 * harmonic * time + harmonic * psi), psi
        )
        expected = 3.0 / math.sqrt(2) / harmonic if harmonic % 2 else 0.0
        assert reading.x == pytest.approx(expected, abs=1e-12)
        assert reading.y == pytest.approx(0.0, abs=1e-12)


def test_square_mixer_is_the_product_with_a_square_wave():
    """Against the product written out on a grid fine enough to see the edges, for a signal of several tones."""
    setting = LockInSettings(0.01, 12, mixer="square", phase=20.0)
    tones = [(1.0, 400.0, 0.3), (0.5, 1200.0, -1.0), (0.7, 1700.0, 2.0), (2.0, 0.0, math.pi / 2)]

    def signal(t):
        return sum(a * np.sin(2 * np.pi * f * t + p) for a, f, p in tones)

    coarse = np.arange(0, 0.1, 1 / (400 * 256))
    fine = np.arange(0, coarse[-1], 1 / (400 * 20000))
    angle = 2 * np.pi * 400.0 * fine + math.radians(20.0)
    reading = demodulate(setting, 400.0, coarse, signal(coarse))
    for value, wave in ((reading.x, np.sin(angle)), (reading.y, np.cos(angle))):
        product = math.pi / 4 * math.sqrt(2) * np.sign(wave) * signal(fine)
        assert value == pytest.approx(rc_filter(fine, product, 0.01, 2)[-1], abs=3e-4)


def test_an_unknown_mixer_is_refused():
    with pytest.raises(InputError, match="mixer"):
        LockInSettings(0.1, mixer="round")


def test_overloads_are_named():
    time = np.arange(0, 40 * 32) / (400.0 * 32)
    loud = np.sin(2 * np.pi * 400.0 * time - 1.0)
    reading = demodulate(LockInSettings(0.05, window="boxcar", sensitivity=0.5), 400.0, time, loud)
    assert (reading.overload, reading.overloads) == (True, ("y",))
    reading = demodulate(LockInSettings(0.05, window="boxcar", sensitivity=1.0), 400.0, time, loud)
    assert (reading.overload, reading.overloads) == (False, ())
