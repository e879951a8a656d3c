"""What the sign-off says of sound designs and of designs with a planted fault each: one table.

python docs/studies/sign_off_table.py --out signed

Every row is an `inmateria verify` of its own, of a design that is kept in --out; a second call goes on where the first
one was. Supplies change with the references, which must lie within the multipliers' inputs, 5 V less than the supply.
"""

import argparse
import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

AND, XOR = 'name = "AND"', 'name = "XOR"'
TEMPLATE = (files("analysis.designs") / "design.toml").read_text(encoding="utf-8")
LOOP = """
seed = 0
[task]
{task}
[dither]
amplitude = "20 mV"
chopped = true
[learning]
restarts = {restarts}
[electronics]
level = "macro"
{electronics}
[tolerances]
resistor = "1 %"
capacitor = "5 %"
offset = 1.0
[corners]
{corners}
[criteria]
margin_min = 0.2
separation_min = "0.25 nA"
{criteria}
[verify]
samples = {samples}
starts = 6
confirm = "25 %"
"""
WIDE = 'temperature = ["-40 degC", "125 degC"]\ncomponents = ["slow", "fast"]'
PARTS = "[electronics.parts]\n"
BUFFER = """* RC pole behind an op-amp of two poles, gain 1e5: 3 MHz and 0.8 MHz, 100 ohm out, driving {load}
.subckt fault in out params: tau=1e-3
R1 in p {{tau/330n}}
C1 p 0 330n
G1 0 x p out 1m
R1x x 0 100meg
C1x x 0 53.05p
E1 x2 0 x 0 1
R2 x2 y 100k
C2 y 0 1.99p
Bm m 0 V=13.5*tanh(V(y)/13.5)
Ro m out 100
CL out 0 {load}
.ends
"""
TIA = """* a transimpedance amplifier of one 3 MHz op-amp and an inverter, {cf} over its resistor, 100 pF of lead
.subckt fault in out params: rf=1e7
Rf in m {{rf}}
Cf in m {cf}
Clead in 0 100p
G1 0 x 0 in 1m
Bc 0 x I=-max(V(x)-13.5,0)-min(V(x)+13.5,0)
R1x x 0 100meg
C1x x 0 53.05p
Bm m 0 V=13.5*tanh(V(x)/13.5)
B2 out 0 V=-V(m)
.ends
"""
SWAPPED = """* the two inputs of the multiplier's differential pair exchanged
.subckt fault a b out params: gain=1 vscale=1
B1 out 0 V=-{gain/vscale}*V(a)*V(b)
.ends
"""
DEAD = """* an integrator whose resistor was never soldered
.subckt fault in gate out params: rate=1 vmin=-1 vmax=1 v0=0 tclamp=1e-4
V1 out 0 {v0+0*(rate+vmin+vmax+tclamp)}
R1 in 0 1e9
R2 gate 0 1e9
.ends
"""


def loop(task: str, electronics: str = "", corners: str = "", criteria: str = "", samples: int = 0) -> str:
    restarts = 20 if corners else 3  # those with a fault would use up all
    given = {"electronics": electronics, "corners": corners, "criteria": criteria, "samples": samples}
    return LOOP.format(task=task, restarts=restarts, **given)


def at_supply(volts: float, reference_V: float) -> str:
    return f'supply = "{volts:g} V"\nreference = "{reference_V:g} V"'


HOLD, BIASED = 'hold_min = "30 s"', "[electronics.values]\nintegrator = { ibias = 200e-9 }"
OWN = PARTS + '{part} = {{ file = "fault.lib" }}'
ROWS: dict[str, tuple[str, str]] = {
    "the template of inmateria init": (TEMPLATE, ""),
    "XOR at +-15 V, -40 to 125 degC": (loop(XOR, at_supply(15, 10), WIDE), ""),
    "XOR at +-12 V, references of 7 V": (loop(XOR, at_supply(12, 7), WIDE), ""),
    "XOR at +-8 V, references of 3 V": (loop(XOR, at_supply(8, 3), WIDE), ""),
    "XOR at +-5 V": (loop(XOR, at_supply(5, 3), WIDE), ""),
    "wrong supply: +-8 V, references of 10 V": (loop(XOR, at_supply(8, 10)), ""),
    "a buffer that drives 10 pF": (loop(AND, OWN.format(part="lowpass")), BUFFER.format(load="10p")),
    "a buffer that drives 10 nF: oscillates": (loop(AND, OWN.format(part="lowpass")), BUFFER.format(load="10n")),
    "a feedback capacitor of 0.5 pF": (loop(AND, OWN.format(part="transimpedance")), TIA.format(cf="0.5p")),
    "a feedback capacitor that is missing": (loop(AND, OWN.format(part="transimpedance")), TIA.format(cf="1e-18")),
    "inputs of the multipliers exchanged": (loop(AND, OWN.format(part="mixer")), SWAPPED),
    "dead integrators": (loop(AND, OWN.format(part="integrator")), DEAD),
    "macro AND, asked to hold 30 s": (loop(AND, criteria=HOLD), ""),
    "AND, bias currents of 200 nA, asked to hold 30 s": (loop(AND, BIASED, criteria=HOLD), ""),
    "macro XOR, asked to hold 30 s": (loop(XOR, criteria=HOLD), ""),
    "XOR, bias currents of 200 nA, asked to hold 30 s": (loop(XOR, BIASED, criteria=HOLD), ""),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("signed"))
    parser.add_argument("--only", help="rows whose name contains this")
    parser.add_argument("--boards", type=int, default=100, help="of the template; an hour of one core")
    parser.add_argument("--workers", default="2")
    options = parser.parse_args()
    print("| design | verdict | what failed, or was refused |\n|---|---|---|")
    for number, (name, (design, part)) in enumerate(ROWS.items()):
        if options.only is not None and options.only not in name:
            continue
        folder = options.out / f"{number:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        design = design.replace("samples = 100", f"samples = {options.boards}")
        (folder / "design.toml").write_text(design, encoding="utf-8")
        (folder / "fault.lib").write_text(part, encoding="utf-8")
        command = [sys.executable, "-m", "inmateria", "verify", str(folder / "design.toml"), "--json"]
        command += ["--out", str(folder / "report"), "--workers", options.workers]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        (folder / "stdout.json").write_text(done.stdout, encoding="utf-8")
        (folder / "stderr.txt").write_text(done.stderr, encoding="utf-8")
        if done.returncode in (0, 1) and done.stdout:
            failed = [one for one in json.loads(done.stdout)["criteria"] if not one["passed"]]
            told = "; ".join(f"{one['name']}: {one['found']}" for one in failed)
            verdict = "fail" if failed else "pass"
        else:
            lines = done.stderr.strip().splitlines()
            verdict, told = (
                ("refused" if done.returncode == 2 else f"exit {done.returncode}"),
                lines[-1] if lines else "",
            )
        print(f"| {name} | {verdict} | {told} |", flush=True)


if __name__ == "__main__":
    main()
