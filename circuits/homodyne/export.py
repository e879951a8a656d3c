"""A recorded run as a deck of its own: plain ``ngspice -b``, no callbacks, no Python.

The device's place is taken by its recorded output current; everything else is the circuit as it was. Other terminals
are driven by ideal sources, which any current leaves as they are, so their currents are left out, unless the part that
drives them (`dither_sum`) was replaced by one that may have an output resistance, or there are leads.

The current is a B-source with ngspice's ``pwl(time, ...)``. A PWL *source* would look every point up by walking its
table from the start and make a breakpoint of each, after which ngspice takes a handful of small steps; the function
looks up by bisection and makes no breakpoints, so the run takes the steps of the recorded one. What is quadratic in the
function is reading it (37 s for 100,000 points, 3 s for ten tables of 10,000), hence several sources in parallel, each
with its stretch of time. Neighbours overlap for one step, one falling to zero while the other rises, and so sum to the
straight line between the two points.

Plain ngspice does not take the steps of the run: the engine places a point at every corner of the waveforms, which
ngspice's own breakpoints miss now and then. The step is therefore at most half of a gate's edge, and the record is
refined along a cubic through its points, because straight lines between 10 points a cycle would be 3 % low. The deck
checks itself at the ends of windows, against the recorded run, and says PASS or FAIL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicHermiteSpline

from circuits.homodyne.loop import HomodyneLoop
from circuits.homodyne.netlist import deck, nodes
from circuits.ngspice.dialects import letters
from circuits.ngspice.one_thread import ONE_THREAD
from circuits.signals.transient import Transient
from inmateria.checks import FloatArray
from inmateria.errors import InputError

POINTS_PER_SOURCE = 5000
REFINEMENT = 3
CHECKPOINTS = 8
TOLERANCE = 0.01
VERDICT = ("  echo PASS", "  quit 0", "end", "echo FAIL", "quit 1", ".endc")
"""How a deck that checks itself ends its ``.control``, behind the ``if`` of what it asks."""


def standalone_deck(loop: HomodyneLoop, recorded: Transient, *, provenance: Mapping[str, Any] | None = None) -> str:
    """A complete deck for plain ``ngspice -b`` that repeats a recorded run.

    It prints the final low-passed mixer outputs and control voltages, writes both over time to a file, compares them
    with the recorded ones at up to eight points of the run, and ends with PASS (exit code 0) if all agree within 1 % of
    what each did (its peak for a mixer output, its span for a control), else with FAIL (exit code 1).

    Parameters
    ----------
    loop : HomodyneLoop
        The loop that was run.
    recorded : Transient
        Its run, whole or interrupted, as `Engine.transient` returned it.
    provenance : mapping, optional
        What else the head shall tell, e.g. ``{"seed": 1, "device seed": 0}``.

    Raises
    ------
    InputError
        If the run holds no device currents, or too few points.
    """
    time = recorded.time_s
    if recorded.device_A.shape != (len(time), len(loop.device.terminals)):
        problem = "holds no current for each of the terminals"
        raise InputError("recorded", recorded.device_A.shape, problem, "give a run of this loop")
    if len(time) < 2 or not np.all(np.isfinite(recorded.device_A)):
        raise InputError("recorded", len(time), "time-points are too few, or not finite", "give a longer run")
    terminals = [loop.output]
    if "dither_sum" in loop.parts or loop.leads:
        terminals += list(loop.trained)
    title, _, circuit = deck(loop, device=False).strip().partition("\n")
    title = title.removeprefix(".title").strip()
    # Plain ngspice takes other steps than the run: it loses corners of PWL sources, where the engine places points.
    # So the gate's edges are resolved by the step instead, and the record is refined by cubics to stand other steps.
    step = min(loop.max_step_s, 0.5 * loop.sequence.edge_s)
    kept = apart(time, 0.01 * step)
    points = refined(time[kept])
    currents = {t: interpolated(points, time[kept], recorded.device_A[kept, t]) for t in terminals}
    sources = "\n".join(recorded_source(f"Brec{t}", nodes(loop)[t], points, i) for t, i in currents.items())
    stop = float(time[-1])
    outputs = [f"v(m{k}_{loop.filter_poles})" for k in range(loop.dither.n)]
    controls = [f"v(w{k})" for k in range(loop.dither.n)]
    vectors = [*outputs, *controls]
    return "\n".join(
        [
            f"{title}: recorded run for plain ngspice",
            *_head(loop, recorded, terminals, provenance or {}),
            circuit.rstrip(),
            "* the device: recorded currents into its terminals, A over s",
            sources,
            ".save " + " ".join(vectors),
            ONE_THREAD,
            f".tran {step!r} {stop!r} 0 {step!r} uic",
            *_control(vectors, recorded, stop, loop.sequence.slot_s),
            ".end",
            "",
        ]
    )


def apart(time_s: FloatArray, least_s: float) -> NDArray[np.int64]:
    """Numbers of the points that follow the one before by `least_s` or more: over less, a slope is rounding."""
    return np.concatenate([[0], 1 + np.flatnonzero(np.diff(time_s) >= least_s)])


def refined(time_s: FloatArray) -> FloatArray:
    """Each step of `time_s`, shape (n,), divided in `REFINEMENT`: shape (REFINEMENT (n - 1) + 1,)."""
    steps = np.arange(REFINEMENT * (len(time_s) - 1) + 1) / REFINEMENT
    return np.asarray(np.interp(steps, np.arange(len(time_s)), time_s))


def interpolated(at_s: FloatArray, time_s: FloatArray, values: FloatArray) -> FloatArray:
    """Values at the times `at_s` on cubics between points, with the slopes of parabolas through three points."""
    if len(time_s) < 3:
        return np.asarray(np.interp(at_s, time_s, values))
    return np.asarray(CubicHermiteSpline(time_s, values, np.gradient(values, time_s, edge_order=2))(at_s))


def recorded_source(name: str, node: str, time_s: FloatArray, current_A: FloatArray) -> str:
    """Cards of a current out of `node`, piecewise linear in time, constant before the first and after the last point.

    Parameters
    ----------
    name : str
        Stem of the B-sources' names.
    node : str
    time_s, current_A : ndarray, shape (n,)
        Points, n >= 2, times rising.
    """
    last = len(time_s) - 1
    lines = []
    for number, start in enumerate(range(0, last, POINTS_PER_SOURCE)):
        stop = min(start + POINTS_PER_SOURCE, last)
        times, values = time_s[start : stop + 1].tolist(), current_A[start : stop + 1].tolist()
        first, final = values[0], values[-1]
        if start > 0:  # the source before falls to zero over this step
            first = values[0] = 0.0
        if stop < last:
            times.append(float(time_s[stop + 1]))
            values.append(0.0)
            final = 0.0
        # Two equal values at each end: outside its points ngspice draws the end segments on.
        times = [times[0] - 1.0, *times, times[-1] + 1.0]
        values = [first, *values, final]
        lines.append(f"{name}_{number} {node} 0 I=pwl(time")
        pairs = [f",{t:.12g},{v:.9g}" for t, v in zip(times, values, strict=True)]
        lines += ["+ " + " ".join(pairs[k : k + 4]) for k in range(0, len(pairs), 4)]
        lines.append("+ )")
    return "\n".join(lines)


def head_facts(loop: HomodyneLoop, recorded: Transient, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What the head of an exported deck tells of the run it comes from."""
    try:
        made = version("inmateria")
    except PackageNotFoundError:
        made = "unknown"
    plan = loop.dither
    return {
        "made by": f"inmateria {made}",
        "recorded deck": f"sha256 {hashlib.sha256(recorded.deck.encode()).hexdigest()[:16]}",
        "device": f"{type(loop.device).__name__}, terminals {', '.join(loop.device.terminals)}",
        "mode": f"{loop.mode}, {'complete' if recorded.complete else 'interrupted'}, "
        f"{len(recorded.time_s)} points to {recorded.time_s[-1]:.6g} s",
        "tones": " ".join(f"{f:g}" for f in plan.frequencies_Hz) + " Hz",
        "amplitudes": " ".join(f"{a:g}" for a in plan.amplitudes_V) + " V",
        "controls at the start": " ".join(f"{v:.9g}" for v in loop.start_V) + " V",
        **_dialect(recorded),
        **provenance,
    }


def _dialect(recorded: Transient) -> dict[str, str]:
    """What plain ngspice has to be told where a part is of another dialect."""
    read = letters(recorded.dialect)
    return {} if read is None else {"read as": f"{recorded.dialect}, so put 'set ngbehavior={read}' into .spiceinit"}


def _head(loop: HomodyneLoop, recorded: Transient, terminals: list[int], provenance: Mapping[str, Any]) -> list[str]:
    facts = head_facts(loop, recorded, provenance)
    facts["device"] += f"; recorded here: {', '.join(loop.device.terminals[t] for t in terminals)}"
    return [
        "* Run it with:   ngspice -b THIS_FILE   in a folder where it may write lockin_outputs.txt",
        "* The device is replaced by its recorded current, so no inmateria is needed; lock-ins, multipliers and",
        "* integrators are the circuit itself: m<k>_<poles> are low-passed mixer outputs, w<k> control voltages.",
        f"* It ends with PASS if they repeat the recorded run within {100 * TOLERANCE:g} %.",
        *(f"*   {key}: {' '.join(str(value).split())}" for key, value in facts.items()),
    ]


def _control(vectors: list[str], recorded: Transient, stop: float, slot_s: float) -> list[str]:
    # At the ends of windows, where the lock-ins have heard whole cycles; inside one the ripple depends on the steps.
    ends = np.arange(1, int(stop / slot_s * (1 - 1e-9)) + 1) * slot_s
    ends = ends[np.unique(np.linspace(0, len(ends) - 1, CHECKPOINTS).astype(int))] if len(ends) else np.array([stop])
    chosen = np.clip(np.searchsorted(recorded.time_s, ends * (1 - 1e-9)), 1, len(recorded.time_s) - 2)
    lines = [
        ".control",
        "run",
        "let last = length(time) - 1",
        *(f"print {name}[last]" for name in vectors),
        "set wr_singlescale",
        "set wr_vecnames",
        "wrdata lockin_outputs.txt " + " ".join(vectors),
        "let worst = 0",
    ]
    for name in vectors:
        wave = recorded[name]
        peak = float(np.max(np.abs(wave)))
        scale = max(float(np.ptp(wave)) if name.startswith("v(w") else peak, 1e-3 * peak, 1e-15)
        for at, value in zip(recorded.time_s[chosen].tolist(), wave[chosen].tolist(), strict=True):
            lines.append(f"meas tran found find {name} at={at:.12g}")
            lines.append(f"let worst = max(worst, abs(found - ({value:.9g})) / {scale:.6g})")
    return [
        *lines,
        "echo largest deviation from the recorded run, relative:",
        "print worst",
        f"if (worst lt {TOLERANCE:g}) and (abs(time[last] - {stop:.12g}) lt 1e-9)",
        *VERDICT,
    ]
