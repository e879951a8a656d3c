"""What a library of 25 MB costs: the first run, the next ones, memory, and plain ngspice.

    python docs/studies/large_library.py

The library holds op-amps of Boyle's kind, MOSFETs and diodes as models, power MOSFETs as subcircuits, capacitors with
parameters and behavioural parts, in turn; once flat, once in eight sections.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PARTS = 100_000
OPAMP = """* part {k}
.subckt OPA{k} 1 2 3 4 5
C1 11 12 8.66E-12
C2 6 7 30.00E-12
DC 5 53 DX
DE 54 5 DX
DP 4 3 DX
EGND 99 0 POLY(2) (3,0) (4,0) 0 .5 .5
FB 7 99 POLY(3) VB VC VE 0 10.61E6 -10E6 10E6
GA 6 0 11 12 188.5E-6
GCM 0 6 10 99 5.961E-9
IEE 10 4 DC 15.16E-6
Q1 11 2 13 QX
Q2 12 1 14 QX
R2 6 9 100.0E3
RC1 3 11 5.305E3
RC2 3 12 5.305E3
.model DX D(IS=800.0E-18 RS=1)
.model QX NPN(IS=800.0E-18 BF=93.75)
.ends
"""
MODELS = """.model M{k} NMOS(LEVEL=1 VTO={vto:.3f} KP={kp:.4e}
+ LAMBDA=0.01 GAMMA=0.4 PHI=0.65 CGSO=1e-10
+ CGDO=1e-10 CJ=3e-4 MJ=0.5)
.model D{k} D(IS={kp:.3e} N=1.05 RS=0.1 CJO=4p TT=5n BV=75)
"""
POWER = """*** MOSFET {k} $
.SUBCKT IRF{k} 1 2 3 ; drain gate source
M1 9 7 8 8 MM L=100u W=100u
.MODEL MM NMOS LEVEL=1 IS=1e-32
+VTO=3.7 LAMBDA=0.003 KP=8.2
+CGSO=1.7e-5 CGDO=1e-11
RS 8 3 0.0237
D1 3 1 MD
.MODEL MD D IS=1e-12 RS=0.006 N=1.3 BV=100
+IBV=0.00025 EG=1.2 XTI=4 TT=0
+CJO=1.5e-9 VJ=0.5 M=0.43 FC=0.5
RDS 3 1 4e+06
RD 9 1 0.0001
RG 2 7 5.1
.ENDS
"""
CAPACITOR = """.subckt CAP{k} 1 2 params: C=1u ESR=0.01 part=1
C1 1 n {{C*part}}
R1 n m {{ESR}}
L1 m 2 {{1n*part}}
Rp 1 2 {{1e9/part}}
.ends CAP{k}
"""
BEHAVIOURAL = """.subckt BEH{k} a b out ref params: gain=1 vmax=10
Blim x 0 V={{gain}}*V(a,b)
B1 out ref V=min(max(V(x),-{{vmax}}),{{vmax}})
R1 a b 1meg
E1 y 0 VALUE={{tanh(V(x))}}
Ry y 0 1k
.ends
"""
KINDS = (OPAMP, MODELS, POWER, CAPACITOR, BEHAVIOURAL)
DECK = """a capacitor and a behavioural part of it
{line}
V1 a 0 1
Xc a 0 CAP3 C=2u
Rb b 0 1k
X2 a 0 b 0 BEH{behavioural} gain=2
.op
.end
"""


def parts() -> list[str]:
    """Texts of all parts."""
    rng = random.Random(1)
    return [KINDS[k % 5].format(k=k, vto=rng.uniform(0.5, 2.0), kp=rng.uniform(1e-5, 1e-3)) for k in range(PARTS)]


def report(name: str, deck: str) -> None:
    """Three runs in a fresh process: wall and CPU seconds of the caller, and its memory."""
    script = (
        "import resource, sys, time\nfrom inmateria import Engine\n"
        "with Engine() as engine:\n"
        "    engine.run('t\\nV1 a 0 1\\nR1 a 0 1\\n.op\\n.end')\n"
        "    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "    for _ in range(3):\n"
        "        wall, cpu = time.perf_counter(), time.process_time()\n"
        "        assert abs(engine.run(sys.argv[1])['b'][0] - 2.0) < 1e-6\n"
        "        print(f'{time.perf_counter() - wall:.2f} s ({time.process_time() - cpu:.2f} s of CPU)', end='  ')\n"
        "    print(f'{(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024:.0f} MB more')\n"
    )
    print(f"{name:9}", end="", flush=True)
    subprocess.run([sys.executable, "-c", script, deck], check=True)


def main() -> None:
    """Write the libraries, run them, print the figures."""
    texts = parts()
    with tempfile.TemporaryDirectory() as name:
        flat, sections = Path(name, "flat.lib"), Path(name, "sections.lib")
        flat.write_text("".join(texts))
        sections.write_text("".join(f".lib part{s}\n{''.join(texts[s::8])}.endl\n" for s in range(8)))
        print(f"{flat.stat().st_size / 1e6:.1f} MB")
        report("flat", DECK.format(line=f".include {flat}", behavioural=4))
        report("section", DECK.format(line=f".lib {sections} part3", behavioural=19))
        deck = Path(name, "t.cir")
        deck.write_text(DECK.format(line=f".include {flat}", behavioural=4).replace(".op", ".op\n.print op v(b)"))
        begin = time.perf_counter()
        said = subprocess.run(["ngspice", "-b", str(deck)], capture_output=True, text=True, check=False)
        last = (said.stdout + said.stderr).strip().splitlines()[-1:]
        print(f"ngspice -b {time.perf_counter() - begin:.1f} s, exit code {said.returncode}: {' '.join(last)}")


if __name__ == "__main__":
    main()
