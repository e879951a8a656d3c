"""Bills of materials against circuits whose components are counted by hand."""

import pytest

from circuits.parts.assembly import Assembly
from circuits.parts.bill import Bill, bill_of, components_inside
from netlists.reader import load_part


def bill(*placed: tuple[str, str, dict[str, float]], level: str = "board") -> Bill:
    """Of parts whose inputs are grounded."""
    names = {name for _, name, _ in placed}
    assembly = Assembly("counted by hand", {name: load_part(name, level) for name in names})
    for reference, name, values in placed:
        ends = {pin.name: "0" for pin in assembly.part(name).pins if pin.name not in ("vp", "vn", "out")}
        assembly.add(name, reference, ends | {"out": f"{reference}_out"}, **values)
    return bill_of(assembly.placed, load_part("rails", "board"))


def told(found: Bill) -> dict[str, int]:
    return {f"{item.kind} {item.value}": item.quantity for item in found.items}


def test_a_multiplier_with_its_divider() -> None:
    # r1 = 10 kohm (10 V/vscale - 1): 2.5 kohm at 8 V, of E96 2.49 kohm; two capacitors at its supplies
    found = bill(("mix", "mixer", {"vscale": 8.0}))
    assert told(found) == {
        "IC AD633JNZ": 1,
        "R 10 kohm": 1,
        "R 2.49 kohm": 1,
        "C 100 nF": 2,
        "supply linear supply of two times 15 V, 1 A": 1,
    }
    assert found.current_A == load_part("multiplier_ad633", "board").defaults["iq"]
    assert found.power_W == pytest.approx(2 * 15.0 * found.current_A)
    assert "R 2.49 kohm" not in told(bill(("mix", "mixer", {"vscale": 10.0})))  # a wire: z at ground


def test_values_are_those_without_errors_and_parasitics_are_none() -> None:
    values = {"rate": -2.0, "c": 1e-5, "ctol": 0.05, "rtol": 0.01, "vmax": 1.0, "vmin": -0.8}
    found = told(bill(("w", "integrator", values)))
    # 1/(2/s 10 uF) less 20 ohm: 49.9 kohm of E96; bounds 10 kohm 15.42/0.58 and 15.42/0.38: 267 and 402 kohm
    assert found["R 49.9 kohm"] == found["R 267 kohm"] == found["R 402 kohm"] == 1
    assert found["R 10 kohm"] == 2
    assert {name for name in found if name.startswith("R")} == {"R 49.9 kohm", "R 267 kohm", "R 402 kohm", "R 10 kohm"}
    assert found["C 10 uF"] == 1  # neither the leakage nor the branch of its absorption is bought
    assert {name: found[name] for name in found if name[0] in "ID"} == {"IC OP07EPZ": 1, "IC DG419DJ": 1, "D BAV199": 1}


def test_several_in_a_package_and_designators() -> None:
    found = bill(*((f"tia{k}", "transimpedance", {}) for k in range(3)))
    assert told(found)["IC TL072CP"] == 3  # six amplifiers
    rows = {row["value"]: row for row in found.rows}
    assert rows["TL072CP"]["designators"] == "U1-U3"
    assert rows["10 Mohm"]["quantity"] == 3
    assert rows["100 nF"]["quantity"] == 6
    diodes = bill(("lim", "limiter", {"gain": 20.0, "vlimit": 0.1}))
    assert told(diodes)["D 1N4148"] == 2
    assert told(diodes)["IC OP07EPZ"] == 3


def test_what_is_no_circuit_of_components_is_told() -> None:
    found = bill(("loss", "hinge", {}), level="macro")
    assert found.not_built == ("loss (hinge_macro)",)
    assert found.current_A == 0.0


@pytest.mark.parametrize(
    ("name", "count"), [("dither_sum", 3), ("squared_error", 3), ("lowpass", 1), ("opamp_op07", 1), ("rails", 1)]
)
def test_components_of_a_part(name: str, count: int) -> None:
    found = list(components_inside(load_part(name, "board")))
    assert len(found) == count
    assert all(component.component.count("; ") == 3 for _, component in found)
