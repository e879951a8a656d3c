"""A deck's result depends on the deck and on arguments that are kept with it, not on start files and earlier runs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from circuits.lockin.netlist import lockin_block
from circuits.ngspice.dialects import DIALECTS
from circuits.ngspice.engine import Engine, Vectors
from inmateria.errors import InputError, NetlistError, TrustWarning
from lockin.settings import LockInSettings
from netlists.check import run_deck_file
from netlists.reader import load_part

pytestmark = pytest.mark.filterwarnings("ignore:.*takes the absolute value of the base")

FOREIGN = "t\nV1 a 0 1\nR1 a b 4k7\nR2 b 0 4.7k\nVy y 0 -4\nB1 n 0 V=V(y)**3\nRn n 0 1meg\n.op\n.end"
DECK = FOREIGN.replace("4k7", "4k")
OWN, HSPICE, LTSPICE = (round(4.7 / 8.7, 6), 64.0), (round(4.7 / 8.7, 6), -64.0), (0.5, -64.0)
"""V(b) and V(n): `4k7` is 4.7 kOhm in LTspice only, and a negative base keeps its sign in LTspice and HSPICE."""


def pair(found: Vectors) -> tuple[float, float]:
    return round(float(found["b"][0]), 6), round(float(found["n"][0]), 6)


def modes(found: Vectors) -> set[str]:
    """The modes that ngspice says it reads in."""
    said = next(line for line in found.messages if "ompatibility mode" in line)
    return set(said.partition("selected:")[2].split())


@pytest.fixture(scope="module")
def fresh() -> Iterator[Engine]:
    with Engine(timeout_s=60) as engine:
        yield engine


def test_a_dialect_counts_for_its_run_only(fresh: Engine) -> None:
    """And is kept with the result, of a transient too."""
    for dialect, right in (
        (None, OWN),
        ("hspice", HSPICE),
        (None, OWN),
        ("LTspice", LTSPICE),
        ("pspice", OWN),
        (None, OWN),
    ):
        found = fresh.run(FOREIGN if dialect and dialect.lower() == "ltspice" else DECK, dialect=dialect)
        assert pair(found) == right
        assert found.dialect == dialect
    request = {"stop_s": 1e-3, "max_step_s": 1e-4, "save": ["v(b)", "v(n)"]}
    for dialect, (b, n) in (("ltspice", LTSPICE), (None, OWN)):
        circuit = (FOREIGN if dialect and dialect.lower() == "ltspice" else DECK).replace("\n.op\n.end", "")
        run = fresh.transient(circuit, dialect=dialect, **request)
        assert run.dialect == dialect
        assert (run["v(b)"][-1], run["v(n)"][-1]) == pytest.approx((b, n), rel=1e-6)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_ngspice_takes_each_dialect_and_forgets_it(fresh: Engine, dialect: str) -> None:
    """ngspice 39 keeps EAGLE's mode for the next deck that has any: that worker is not used again."""
    letters = {"ltspice": {"lt", "ps", "a"}, "spectre": {"spe"}, "spice3": {"s3"}, "xspice": {"xs"}}
    assert modes(fresh.run(DECK, dialect=dialect)) == letters.get(dialect, {DIALECTS[dialect][:2], "a"})
    assert modes(fresh.run(DECK, dialect="hspice")) == {"hs", "a"}
    assert modes(fresh.run(DECK)) == set()


@pytest.mark.parametrize("wrong", ["ltspicee", "lta", "", 3])
def test_an_unknown_dialect_is_refused_with_the_list(engine: Engine, wrong: str) -> None:
    for ask in (
        lambda: engine.run(DECK, dialect=wrong),
        lambda: engine.transient("t\nR1 a 0 1", stop_s=1, max_step_s=0.1, save=["v(a)"], dialect=wrong),
    ):
        with pytest.raises(InputError, match=r"dialect = .*ltspice, pspice, hspice"):
            ask()


def test_a_deck_that_failed_tells_its_dialect(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(NetlistError) as caught:
        engine.run(DECK.replace("1meg", "{nosuch}"), dialect="kicad", folder=tmp_path)
    assert caught.value.deck is not None
    dialect, plain = caught.value.deck.read_text().splitlines()[-2:]
    assert dialect == "* dialect: kicad"
    assert "'set ngbehavior=kia' in .spiceinit" in plain


INIT = "set ngbehavior=lta\noption temp=100\nshell touch {place}/ran\n"


@pytest.mark.parametrize("where", ["present", "home", "named"])
def test_a_start_file_of_the_user_neither_counts_nor_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """In the present folder, the home folder, and where ngspice 38 looks by a variable; in parts' checks as well."""
    folders = {name: tmp_path / name for name in ("present", "home", "named")}
    for folder in folders.values():
        folder.mkdir()
    for name in (".spiceinit", "spice.rc"):
        (folders[where] / name).write_text(INIT.format(place=tmp_path))
    monkeypatch.chdir(folders["present"])
    monkeypatch.setenv("HOME", str(folders["home"]))
    monkeypatch.setenv("SPICE_USERINIT_DIR", str(folders["named"]))
    with Engine() as engine:
        found = engine.run(DECK.replace("4.7k", "4.7k TC1=0.01"))
    assert pair(found) == OWN
    assert modes(found) == set()
    check = "\nif abs(v(b) - 4.7/8.7) < 1e-6\nquit 0\nend\nquit 1\n.endc\n.end"
    (tmp_path / "check.cir").write_text(
        DECK.replace("4.7k", "4.7k TC1=0.01").replace("\n.end", "\n.control\nrun" + check)
    )
    assert run_deck_file(tmp_path / "check.cir").passed
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("variable", ["SPICE_SCRIPTS", "SPICE_LIB_DIR"])
def test_what_the_installation_sets_is_a_doubt_of_each_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """A start file of the whole machine loads XSPICE's code models: it is read, and what else it does is told."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    (folder / "spinit").write_text("set ngbehavior=hsa\n set num_threads=2\n  option temp=100\n* option temp=50\n")
    monkeypatch.setenv(variable, str(folder if variable == "SPICE_SCRIPTS" else tmp_path))
    with Engine() as engine:
        with pytest.warns(TrustWarning, match=r"spinit line 3: 'option temp=100'"):
            found = engine.run(DECK)
        assert pair(found) == OWN
        assert sum("spinit" in doubt for doubt in found.trust.doubts) == 1


DRAWS = "t\nV1 c 0 {agauss(0,3,3)}\nR1 c 0 1k\nV3 d 0 DC 0 TRRANDOM(2 1u 0 1 0)\nR3 d 0 1k\n.tran 1u 20u 0 1u\n.end"


def test_numbers_that_a_deck_draws_repeat_with_its_seed(fresh: Engine, engine: Engine) -> None:
    """In a worker that has served other runs too: `agauss` at the reading of the deck, TRRANDOM while it runs."""
    first, again, other = fresh.run(DRAWS), fresh.run(DRAWS), fresh.run(DRAWS, seed=1)
    elsewhere = engine.run(DRAWS, seed=1)
    assert (first.seed, elsewhere.seed) == (0, 1)
    assert first.trust.doubts == ()
    for name in ("c", "d"):
        np.testing.assert_array_equal(again[name], first[name])
        np.testing.assert_array_equal(elsewhere[name], other[name])
        assert not np.array_equal(other[name], first[name])
    run = {"stop_s": 1e-5, "max_step_s": 1e-6, "save": ["v(c)"]}
    circuit = DRAWS.partition("\n.tran")[0]
    assert fresh.transient(circuit, **run, seed=1)["v(c)"][0] == other["c"][0]


def test_seeds_give_numbers_of_the_distribution(fresh: Engine) -> None:
    """agauss(0, 3, 3) has a standard deviation of 1: of 200 seeds, chi^2 / 199 lies in 0.67 to 1.42 but for 1e-4."""
    drawn = [float(fresh.run(DRAWS.replace(".tran 1u 20u 0 1u", ".op"), seed=k)["c"][0]) for k in range(200)]
    assert len(set(drawn)) == 200
    assert 0.67 < np.var(drawn, ddof=1) < 1.42
    assert abs(np.mean(drawn)) < 3.9 / 200**0.5


def test_trnoise_is_a_doubt(fresh: Engine) -> None:
    """ngspice fills its pool of normal numbers by the process number, whatever the seed."""
    with pytest.warns(TrustWarning, match="no seed repeats the numbers of TRNOISE"):
        fresh.run("t\nV1 a 0 DC 0 TRNOISE(1m 1u 0 0)\nR1 a 0 1k\n.tran 1u 10u 0 1u\n.end")


def test_a_decks_own_seed_counts_for_more_and_the_time_of_the_day_is_a_doubt(fresh: Engine) -> None:
    own = DRAWS.replace(".tran", ".options seed=7\n.tran")
    assert fresh.run(own)["c"][0] == fresh.run(own, seed=1)["c"][0] != fresh.run(DRAWS)["c"][0]
    with pytest.warns(TrustWarning, match="seed=random takes the time of the day"):
        fresh.run(DRAWS.replace(".tran", ".OPTION reltol=1e-3 Seed = Random\n.tran"))


@pytest.mark.parametrize("wrong", [-1, 2**31, 1.5])
def test_a_seed_that_ngspice_does_not_take_is_refused(fresh: Engine, wrong: int) -> None:
    with pytest.raises(InputError, match="seed = "):
        fresh.run(DRAWS, seed=wrong)


@pytest.mark.parametrize(
    ("expression", "right_in"),
    [
        ("limit(V(y),-3,3)", {"pspice": -3.0, "ltspice": -3.0}),
        ("IF(V(y)>0,1,2)", {"pspice": 2.0, "ltspice": 2.0}),
        ("pwr(V(y),2)", {"pspice": 16.0, "ltspice": 16.0, "hspice": -16.0}),
        ("pwr(V(y),3)", {"pspice": 64.0, "hspice": -64.0}),
        ("pwrs(V(y),3)", {"pspice": -64.0}),
        ("V(y)**3", {"ltspice": -64.0, "hspice": -64.0}),
        ("pow(V(y),3)", {"ltspice": -64.0}),
    ],
)
def test_a_dialect_is_right_or_it_is_told(fresh: Engine, expression: str, right_in: dict[str, float]) -> None:
    """LTspice, PSpice: limit is a clamp, pow a true power, pwr abs(x)**y, pwrs keeps the sign; of HSPICE pwr does."""
    for dialect in ("pspice", "ltspice", "hspice"):
        deck = f"t\nVy y 0 -4\nB1 n 0 V={expression}\nRn n 0 1meg\nRy y 0 1k\n.op\n.end"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", TrustWarning)
                found = fresh.run(deck, dialect=dialect)
        except NetlistError:
            assert dialect not in right_in
            continue
        if dialect in right_in:
            assert found["n"][0] == pytest.approx(right_in[dialect])
            assert found.trust.doubts == ()
        else:
            assert "base" in found.trust.doubts[0]


@pytest.mark.parametrize("value", ["4k7", "1M5", "2R2", "4,7k", "1k+2k"])
def test_a_value_is_read_as_it_stands_or_refused(fresh: Engine, value: str) -> None:
    """Only LTspice takes a suffix for the point, and M for milli with it."""
    ohm = {"4k7": 4700.0, "1M5": 1.5e-3, "2R2": 2.2}
    for dialect in (None, "pspice", "hspice", "ltspice"):
        deck = f"t\nI1 0 n 1\nR1 n 0 {value}\n.op\n.end"
        if dialect == "ltspice" and value in ohm:
            assert fresh.run(deck, dialect=dialect)["n"][0] == pytest.approx(ohm[value])
        else:
            with pytest.raises(NetlistError, match="ngspice reads"):
                fresh.run(deck, dialect=dialect)


def test_a_deck_may_say_its_dialect_itself(fresh: Engine) -> None:
    said = DECK.replace("t\n", "t\n* dialect: hspice\n", 1)
    found = fresh.run(said)
    assert (found.dialect, pair(found)) == ("hspice", HSPICE)
    assert pair(fresh.run(said, dialect="pspice")) == OWN  # what is asked for counts
    with pytest.raises(NetlistError, match="differ within one deck"):
        fresh.run(said.replace("Vy y", "* dialect: PSpice\nVy y"))


@pytest.mark.parametrize("dialect", ["pspice", "ltspice", "hspice"])
def test_our_parts_are_the_same_in_every_dialect(fresh: Engine, dialect: str) -> None:
    """A vendor's part of another dialect stands in a circuit of ours, which is then read in it too."""
    settings = LockInSettings(time_constant=2e-3, filter_slope=12)
    parts = [replace(one, text=f"* dialect: {dialect}\n{one.text}") for one in [load_part("lowpass", "macro")]]
    readings = []
    for given in ([load_part("lowpass", "macro")], parts):
        block = lockin_block(settings, 1e3, "macro", parts=given)
        run = block.run(fresh, "SIN(0 1 1000)")
        readings.append(block.reading(run))
    assert run.dialect == dialect
    assert (readings[0].magnitude, readings[0].theta) == (readings[1].magnitude, readings[1].theta)


def test_normal_numbers_repeat_whatever_was_drawn_before(engine: Engine) -> None:
    """They come in pairs: behind a run that takes an odd number of them, another's seed gave the one that was left."""
    deck = "t\nVn n 0 DC 0 TRRANDOM(2 1m 0 1 0)\nRn n 0 1k\n"
    runs = [
        engine.transient(deck, stop_s=stop, max_step_s=1e-4, save=["v(n)"], seed=3)["v(n)"]
        for stop in (5e-3, 6e-3, 5e-3, 7e-3, 5e-3)
    ]
    for run in runs[2::2]:
        np.testing.assert_array_equal(run, runs[0])
