"""What stands for a name; and that no choice is ignored in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from circuits.homodyne.averaged import run_averaged
from circuits.homodyne.loop import HomodyneLoop, OutputStage
from circuits.homodyne.options import LoopOptions
from circuits.homodyne.twin import run_twin
from circuits.lockin.bank import LockInBank
from circuits.lockin.netlist import lockin_block
from circuits.ngspice.engine import Engine
from circuits.parts.chosen import chosen_part
from circuits.parts.levels import loop_fields
from circuits.parts.preamble import LOOSE, LOOSER, options_of
from circuits.signals.patterns import PatternSequence
from inmateria.errors import InputError
from lockin.plan import DitherPlan
from lockin.settings import LockInSettings
from netlists.reader import Part, library, load_part
from netlists.user_part import user_part

from ...toys import Linear

OWN = Path(__file__).resolve().parents[2] / "own_parts"
PINS = {"inp": "1", "inn": "2", "out": "5"}


def opamp(name: str = "opamp_tl072", **more: object) -> Part:
    """A vendor's macromodel in an op-amp's place."""
    file = OWN / ("tl072_boyle.lib" if name == "opamp_tl072" else "bipolar_opamp.lib")
    given = {"pins": PINS, "supplies": {"3": 15.0, "4": -15.0}, **more}
    return user_part(file, load_part(name, "macro"), **given)  # type: ignore[arg-type]


OPAMPS = {name: opamp(name) for name in ("opamp_tl072", "opamp_op07")}


def loop(**more: object) -> HomodyneLoop:
    patterns = PatternSequence(((0.0,), (0.3,)), (1.0, -1.0), 0.1, 0.005, 0.005, 5e-5)
    return HomodyneLoop(
        Linear(), 0, (1,), (1, 2), np.array([-0.25, 0.3]), DitherPlan((260.0, 510.0), (0.03, 0.02)), patterns,
        sequences=1, stage=OutputStage(baseline_V=-0.05, gain_log=2.0), **more,
    )  # fmt: skip


# -- nothing is ignored ------------------------------------------------------------------------------------------------


def bank(parts: object, level: str = "ideal") -> LockInBank:
    plan = DitherPlan((260.0, 510.0), (0.01, 0.01))
    return LockInBank(Linear(), 0, (1, 2), np.zeros(3), plan, LockInSettings(0.01, 12), level=level, parts=parts)


LOWPASS = {"lowpass": load_part("lowpass", "macro")}
MIXER, LIMITER = load_part("mixer", "macro"), load_part("limiter", "macro")


@pytest.mark.parametrize(
    ("make", "field", "fix"),
    [
        (lambda: LoopOptions(parts={"mixr": MIXER}), "parts['mixr']", "did you mean 'mixer'"),
        (lambda: loop(parts={"mixr": MIXER}), "parts['mixr']", "did you mean 'mixer'"),
        (lambda: loop(parts={"sigmoid": MIXER}), "parts['sigmoid']", "leave it out"),
        (lambda: loop(parts={"mixer": "macro"}), "parts['mixer']", "load_part"),
        (lambda: loop(parts=OPAMPS), "parts['opamp_tl072']", "ideal ones none"),
        (lambda: loop(parts={**LOWPASS, **OPAMPS}), "parts['opamp_tl072']", "opamp_op07"),
        (lambda: lockin_block(LockInSettings(1e-3, 12), 1e3, parts=[LIMITER]), "parts['limiter']", "leave it out"),
        (lambda: lockin_block(LockInSettings(1e-3, 12), 1e3, parts={"mixr": MIXER}), "parts['mixr']", "'mixer'"),
        (lambda: bank([LIMITER]), "parts['limiter']", "leave it out"),
        (lambda: bank([OPAMPS["opamp_op07"]]), "parts['opamp_op07']", "ideal ones none"),
    ],
)  # fmt: skip
def test_a_part_that_nothing_would_use_is_refused(make, field, fix):
    with pytest.raises(InputError) as told:
        make()
    assert told.value.field == field
    assert fix in told.value.fix


# -- op-amps below parts -----------------------------------------------------------------------------------------------


def test_an_opamp_stands_in_every_part_that_uses_it() -> None:
    for name, inner in (("transimpedance", "opamp_tl072"), ("lowpass", "opamp_op07"), ("integrator", "opamp_op07")):
        part = chosen_part({name: load_part(name, "macro"), **OPAMPS}, name)
        text = library([part])
        assert part.own == (OPAMPS[inner],)
        assert f"{inner}_macro" not in text.split(".subckt " + part.subckt)[1]
        assert "ibias" not in part.defaults
        assert "vos" in part.defaults
        assert options_of([part]) == LOOSER
        assert options_of([load_part(name, "macro")]) == LOOSE
    assert chosen_part(OPAMPS, "mixer", "macro") is load_part("mixer", "macro")


def test_it_follows_the_supply_and_keeps_its_offset(engine: Engine) -> None:
    """A follower: vos at its output; 20 V at its input end at the supply less what the vendor's model leaves."""
    part = opamp()
    lines = [library([part]), "Vin in 0 0", "Vbig big 0 20"]
    for k, given in enumerate(({}, {"vos": -2e-3})):
        lines.append(part.instance(f"f{k}", {"inp": "in", "inn": f"o{k}", "out": f"o{k}"}, **given))
    for volts in (15, 9):
        nodes = {"inp": "big", "inn": f"v{volts}", "out": f"v{volts}"}
        lines += [part.instance(f"s{volts}", nodes, vsupply=volts), f"Rl{volts} v{volts} 0 10k"]
    found = engine.run("followers\n" + "\n".join(lines) + "\n.op\n.end\n")
    assert float(found["o0"][0]) == pytest.approx(3e-3, abs=1e-4)
    assert float(found["o0"][0] - found["o1"][0]) == pytest.approx(5e-3, rel=1e-3)
    assert float(found["v15"][0] - found["v9"][0]) == pytest.approx(6.0, abs=0.05)


def test_what_it_has_built_in_cannot_be_asked_for() -> None:
    with pytest.raises(InputError, match="ibias"):
        chosen_part({"lowpass": load_part("lowpass", "macro"), **OPAMPS}, "lowpass").with_defaults("x", ibias=0.0)
    other = opamp(supplies={"3": 12.0, "4": -12.0})
    assert other.defaults["vsupply"] == 12.0
    assert "vsupply" in other.fixed


@pytest.fixture(scope="module")
def engine():
    with Engine(timeout_s=60.0) as one:
        yield one


def test_a_lock_in_with_a_vendors_opamps(engine: Engine) -> None:
    """1 V peak reads as with the library's op-amps, to the offsets in series; its swing is still told."""
    settings = LockInSettings(1e-3, 12)
    blocks = [lockin_block(settings, 1e3, "macro", parts=parts) for parts in ((), [OPAMPS["opamp_op07"]])]
    library_s, vendor_s = (block.reading(block.run(engine, "SIN(0 1 1000)")) for block in blocks)
    assert vendor_s.x == pytest.approx(library_s.x, abs=1e-4)
    assert vendor_s.y == pytest.approx(library_s.y, abs=1e-3)
    assert blocks[1].run(engine, "SIN(0 1 1000)", duration_s=2e-3).trust.doubts == ()


@pytest.mark.parametrize("fast", [run_twin, run_averaged], ids=["twin", "averaged"])
def test_fast_engines_refuse_a_vendors_opamp_by_name(fast) -> None:
    with pytest.raises(InputError, match="opamp_tl072") as told:
        fast(loop(parts={**loop_fields("macro")["parts"], "opamp_tl072": OPAMPS["opamp_tl072"]}))
    assert "ngspice" in told.value.fix
