"""`inmateria doctor`: what a run needs is here, and works together."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rich.markup import escape

from inmateria.commands.frame import Frame, Json
from inmateria.errors import InMateriaError
from inmateria.rooms import shadowed_rooms


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to tell."""

    as_json: Json = False


def run(options: Options, frame: Frame) -> dict[str, Any]:
    """Check that everything a run needs is here and works together; exit 1 if not.

    Example: inmateria doctor
    """
    findings = examine()
    if not options.as_json:
        for finding in findings:
            mark = "[green]ok[/]  " if finding.ok else "[red]FAIL[/]"
            frame.say(f"{mark} {finding.check}: {escape(finding.found)}")
            if finding.fix:
                frame.say(f"     fix: {escape(finding.fix)}")
    healthy = all(finding.ok for finding in findings)
    return frame.document({"healthy": healthy, "checks": [asdict(finding) for finding in findings]})


@dataclass(frozen=True)
class Finding:
    """One check: its name, whether it passed, what was found, and the fix if it did not."""

    check: str
    ok: bool
    found: str
    fix: str = ""


def examine() -> list[Finding]:
    """Run all checks; the ngspice ones in a child process."""
    rooms = _rooms()
    findings = [rooms, _numba(), _pytorch()]
    if rooms.ok:
        return [*findings, _foundries(), *_ngspice()]
    return [*findings, Finding("ngspice", False, "not examined while a package is shadowed", rooms.fix)]


def _rooms() -> Finding:
    shadowed = shadowed_rooms()
    if shadowed:
        text = ", ".join(f"{room} is {path}" for room, path in shadowed.items())
        return Finding("rooms", False, f"shadowed: {text}", "rename that file or folder, or work in another folder")
    return Finding("rooms", True, "all six beside inmateria")


def _numba() -> Finding:
    try:
        import numba

        double: Any = numba.njit(lambda x: 2.0 * x)
        ok = double(21.0) == 42.0
    except Exception as error:  # whatever is wrong with a compiler is a finding, not a crash
        return Finding(
            "numba", False, f"{type(error).__name__}: {error}", "reinstall numba: pip install --force-reinstall numba"
        )
    return Finding("numba", bool(ok), numba.__version__, "" if ok else "reinstall numba")


def _pytorch() -> Finding:
    """An extra: its absence is no fault."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return Finding("PyTorch", True, version("torch"))
    except PackageNotFoundError:
        return Finding("PyTorch", True, "not installed; physics-aware training and images need it: make torch")


def _foundries() -> Finding:
    """An extra: its absence is no fault."""
    from netlists.foundries import FOUNDRIES, installed

    here = {process: found.version for process in FOUNDRIES if (found := installed(process)) is not None}
    told = ", ".join(f"{process} {version}" for process, version in here.items())
    missing = [process for process in FOUNDRIES if process not in here]
    lacks = f"not installed: {', '.join(missing)}; decks with their transistors need them: make pdks" if missing else ""
    return Finding("foundry models", True, "; ".join(filter(None, (told, lacks))))


def _ngspice() -> list[Finding]:
    from circuits.ngspice.engine import Engine
    from circuits.ngspice.library import INSTALL_HINT, find_ngspice_library

    try:
        library = find_ngspice_library()
    except InMateriaError as error:
        return [Finding("libngspice", False, f"{error.field} = {error.value!r}: {error.problem}", INSTALL_HINT)]
    findings = [Finding("libngspice", True, library)]
    try:
        with Engine(timeout_s=60.0) as engine:
            about = engine.about()
            findings.append(Finding("ngspice version", True, str(about["version"])))
            fix = "" if about["xspice"] else "install the package 'ngspice' beside libngspice0"
            findings.append(Finding("XSPICE", bool(about["xspice"]), "present" if about["xspice"] else "absent", fix))
            findings.append(_external_source(engine))
    except InMateriaError as error:
        found = f"{error.field} = {error.value!r}: {error.problem}"
        findings.append(Finding("ngspice run", False, found, error.fix))
    return findings


def _external_source(engine: Any) -> Finding:
    """A 1 mS device behind 1 ohm: the compiled callbacks must give the divider's voltage."""
    import numpy as np

    from circuits.ngspice.cosimulation import CoSimulation
    from inmateria.commands.selftest_device import resistor_kernel

    kernel = resistor_kernel(1e-3)
    run = engine.transient(
        "self-test\nV1 a 0 1\nR1 a d 1",
        stop_s=1e-3,
        max_step_s=1e-5,
        save=["v(d)"],
        cosimulation=CoSimulation(kernel, ["d"], np.array([1.0]), source_ohm=1.0),
    )
    error = abs(float(run["v(d)"][-1]) - 1.0 / 1.001)
    ok = error < 1e-6
    text = f"compiled external source, error {error:.1e} V in {int(run.statistics['points'])} points"
    return Finding("external source", ok, text, "" if ok else "report this ngspice version: its callbacks misbehave")
