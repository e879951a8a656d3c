"""`inmateria gradient`: lock-in against exact gradient at one setting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from analysis import compare, loss_gradients
from circuits import Engine
from inmateria.errors import InputError
from inmateria.terminal import SCHEMA, _plain, stderr
from learning import Bench, BooleanTask, HgeSettings, adjoint, spice_lock_in
from learning.hge import build_loop


def run_gradient(
    bench: Bench,
    *,
    of: str,
    gate: str,
    at: list[float] | None,
    seed: int,
    amplitude_V: float,
    max_step_s: float | None,
    engine: str,
    folder: Path | None,
) -> dict[str, Any]:
    """Measure, compare, report; return the summary."""
    count = len(bench.trained)
    if not (np.isfinite(amplitude_V) and amplitude_V > 0):
        raise InputError("amplitude", amplitude_V, "must be a positive voltage", "5 mV suits the default device")
    if at is not None and (len(at) != count or not np.all(np.isfinite(at))):
        raise InputError("at", at, f"{count} finite control voltages are wanted", f"order: {', '.join(bench.names)}")
    spread = HgeSettings().spread_V
    controls = np.array(at) if at is not None else np.random.default_rng(seed).uniform(-spread, spread, count)
    highest = max(bench.plan(amplitude_V).frequencies_hz)
    if max_step_s is not None and not max_step_s > 0:
        raise InputError("max_step", max_step_s, "must be a positive time in seconds", "change it")
    points = 24.0 if max_step_s is None else 1.0 / (max_step_s * highest)
    ngspice = Engine() if engine == "ngspice" else None
    try:
        with stderr.status("reading the lock-ins"):
            if of == "output":
                measured, _, run, loop = spice_lock_in(bench, ngspice, controls, amplitude_V, points_per_cycle=points)
                ideal = adjoint(bench, controls)
            else:
                task = BooleanTask(gate)
                loop = build_loop(
                    bench, task, HgeSettings(amplitude_V=amplitude_V), controls, 1.0, bench.outputs_A(controls, task)
                )
                measured, ideal, run = loss_gradients(bench, task, loop, controls, amplitude_V, ngspice)
    finally:
        if ngspice is not None:
            ngspice.close()
    result = compare(measured, ideal)
    units = str(measured.attrs["units"])
    summary = {
        "of": of,
        "gate": BooleanTask(gate).gate if of == "loss" else None,
        "controls": list(bench.names),
        "controls_V": controls.tolist(),
        "lockin": np.asarray(measured).tolist(),
        "ideal": np.asarray(ideal).tolist(),
        "units": units,
        "cosine": result.cosine,
        "relative_error": result.relative_error,
        "sign_agreement": result.sign_agreement,
        "dither_V": amplitude_V,
        "frequencies_Hz": list(loop.dither.frequencies_hz),
        "engine": engine,
        "timepoints": int(run.statistics["points"]),
        "files": [],
    }
    scale, shown = (1e9, "nS") if units == "S" else (1.0, units)
    for name, a, b in zip(bench.names, np.asarray(measured), np.asarray(ideal), strict=True):
        stderr.print(f"{name}: lock-in {scale * a:9.4f} {shown}, exact {scale * b:9.4f} {shown}", highlight=False)
    stderr.print(f"cosine {result.cosine:.6f}, relative error {100 * result.relative_error:.2f} %", highlight=False)
    if folder is not None:
        from analysis import plots

        title = f"gradient of the {of}, {1e3 * amplitude_V:g} mV"
        figure = plots.save(plots.plot_gradients([measured], [ideal], title), folder / "gradient.png")
        summary["files"] = [str(figure), str(folder / "summary.json")]
        content = _plain({"schema": SCHEMA, "command": "gradient", "seed": seed, **summary})
        (folder / "summary.json").write_text(json.dumps(content, indent=2) + "\n")
    return summary
