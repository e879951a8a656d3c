"""`inmateria export --bom`: a table that a spreadsheet opens, and what is refused."""

import csv
from pathlib import Path

import pytest

from ..commands.command import answered, in_process

BOARD = ("--level", "board", "--chopped")


def test_the_bill_of_a_board(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "xor.csv"
    told = answered(capsys, "export", "XOR", *BOARD, "--bom", str(path), "--json")
    bill = told["bill_of_materials"]
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["value"] for row in rows] == [item["value"] for item in bill["items"]]
    # Seven controls: of each a multiplier in the dither and one in the lock-in; beside them power meter and loss.
    counts = {row["value"]: int(row["quantity"]) for row in rows}
    assert counts["AD633JNZ"] == 7 + 7 + 2
    assert counts["DG419DJ"] == 7 + 7 + 2 + 1  # choppers, integrators, baseline and gain, the loss
    assert counts["100 nF"] == 2 * bill["pieces"]["IC"]
    assert bill["not_built"] == []
    assert bill["power_W"] == pytest.approx(2 * 15.0 * bill["current_A"])
    assert told["files"] == [str(path)]
    assert {"ref0", "gate", "target"} <= set(bill["generators"])


def test_the_bill_of_a_design(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    design, path = tmp_path / "design.toml", tmp_path / "bill.csv"
    design.write_text('[task]\nname = "AND"\n[electronics]\nlevel = "board"\nsupply = "14 V"\nreference = "8 V"\n')
    told = answered(capsys, "export", str(design), "--bom", str(path), "--json")
    assert told["gate"] == "AND"
    assert told["bill_of_materials"]["supply_V"] == 14.0
    values = {item["value"] for item in told["bill_of_materials"]["items"]}
    assert "2.49 kohm" in values  # makes 8 V of the multipliers' scale of 10 V


def test_an_op_amp_of_one_s_own_is_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.lib").write_text(
        ".subckt mine inp inn vp vn out\nG1 0 x inp inn 1\nR1 x 0 1e5\nC1 x 0 1u\nE1 out 0 x 0 1\nR2 vp vn 1e4\n.ends\n"
    )
    design, path = tmp_path / "design.toml", tmp_path / "bill.csv"
    design.write_text(
        '[task]\nname = "AND"\n[electronics]\nlevel = "board"\n[electronics.parts]\nopamp_op07 = { file = "own.lib" }\n'
    )
    told = answered(capsys, "export", str(design), "--bom", str(path), "--json")
    values = {item["value"]: item["quantity"] for item in told["bill_of_materials"]["items"]}
    assert "OP07EPZ" not in values
    assert any(name.startswith("mine") for name in values)
    assert "100 kohm" in values  # the limiter's, not those inside of the op-amp
    assert values["100 nF"] == 2 * told["bill_of_materials"]["pieces"]["IC"]


def test_a_design_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    design = tmp_path / "design.toml"
    design.write_text('[electronics]\nlevel = "board"\n')
    result = in_process(capsys, "export", str(design), "--bom", str(design))
    assert (result.code, "is the design itself" in result.stderr) == (2, True)
    assert design.read_text() == '[electronics]\nlevel = "board"\n'


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("XOR", "--bom", "{}/b.csv"), "level = 'ideal': has no bill of materials"),
        (("XOR",), "deck: is missing; name the file to write, such as deck.cir, or --bom and a file"),
        (("XOR", *BOARD, "--bom", "{}/b.csv", "--closed"), "closed = True: is of a deck"),
    ],
)
def test_what_has_no_bill(
    words: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = in_process(capsys, "export", *(word.format(tmp_path) for word in words))
    assert result.code == 2
    assert message in result.stderr
    assert not list(tmp_path.iterdir())
