"""The noise of circuits as users write them: names, models and multipliers of all kinds, and what is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from circuits.ngspice.engine import Engine
from circuits.ngspice.noise_sources import NoiseSource, NoiseSources
from circuits.noise.circuit_noise import noise_along, noise_at_operating_point
from circuits.noise.elements import noisy_elements
from inmateria.errors import InputError, NetlistError

BOLTZMANN, KELVIN = 1.380649e-23, 300.15
ASKED: dict[str, Any] = {"stop_s": 1e-3, "max_step_s": 1e-5}
DIODE = "t\n.model dm d(is=1e-14)\nVin in 0 1 AC 1\nR1 in out 10k\nD1 out 0 dm\n"
CIRCUITS = {
    "a resistor with value and model": (
        ".model rm r(kf=1e-10 af=2)\nVin in 0 1 AC 1\nR1 in out 10k rm\nR2 out 0 10k\n"
    ),
    "a model's name with a dot": (
        ".model bc547.1 npn(is=1e-14 bf=200)\nVin b 0 0.65 AC 1\nQ1 out b 0 bc547.1\nVd d 0 5\nRd d out 1k\n"
    ),
    "a node named as the model": (
        ".model qm npn(is=1e-14 bf=200)\nVin b 0 0.65 AC 1\nQ1 out b qm qm\nRe qm 0 10\nVd d 0 5\nRd d out 1k\n"
    ),
    "numbers for nodes": (
        ".model dm d(is=1e-14)\nVin 1 0 1 AC 1\nR1 1 out 10k\nD1 out 2 dm\nR3 2 3v3 1k\nR4 3v3 0 9\n"
    ),
    "signs in names": (
        ".model dm d(is=1e-14)\nVin in 0 1 AC 1\nR1 in a+b 10k\nD1 a+b n#1 dm\nR2 n#1 out-2 1k\n"
        "R4 out-2 out 1k\nD2 out 0 dm\n"
    ),
    "names of our own": (
        "Vin in 0 1 AC 1\nR1 in noisesum 10k\nR2 noisesum out 1k\nRnoisein out 0 1k\nRnoisesum out 0 9k\n"
    ),
    "models and multipliers in subcircuits": (
        ".subckt s a b\n.model dm d(is=1e-14 kf=1e-16)\nD1 a b dm\nR1 a b 1k\n.ends\n.subckt t a b\n"
        "X1 a b s m=3\n.ends\nVin in 0 1 AC 1\nRr in out 10k\nX1 out 0 t m=2\n"
    ),
    "temperatures": (
        ".options temp=100 tnom=50\n.model dm d(is=1e-14)\nVin in 0 1 AC 1\nR1 in out 1k tc1=1m\n"
        "D1 out 0 dm\nR2 out 0 1k dtemp=30\n"
    ),
}


def levels_dB(engine: Engine, circuit: str) -> np.ndarray[Any, Any]:
    """Noise at ``out`` by the sources, over that of ``.noise``."""
    sources = noise_at_operating_point(engine, circuit, band_Hz=(10.0, 1e6))
    exact = engine.run(f"{circuit}.noise v(out) Vin dec 2 10 1meg\n.end\n")
    ways = [
        engine.run(f"{circuit.replace(' AC 1', '')}Iprobe 0 {node} DC 0 AC 1\n.ac dec 2 10 1meg\n.end\n")["out"]
        for node in sources.nodes
    ]
    z = np.stack(ways, axis=1)
    ours = np.einsum("fm,fmn,fn->f", z, sources.density(sources.nodes, exact["frequency"]), np.conj(z)).real
    return np.asarray(10.0 * np.log10(ours / exact["onoise_spectrum"] ** 2))


@pytest.mark.parametrize("name", CIRCUITS)
def test_the_sources_give_the_noise_of_any_circuit(engine: Engine, name: str) -> None:
    np.testing.assert_allclose(levels_dB(engine, f"t\n{CIRCUITS[name]}"), 0.0, atol=0.01)


def test_what_the_deck_saves_does_not_matter(engine: Engine) -> None:
    saving = f"{DIODE.replace('D1 out', 'R2 out k 1k' + chr(10) + 'D1 k')}.save v(out)\n"
    found = noise_at_operating_point(engine, saving, band_Hz=(1.0, 1e3))
    whole = noise_at_operating_point(engine, saving.replace(".save v(out)\n", ""), band_Hz=(1.0, 1e3))
    np.testing.assert_array_equal(found.density(["k"], [1.0]), whole.density(["k"], [1.0]))
    along = noise_along(engine, saving, instants=2, **ASKED)
    np.testing.assert_allclose(along.density(["k"], [1.0]), whole.density(["k"], [1.0]), rtol=1e-3)


def test_numbers_for_nodes_along_a_run(engine: Engine) -> None:
    deck = "t\n.model dm d(is=1e-14)\nV1 1 0 1\nR1 1 2 10k\nD1 2 3v3 dm\nR2 3v3 0 1k\n"
    noise = noise_along(engine, deck, instants=2, **ASKED)
    assert set(noise.nodes) == {"1", "2", "3v3"}
    assert engine.transient(deck, save=["v(2)"], noise=noise, **ASKED)["v(2)"].std() > 0.0


@pytest.mark.parametrize("seed", [0, 1])
def test_a_drawn_resistor_has_the_noise_of_the_value_that_its_run_has(engine: Engine, seed: int) -> None:
    deck = "t\n.param rr=agauss(10k,3k,3)\nR1 a 0 {rr}\nI1 0 a 1u\n"
    ohm = engine.transient(deck, save=["v(a)"], seed=seed, **ASKED)["v(a)"][-1] / 1e-6
    for noise in (
        noise_along(engine, deck, seed=seed, **ASKED),
        noise_at_operating_point(engine, deck, band_Hz=(1.0, 1e3), seed=seed),
    ):
        np.testing.assert_allclose(noise.density(["a"], [1.0])[0, 0, 0], 4.0 * BOLTZMANN * KELVIN / ohm, rtol=1e-5)


def test_a_resistors_model_makes_its_noise_depend_on_its_bias() -> None:
    lines = ("t", ".model rm r", "r1 a b 1k", "r2 a b 1k rm", "r3 a b rm l=1u", "r4 a b 1k tc1=1m")
    assert [e.name for e in noisy_elements(lines).elements if e.biased] == ["r2", "r3"]


def test_noise_of_another_circuit_is_refused(engine: Engine) -> None:
    """It would flow into a node that nothing else is at, unseen."""
    noise = noise_at_operating_point(engine, "t\nR1 a 0 1k\n", band_Hz=(1.0, 10.0))
    with pytest.raises(InputError, match="that the circuit lacks"):
        engine.transient("t\nR1 b 0 1k\nI1 0 b 1u\n", save=["v(b)"], noise=noise, **ASKED)


def test_what_is_no_noise_is_refused(engine: Engine) -> None:
    with pytest.raises(InputError, match="noise_along"):
        engine.transient(DIODE, save=["v(out)"], noise=True, **ASKED)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"stop_s": 0.0}, "max_step_s"),
        ({"max_step_s": 0.0}, "max_step_s"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"instants": 0}, "instants"),
    ],
)
def test_wrong_arguments_are_told_by_name(engine: Engine, change: dict[str, Any], field: str) -> None:
    for circuit in (DIODE, "t\nR1 a 0 1k\n"):
        with pytest.raises((InputError, NetlistError), match=field):
            noise_along(engine, circuit, **{**ASKED, **change})


@pytest.mark.parametrize("line", [".end", ".tran 1u 1m", ".op"])
def test_an_analysis_in_the_circuit_is_refused_as_by_a_transient(engine: Engine, line: str) -> None:
    for circuit in (DIODE, "t\nR1 a 0 1k\n"):
        with pytest.raises(NetlistError, match="leave it out"):
            noise_at_operating_point(engine, f"{circuit}{line}\n", band_Hz=(1.0, 10.0))
        with pytest.raises(NetlistError, match="leave it out"):
            noise_along(engine, f"{circuit}{line}\n", **ASKED)


def test_sources_of_the_same_name_are_several() -> None:
    none = np.zeros(0)
    gains = np.array([[1.0, -1.0], [2.0, -2.0]])
    twice = NoiseSources((NoiseSource("x", ("a", "b"), gains, 1.0, none, none),) * 2, np.array([0.0, 1.0]))
    once = NoiseSources(twice.sources[:1], twice.times_s)
    times = np.arange(1, 20001) * 5e-5
    ratio = np.var(twice.currents(times, seed=1)[:, 0]) / np.var(once.currents(times, seed=2)[:, 0])
    assert 1.85 < ratio < 2.15


@pytest.mark.parametrize("name", ["irvdmos", "vdmosn", "VDMOS1"])
def test_a_name_on_which_ngspice_hangs_is_refused(engine: Engine, name: str) -> None:
    circuit = f"t\n.model {name} vdmos(vto=2 kp=1)\nVin g 0 2 AC 1\nM1 out g 0 {name}\nR1 out 0 1k\n"
    for dialect in (None, "ltspice"):
        with pytest.raises(NetlistError, match="without 'vdmos'"):
            noise_at_operating_point(engine, circuit, band_Hz=(1.0, 10.0), dialect=dialect)


@pytest.mark.parametrize("temperature", ["", ".temp 80\n", ".options temp=-20\n"])
def test_values_by_temperature_are_those_of_the_circuit(engine: Engine, temperature: str) -> None:
    model = ".model dm d(is={1e-14*(1+0.1*temper)} n={1+temper/1e3})\n"
    circuit = f"t\n{temperature}{model}Vin in 0 1 AC 1\nR1 in out 10k\nD1 out 0 dm\n"
    np.testing.assert_allclose(levels_dB(engine, circuit), 0.0, atol=0.01)


def test_a_temperature_in_an_if_is_refused(engine: Engine) -> None:
    circuit = f"{DIODE}.param a=1\n.if (a==2)\n.temp 150\n.endif\n"
    with pytest.raises(InputError, match="outside"):
        noise_at_operating_point(engine, circuit, band_Hz=(1.0, 10.0))
