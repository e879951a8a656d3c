"""Noise of the electronics in time: what ngspice's ``.noise`` says of each element is what flows in a transient.

False-alarm rate of each statistical statement: 1e-5 for a new seed; the seeds are fixed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from circuits.ngspice.engine import OPTIONS, Engine
from circuits.ngspice.noise_sources import NoiseSource, NoiseSources
from circuits.noise.circuit_noise import noise_along, noise_at_operating_point, shape
from circuits.noise.elements import noisy_elements
from inmateria.errors import EngineError, InputError
from netlists.foundries import foundry_models
from netlists.reader import library, load_part, needed

Array = NDArray[np.float64]
BOLTZMANN, CHARGE, KELVIN = 1.380649e-23, 1.602176634e-19, 300.15
AMPLIFIER = """amplifier
.subckt amp in out vcc
Rc vcc out 1k
Q1 out b e qm
Rb in b 100
Re e 0 100
.ends
.model qm npn(is=1e-15 bf=100 rb=150 rc=10 re=1 kf=1e-14 af=1 cje=1p cjc=1p tf=0.1n)
Vcc vcc 0 5
Vin in 0 dc 0.9 ac 1 sin(0.9 0 1k)
X1 in out vcc amp
Rl out 0 10k
Cl out 0 10n
"""


def pair() -> str:
    gf = foundry_models("gf180mcu")
    return (
        f"pair\n.include {gf}/design.ngspice\n.lib {gf}/sm141064.ngspice typical\nVdd vdd 0 3.3\n"
        "Vin inp 0 DC 1.6 AC 1\nVn inn 0 DC 1.6\nIt tail 0 20u\nX1 a inp tail 0 nfet_03v3 W=10u L=0.5u\n"
        "X2 out inn tail 0 nfet_03v3 W=10u L=0.5u\nX3 a a vdd vdd pfet_03v3 W=10u L=0.5u\n"
        "X4 out a vdd vdd pfet_03v3 W=10u L=0.5u\nCl out 0 1p\n"
    )


def circuits() -> Mapping[str, tuple[str, float]]:
    """Circuits whose output is ``out`` and whose source is Vin, and a step that resolves them, s."""
    low, mixer = load_part("lowpass_sallen_key", "macro"), load_part("mixer", "transistor")
    placed = low.instance("1", {"in": "in", "out": "out"}, f0=1e4, q=0.7071)
    mixed = mixer.instance("1", {"a": "a", "b": "b", "out": "out"})
    return {
        "divider": ("divider\nVin in 0 DC 1 AC 1\nR1 in out 10k\nR2 out 0 30k\nC1 out 0 100p\n", 1e-6),
        "op-amp filter": (f"filter\n{library(needed([low]))}\nVin in 0 DC 0 AC 1\n{placed}\n", 2e-6),
        "Gilbert cell": (
            f"cell\n{library(needed([mixer]))}\nVin a 0 DC 0.3 AC 1\nVb b 0 DC 1\nC1 X1.o1 X1.o2 20p\n{mixed}\n", 2e-8,
        ),
        "GF180 pair": (pair(), 1e-7),
        "amplifier": (AMPLIFIER, 1e-6),
    }  # fmt: skip


NAMES = ("divider", "op-amp filter", "Gilbert cell", "GF180 pair", "amplifier")


@pytest.mark.parametrize("name", NAMES)
def test_the_sources_give_the_output_noise_that_ngspice_computes(engine: Engine, name: str) -> None:
    """The density of the currents, through ngspice's own ``.ac`` transfer from each node, is ``onoise_spectrum``^2.

    To 0.05 dB: what a sum of Lorentzians, two for each decade, leaves of 1/f. White noise alone to 1e-4.
    """
    circuit, _ = circuits()[name]
    band = (10.0, 1e6)
    sources = noise_at_operating_point(engine, circuit, band_Hz=band)
    exact = engine.run(f"{circuit}\n.noise v(out) Vin dec 2 {band[0]!r} {band[1]!r}\n.end\n")
    quiet = circuit.replace("AC 1", "").replace("ac 1", "")
    transfers = []
    for node in sources.nodes:
        run = engine.run(f"{quiet}\nIprobe 0 {node} DC 0 AC 1\n.ac dec 2 {band[0]!r} {band[1]!r}\n.end\n")
        transfers.append(run["out"])
    z, f = np.stack(transfers, axis=1), np.asarray(exact["frequency"])
    ours = np.einsum("fm,fmn,fn->f", z, sources.density(sources.nodes, f), np.conj(z)).real
    ratio = ours / np.asarray(exact["onoise_spectrum"]) ** 2
    coloured = any(source.coloured for source in sources.sources)
    np.testing.assert_allclose(10.0 * np.log10(ratio), 0.0, atol=0.05 if coloured else 4e-4)


@pytest.mark.parametrize(("name", "points"), [("divider", 60_000), ("op-amp filter", 60_000), ("Gilbert cell", 40_000),
                                              ("GF180 pair", 60_000)])  # fmt: skip
def test_the_record_of_a_transient_has_that_spectrum(engine: Engine, name: str, points: int) -> None:
    """Within 0.5 dB in the highest decade that the steps resolve; 60,000 points leave 0.1 dB of chance there (40,000:
    0.12), in the decade below 0.4, where chance is allowed for on top."""
    circuit, step = circuits()[name]
    stop = points * step
    noise = noise_at_operating_point(engine, circuit, band_Hz=(1.0 / stop, 0.5 / step))
    run = engine.transient(
        f"{circuit}\n{OPTIONS}", stop_s=stop, max_step_s=step, save=["v(out)"], noise=noise, seed=1,
        grids_s=[(0.0, stop, points)],
    )  # fmt: skip
    exact = engine.run(f"{circuit}\n.noise v(out) Vin dec 20 {1.0 / stop!r} {0.5 / step!r}\n.end\n")
    values = run["v(out)"][points // 10 :]  # the run begins away from the operating point
    window = np.hanning(len(values))
    power = np.abs(np.fft.rfft((values - values.mean()) * window)) ** 2 * 2.0 * step / np.sum(window**2)
    f = np.fft.rfftfreq(len(values), step)
    for low, high, allowed in ((0.005, 0.05, 0.0), (0.0005, 0.005, 1.0)):
        inside = (f >= low / step) & (f < high / step)
        theirs = np.interp(np.log(f[inside]), np.log(exact["frequency"]), exact["onoise_spectrum"]) ** 2
        ratio = float(np.mean(power[inside] / theirs))
        freedom = 2.0 * np.sum(inside) / (35.0 / 18.0)  # neighbours of a Hann window are correlated
        chance = 10.0 * np.log10(stats.chi2.isf(0.5e-5, freedom) / freedom)
        assert abs(10.0 * np.log10(ratio)) < max(0.5, allowed * chance), (low / step, ratio)


def test_a_resistor_has_johnsons_noise_and_a_junction_schottkys(engine: Engine) -> None:
    deck = (
        "d\n.temp 77\n.model dm d(is=1e-14)\n.model qm npn(is=1e-15 bf=100)\nV1 a 0 0.55\nD1 a 0 dm\nR1 a 0 2k\n"
        "Vc c 0 2\nVb b 0 0.55\nQ1 c b 0 qm\nR2 c b 1meg noisy=0\n"
    )
    found = noise_at_operating_point(engine, deck, band_Hz=(1.0, 1e3))
    op = engine.run(f"{deck}.save all @d1[id] @q1[ic] @q1[ib]\n.op\n.end\n")
    density = {source.name: (source.nodes, source.white * source.gains[0] ** 2) for source in found.sources}
    kelvin = 273.15 + 77.0
    expected = {
        "onoise_r1_thermal": 4.0 * BOLTZMANN * kelvin / 2e3,
        "onoise_d1_id": 2.0 * CHARGE * op["@d1[id]"][-1],
        "onoise_q1_ic": 2.0 * CHARGE * op["@q1[ic]"][-1],
        "onoise_q1_ib": 2.0 * CHARGE * op["@q1[ib]"][-1],
    }
    assert set(density) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(density[name][1], value, rtol=1e-5)
    assert density["onoise_q1_ic"][0] == ("c",)


def test_noise_inside_of_an_element_comes_out_correlated(engine: Engine) -> None:
    """The base resistor's voltage 4kT rb drives gm at the collector: minus that at the emitter, to beta^-1."""
    found = noise_at_operating_point(engine, AMPLIFIER, band_Hz=(10.0, 1e4))
    source = next(one for one in found.sources if one.name == "onoise_q.x1.q1_rb")
    gain = dict(zip(source.nodes, source.gains[0], strict=True))
    assert set(gain) == {"out", "x1.b", "x1.e"}
    np.testing.assert_allclose(sum(gain.values()), 0.0, atol=1e-9 * abs(gain["out"]))
    np.testing.assert_allclose(gain["out"] / gain["x1.e"], -1.0, atol=0.015)
    np.testing.assert_allclose(gain["out"] / gain["x1.b"], 100.0, rtol=0.02)


def test_the_circuit_meets_the_generators_currents(engine: Engine) -> None:
    deck = "r\nR1 a 0 1k\n" + OPTIONS
    noise = noise_at_operating_point(engine, "r\nR1 a 0 1k\n", band_Hz=(1.0, 1e6))
    runs = [
        engine.transient(deck, stop_s=1e-3, max_step_s=1e-6, save=["v(a)"], noise=noise, seed=seed, corners_s=[3.3e-5])
        for seed in (3, 3, 4)
    ]
    expected = 1e3 * noise.currents(runs[0].time_s, seed=3)[:, 0]
    np.testing.assert_allclose(runs[0]["v(a)"], expected, rtol=1e-9, atol=1e-18)
    np.testing.assert_array_equal(runs[0]["v(a)"], runs[1]["v(a)"])
    assert not np.allclose(runs[0]["v(a)"], runs[2]["v(a)"])


def test_uneven_steps_change_nothing(engine: Engine) -> None:
    """Means over windows have the variance 4kTR/(2T), with corners wherever they like.

    4000 of them: within 9 % but for one seed in 10^5; at the edges of a window up to half a step is its neighbour's.
    """
    window, windows = 1e-4, 4000
    noise = noise_at_operating_point(engine, "r\nR1 a 0 1k\n", band_Hz=(1.0, 1e6))
    edges = np.arange(1, windows + 1) * window
    corners = np.concatenate([edges, np.random.default_rng(3).uniform(0.0, edges[-1], windows)])
    run = engine.transient(
        "r\nR1 a 0 1k\n" + OPTIONS, stop_s=float(edges[-1]), max_step_s=window / 20, save=["v(a)"], noise=noise,
        corners_s=corners.tolist(), grids_s=[(edge - window, edge, 20) for edge in edges.tolist()],
    )  # fmt: skip
    v, steps = run["v(a)"], np.diff(run.time_s)
    walk = np.concatenate([[0.0], np.cumsum(0.5 * steps * (v[1:] + v[:-1]))])
    means = np.diff(np.interp(edges, run.time_s, walk)) / window
    ratio = np.mean(means**2) / (4.0 * BOLTZMANN * KELVIN * 1e3 / (2.0 * window))
    p = stats.chi2.isf(0.5e-5, windows) / windows - 1.0
    assert abs(ratio - 1.0) < p + 0.05


def test_noise_follows_its_bias_along_a_run(engine: Engine) -> None:
    """A diode whose current grows fourfold has shot noise 2 q I at every instant that was looked at.

    The variance of the currents in 12 parts of the run is that of the density between, each within chance at 1e-5/12.
    """
    deck = "d\n.model dm d(is=1e-14)\nI1 0 a PWL(0 1u 10m 4u)\nD1 a b dm\nV1 b 0 0\n"
    asked = {"stop_s": 10e-3, "max_step_s": 1e-6, "grids_s": [(0.0, 10e-3, 10_000)]}
    noise = noise_along(engine, deck + OPTIONS, instants=8, **asked)  # type: ignore[arg-type]
    assert len(noise.times_s) == 8
    for t in noise.times_s:
        current = 1e-6 * (1.0 + 3.0 * t / 10e-3)
        density = noise.density(("a",), [1e3], t)[0, 0, 0]
        np.testing.assert_allclose(density, 2.0 * CHARGE * current, rtol=1e-3)
    noisy = engine.transient(deck + OPTIONS, save=["i(v1)"], noise=noise, **asked)  # type: ignore[arg-type]
    quiet = engine.transient(deck + OPTIONS, save=["i(v1)"], **asked)  # type: ignore[arg-type]
    # Nothing loads the node: the diode's own noise current flows back through the diode, and V1 sees none of it.
    np.testing.assert_allclose(noisy["i(v1)"], quiet["i(v1)"], rtol=1e-6)
    expected = noise.currents(noisy.time_s, seed=0)[:, noise.nodes.index("a")]
    for part, times in zip(np.array_split(expected, 12), np.array_split(noisy.time_s, 12), strict=True):
        middle = np.clip(times.mean(), noise.times_s[0], noise.times_s[-1])
        variance = noise.density(("a",), [1e3], middle)[0, 0, 0] / (2.0 * 1e-6)
        p = 0.5e-5 / 12
        low, high = stats.chi2.ppf(p, len(part)) / len(part), stats.chi2.isf(p, len(part)) / len(part)
        assert 0.98 * low < np.mean(part**2) / variance < 1.02 * high


def test_resistors_need_no_run_of_their_own(engine: Engine) -> None:
    noise = noise_along(engine, "r\nV1 a 0 SIN(0 1 1k)\nR1 a b 1k\nR2 b 0 1k\n", stop_s=1.0, max_step_s=1e-9)
    assert [source.name for source in noise.sources] == ["onoise_r1_thermal", "onoise_r2_thermal"]


def test_a_shape_is_fitted_to_a_hundredth_of_a_decibel_away_from_its_ends() -> None:
    f = np.geomspace(1.0, 1e6, 31)
    corners = np.geomspace(0.1, 1e7, 17)
    for exponent in (0.8, 1.0, 1.2):
        density = 1e-3 + f**-exponent
        white, deviations = shape(f, density, corners)
        source = NoiseSource("n", ("a",), np.ones((1, 1)), white, corners, deviations)
        fine = np.geomspace(1.0, 1e6, 301)
        error = 10.0 * np.log10(source.density(fine) / (1e-3 + fine**-exponent))
        assert np.max(np.abs(error)) < 0.05


def test_white_sources_of_the_same_nodes_are_one_process() -> None:
    none = np.zeros(0)
    two = [NoiseSource(name, ("a", "b"), np.array([[g, -g]]), 2.0, none, none) for name, g in (("x", 3.0), ("y", 4.0))]
    currents = NoiseSources(tuple(two), np.zeros(1)).currents(np.arange(1, 20001) * 0.5, seed=0)
    np.testing.assert_array_equal(currents[:, 0], -currents[:, 1])
    ratio = np.mean(currents[:, 0] ** 2) / (2.0 * 25.0 / (2.0 * 0.5))
    assert stats.chi2.ppf(0.5e-5, 20000) / 20000 < ratio < stats.chi2.isf(0.5e-5, 20000) / 20000


def test_elements_are_read_with_their_nodes() -> None:
    found = noisy_elements(
        (
            "title", ".model qm npn", ".model nch.0 nmos", "r.x1.r1 x1.a 0 1k", "q1 c b e s qm", "q2 c b e qm",
            "m1 d g s b nch w=1u", "d1 a a dm", "s1 a b c 0 sw", "c1 a 0 1n", "r2 a b rmod l=1u",
        )
    )  # fmt: skip
    nodes = {element.name: element.nodes for element in found.elements}
    assert nodes == {
        "r.x1.r1": ("x1.a",), "q1": ("c", "b", "e", "s"), "q2": ("c", "b", "e"), "m1": ("d", "g", "s", "b"),
        "s1": ("a", "b"), "r2": ("a", "b"),
    }  # fmt: skip
    assert [e.name for e in found.elements if not e.biased] == ["r.x1.r1"]
    assert "c" in found.nodes


ELEMENTS = {
    "jfet": ".model jm njf(vto=-2 beta=1m kf=1e-17 rd=10 rs=10)\nVin g 0 0 AC 1\nJ1 out g s jm\nRs s 0 500\n",
    "power mos": ".model vm vdmos(vto=2 kp=1 rd=0.1 rs=0.05 rg=3)\nVin g 0 2.05 AC 1\nM1 out g 0 vm\n",
    "mos": ".model nm nmos(vto=0.7 kp=100u kf=1e-26 rd=10 rs=10)\nVin g 0 1.2 AC 1\nM1 out g 0 0 nm w=20u l=2u m=3\n",
    "bipolar": ".model qm npn(is=1e-16 bf=80 rb=200 rc=30 re=2 kf=1e-13)\nVin b 0 0.7 AC 1\nQ1 out b 0 0 qm area=2\n",
    "vbic": ".model qv npn(level=4 is=1e-16 rcx=10 rbx=100 re=2 kfn=1e-12 afn=1)\nVin b 0 0.72 AC 1\nQ1 out b 0 0 qv\n",
    "diodes": ".model dm d(is=1e-14 rs=5 kf=1e-15 n=1.2)\nVin in 0 2 AC 1\nR0 in a 100\nD1 a out dm m=2\nD2 0 out dm\n",
    "switch": ".model sm sw(vt=1 vh=0.1 ron=100 roff=1g)\nVin in 0 1 AC 1\nS1 in out d 0 sm ON\n",
    "resistors": ".temp 85\n.model rm r(rsh=100 kf=1e-20 af=2)\nVin in 0 5 AC 1\nR1 in out rm l=100u w=1u\n"
    "R2 out 0 10k tc1=1e-3\nR3 out 0 5k temp=100\nR4 out 0 7k noisy=0\nR5 out 0 9k m=2\nL1 out x 1m\nR6 x 0 1k\n",
}


@pytest.mark.parametrize("name", ELEMENTS)
def test_every_kind_of_element_makes_the_noise_that_ngspice_knows(engine: Engine, name: str) -> None:
    """As above, for the elements that ngspice has noise of; to 0.01 dB."""
    circuit = f"t\n{ELEMENTS[name]}Vd d 0 5\nRd d out 2k\n"
    sources = noise_at_operating_point(engine, circuit, band_Hz=(10.0, 1e6))
    exact = engine.run(f"{circuit}.noise v(out) Vin dec 2 10 1meg\n.end\n")
    columns = []
    for node in sources.nodes:
        probe = f"{circuit.replace(' AC 1', '')}Iprobe 0 {node} DC 0 AC 1\n.ac dec 2 10 1meg\n.end\n"
        columns.append(engine.run(probe)["out"])
    z = np.stack(columns, axis=1)
    density = sources.density(sources.nodes, exact["frequency"])
    ours = np.einsum("fm,fmn,fn->f", z, density, np.conj(z)).real
    np.testing.assert_allclose(10.0 * np.log10(ours / exact["onoise_spectrum"] ** 2), 0.0, atol=0.01)


def test_names_that_can_be_read_in_two_ways_are_refused(engine: Engine) -> None:
    """ngspice calls the thermal noise of r1 as it calls all of r1_thermal's."""
    with pytest.raises(EngineError, match="rename elements"):
        noise_at_operating_point(engine, "t\nR1 a 0 1k\nR1_thermal a b 2k\nRb b 0 1k\n", band_Hz=(1.0, 10.0))


@pytest.mark.parametrize("band", [(0.0, 1e3), (1e3, 10.0), (1.0, float("inf"))])
def test_bands_that_are_none_are_refused(engine: Engine, band: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="band_Hz"):
        noise_at_operating_point(engine, "r\nR1 a 0 1k\n", band_Hz=band)


def test_times_must_ascend() -> None:
    with pytest.raises(InputError, match="times_s"):
        NoiseSources((), np.zeros(1)).currents([1.0, 0.5])


def test_a_deck_as_ngspice_expands_it(engine: Engine) -> None:
    deck = (
        "t\n.param rr=3k\n.subckt s a b\nR1 a n {rr/2}\nR2 n b 1k\n.ends\nX1 in 0 s\nV1 in 0 1\n.temp 40\n.op\n.end\n"
    )
    lines = engine.expanded(deck)
    assert lines[0] == "t"
    words = {line.split()[0]: line.split()[1:] for line in lines[1:]}
    assert words["r.x1.r1"][:2] == ["in", "x1.n"]
    assert float(words["r.x1.r1"][2]) == 1500.0
    assert words["r.x1.r2"] == ["x1.n", "0", "1k"]
    assert words[".temp"] == ["40"]


def test_only_the_points_at_corners_are_kept(engine: Engine) -> None:
    deck = "t\nV1 in 0 SIN(0 1 1k)\nR1 in out 1k\nC1 out 0 1u\n" + OPTIONS
    asked = {"stop_s": 3e-3, "max_step_s": 1e-6, "save": ["v(out)"], "corners_s": [1e-3, 2.5e-3, 1.7e-3]}
    whole = engine.transient(deck, **asked)  # type: ignore[arg-type]
    few = engine.transient(deck, corners_only=True, **asked)  # type: ignore[arg-type]
    np.testing.assert_allclose(few.time_s, [1e-3, 1.7e-3, 2.5e-3, 3e-3], rtol=1e-12)
    assert few.complete
    np.testing.assert_array_equal(
        few["v(out)"], whole["v(out)"][np.searchsorted(whole.time_s, few.time_s * (1 - 1e-9))]
    )
