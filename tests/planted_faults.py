"""Parts with a known fault or a known margin, as text."""

from __future__ import annotations

from pathlib import Path

from netlists.reader import Part, load_part
from netlists.user_part import user_part

SUPPLIES_V = {"vcc": 15.0, "vee": -15.0}

BUFFER = """* RC pole behind an op-amp of two poles, gain 1e5: 3 MHz and 0.8 MHz, 100 ohm out, driving {load}
.subckt buffered in out params: tau=1e-3
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

TL072 = """* an op-amp in the style of Boyle et al. (1974): numbered pins, current limits, diodes for the swing
.subckt boyle 1 2 3 4 5
C1 11 12 3.498E-12
C2 6 7 15.00E-12
DC 5 53 DX
DE 54 5 DX
DLP 90 91 DX
DLN 92 90 DX
DP 4 3 DX
EGND 99 0 POLY(2) (3,0) (4,0) 0 .5 .5
FB 7 99 POLY(5) VB VC VE VLP VLN 0 4.715E6 -5E6 5E6 5E6 -5E6
GA 6 0 11 12 282.8E-6
GCM 0 6 10 99 8.942E-9
ISS 3 10 DC 195.0E-6
HLIM 90 0 VLIM 1K
J1 11 2 10 JX
J2 12 1 10 JX
R2 6 9 100.0E3
RD1 4 11 3.536E3
RD2 4 12 3.536E3
RO1 8 5 150
RO2 7 99 150
RP 3 4 2.143E3
RSS 10 99 1.026E6
VB 9 0 DC 0
VC 3 53 DC 2.200
VE 54 4 DC 2.200
VLIM 7 8 DC 0
VLP 91 0 DC 25
VLN 0 92 DC 25
.model DX D(IS=800.0E-18)
.model JX PJF(IS=15.00E-12 BETA=270.1E-6 VTO=-1)
.ends
"""

TRANSIMPEDANCE = """* transimpedance amplifier and inverter{word}
.include boyle.lib
.subckt converter in out vcc vee params: rf=1e7
Rf in m {{rf}}
{cf}
Cin in 0 10p
Clead in 0 100p
X1 0 in vcc vee m boyle
R1 m s 10k
R2 s out 10k
C2 s out 10p
X2 0 s vcc vee out boyle
.ends
"""


def buffer(folder: Path, load: str) -> Part:
    """A low-pass whose buffer drives this capacitance; 10 nF make it oscillate, 10 pF leave 28 degrees."""
    (folder / "buffer.lib").write_text(BUFFER.format(load=load), encoding="utf-8")
    return user_part(folder / "buffer.lib", load_part("lowpass"))


def transimpedance(folder: Path, cf: str) -> Part:
    """A transimpedance of vendor-style op-amps behind 100 pF of lead; without a capacitor over Rf it rings for ever."""
    (folder / "boyle.lib").write_text(TL072, encoding="utf-8")
    text = TRANSIMPEDANCE.format(
        word="" if cf else ", its feedback capacitor forgotten", cf=f"Cf in m {cf}" if cf else "*"
    )
    (folder / "converter.lib").write_text(text, encoding="utf-8")
    return user_part(folder / "converter.lib", load_part("transimpedance"), subckt="converter", supplies=SUPPLIES_V)
