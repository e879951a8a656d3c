"""`inmateria verify` and `inmateria init`: sign off a design; write a first one."""

from __future__ import annotations

import shlex
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console

from analysis.designs.design import Design
from analysis.verification.criteria import all_passing
from analysis.verification.nominal import NOMINAL, NOMINAL_QUICK
from analysis.verification.verify import RUNS, STORES, Verification, verify
from circuits.ngspice.engine import Engine
from inmateria.commands.facts import failed_facts
from inmateria.errors import InputError, Interrupted
from inmateria.terminal.output import as_text, document, stderr, writing
from inmateria.terminal.progress import compilation_told, stages

TEMPLATE = files("analysis.designs") / "design.toml"
ROW = ("learned", "quality", "separation", "attempts", "attempts_failed")
"""What is told of a corner."""
MATTER = 0.05
"""Largest p-value of a component that is told of."""


def write_design(path: Path, *, force: bool) -> dict[str, Any]:
    """Write the commented default design; return the document.

    Raises
    ------
    InputError
        If there is a file already, or it cannot be written.
    """
    if path.is_dir():
        path = path / "design.toml"
    if path.exists() and not force:
        raise InputError("path", str(path), "exists already", "name another file, or use --force")
    with writing("path", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TEMPLATE.read_text(encoding="utf-8"), encoding="utf-8")
    return document("init", None, {"files": [str(path)]})


def run_verify(
    design: Design,
    *,
    file: str,
    quick: bool,
    workers: int | None,
    scheduler: str | None,
    folder: Path | None,
    answer: Console,
) -> dict[str, Any]:
    """Verify, write the files, tell the verdict; return the document.

    Raises
    ------
    InputError, NetlistError, ConvergenceError, EngineError, Interrupted
        As `analysis.verification.verify.verify`.
    """
    begin = time.perf_counter()
    try:
        with stages(stderr) as progress, compilation_told(stderr):
            found = verify(design, quick=quick, folder=folder, workers=workers, scheduler=scheduler, progress=progress)
    except KeyboardInterrupt as stop:
        kept = "with --out DIR, what is done is kept"
        if folder is not None:
            there = any((folder / name).exists() for name in (*STORES, *RUNS))
            kept = f"the same command goes on with what is in {folder}" if there else "run the command again"
        raise Interrupted("verify", "Ctrl-C", "stopped by Ctrl-C", kept) from stop
    content = document(
        "verify", design.seed, {**facts(found), "design": {"file": file, "name": design.name, "sha256": design.digest}}
    )
    content["wall_s"] = time.perf_counter() - begin
    if folder is not None:
        content["files"] = _write(found, folder, file, content["wall_s"])
        with writing("out", folder):
            (folder / "verification.json").write_text(as_text(content), encoding="utf-8")
    _tell(found, folder, answer)
    return content


def facts(found: Verification) -> dict[str, Any]:
    """What a verification found, as the document has it."""
    attempt = found.attempt
    yields = found.yields
    return {
        "success": found.passed,
        "quick": found.quick,
        "criteria": [vars(one) | {} for one in found.criteria],
        "failed": [f"{one.name} ({one.where})" for one in found.criteria if not one.passed],
        "nominal": {
            "learned": found.nominal.success,
            "attempts": found.nominal.starts,
            "failed_attempts": failed_facts(found.nominal.failed),
            **attempt.final.facts(),
            "gradient_cosine": float(np.median(found.check.cosines)),
            "gradient_error": float(np.median([one.relative_error for one in found.check.comparisons])),
        },
        "corners": _rows(found.design, found.corners, "corner"),
        "yield": None
        if yields is None
        else {
            "passed": yields.passed,
            "samples": yields.samples,
            "share": yields.share,
            "low": yields.low,
            "high": yields.high,
            "confidence": yields.confidence,
            "engine": found.design.verify.engine,
        },
        "sensitivities": [vars(one) | {} for one in found.sensitivities],
        "worst_sample": found.worst,
        "confirmed": [vars(one) | {} for one in found.confirmations],
    }


def _rows(design: Design, data: xr.Dataset, dim: str) -> list[dict[str, Any]]:
    if dim not in data.dims:
        return []
    good = all_passing(design, data)
    return [
        {
            dim: str(data[dim].values[row]),
            "passed": bool(good[row]),
            "reason": str(data["reason"].values[row]),
            **{key: float(data[key].values[row]) for key in ROW},
        }
        for row in range(data.sizes[dim])
    ]


def _write(found: Verification, folder: Path, file: str, wall_s: float) -> list[str]:
    """The worst sample's deck and the report; tells of the nominal run's waveforms and deck, too."""
    from analysis.report.page import write_report
    from analysis.verification.report import verification_report

    name = NOMINAL_QUICK if found.quick else NOMINAL
    written = [folder / f"{name}.nc", folder / f"{name}.cir"]
    with writing("out", folder):
        if found.worst_attempt is not None:
            worst = found.worst_attempt
            (folder / "worst.cir").write_text(worst.loop.deck(worst.run), encoding="utf-8")
            written.append(folder / "worst.cir")
        written += [path for name in STORES if (path := folder / name).exists()]
        quick = " --quick" if found.quick else ""
        commands = [
            f"inmateria verify {shlex.quote(file)} --seed {found.design.seed}{quick} --out DIR",
            *(["ngspice -b DIR/worst.cir"] if found.worst_attempt is not None else []),
        ]
        told = {
            "design": file,
            "date": time.strftime("%Y-%m-%d %H:%M"),
            "took": f"{int(wall_s // 60)} min {wall_s % 60:.0f} s",
        }
        report = verification_report(
            found, commands=commands, facts=told, maps=_maps(found.design, folder), ngspice=_ngspice(found)
        )
        written.append(write_report(folder / "report.html", report))
    return [str(path) for path in written]


def _maps(design: Design, folder: Path) -> list[tuple[xr.DataArray, dict[str, Any], str]]:
    """What `inmateria sweep` left of this design in the same folder, where it has two axes."""
    from analysis.plots.sweep import axes_of, over_seeds
    from analysis.sweeps.store import read_store
    from inmateria.commands.facts import SHOWN, STORE

    if not (folder / STORE).exists():
        return []
    data = read_store(folder / STORE)
    name = SHOWN.get(str(data.attrs.get("measure")), "")
    if data.attrs.get("design_sha256") != design.digest or name not in data or len(axes_of(data, name)) != 2:
        return []
    values = over_seeds(data, name, mean=name == "learned")
    numbers = [np.issubdtype(values[dim].dtype, np.number) for dim in values.dims]
    over = f", median over {data.sizes['seed']} seeds" if "seed" in data.sizes else ""
    return [(values, {}, f"Sweep of this design{over}; engine {data.attrs['engine']}.")] if all(numbers) else []


def _ngspice(found: Verification) -> str | None:
    """Version of ngspice, where it was used."""
    if found.quick and found.nominal.engine != "ngspice":
        return None
    with Engine() as engine:
        return str(engine.about()["version"])


def _tell(found: Verification, folder: Path | None, answer: Console) -> None:
    """The verdict for people."""
    for one in found.criteria:
        mark = "[green]pass[/]" if one.passed else "[red]FAIL[/]"
        answer.print(f"{mark} {one.name} ({one.where}): {one.found}; wanted: {one.wanted}", highlight=False)
    if found.yields is not None:
        y = found.yields
        answer.print(
            f"yield {100 * y.share:.0f} % of {y.samples} samples, {100 * y.confidence:g} % interval "
            f"{100 * y.low:.0f} to {100 * y.high:.0f} %",
            highlight=False,
        )
        matter = [one for one in found.sensitivities if one.p_value < MATTER]
        words = ", ".join(f"{one.name} (rank correlation {one.correlation:+.2f})" for one in matter[:3])
        answer.print(f"what matters most: {words or 'no component stands out'}", highlight=False)
    agree = sum(one.fast == one.ngspice for one in found.confirmations)
    if found.confirmations:
        answer.print(
            f"ngspice agrees on {agree} of {len(found.confirmations)} samples run again (the worst ones)",
            highlight=False,
        )
    verdict = "[green]PASS[/]" if found.passed else "[red]FAIL[/]"
    where = "" if folder is None else f"; report, decks and samples are in {folder}"
    answer.print(f"{verdict} {'(quick) ' if found.quick else ''}{found.design.name}{where}", highlight=False)
