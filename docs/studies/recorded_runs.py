"""Record what the program answers, and compare two recordings: an edit that should change no number can be shown to.

    python docs/studies/recorded_runs.py record FOLDER [--tree PATH] [--again] [NAME ...]
    python docs/studies/recorded_runs.py compare BEFORE AFTER

A run leaves FOLDER/NAME/: its files, and run.json, stdout.txt, stderr.txt. Names that begin with `script-` are the
cases of `recorded_cases`, which need names of the library; those that begin with `bad-` are refused, and only their
messages are compared. One run at a time, on one processor, so that nothing depends on how many there are. The first
recording of a tree compiles its kernels: record it again before it is compared, since the compiler may sum in another
order then.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2] if HERE.parent.name == "studies" else HERE.parent
DATA = Path(os.environ.get("INMATERIA_DATA") or ROOT.parent / "shared" / "data").resolve()
LEFT_OUT = re.compile(
    "versions|version_.*|wall_s|training_s|computing_s|time_split_s|points_per_s|(check_)?seconds|(check_)?host|"
    "sha256|deck_sha256|design_sha256"
)
"""Keys of times, versions, machines and digests."""
OWN = ("run.json", "stdout.txt", "stderr.txt")
SHORT = "[learning]\nsequences = 2\nlooks = 4\nrestarts = 1\n"
INPUTS = {
    "short.toml": SHORT,
    "small.toml": 'name = "small"\n[task]\nname = "AND"\n[dither]\namplitude = "20 mV"\n' + SHORT.replace("2", "8", 1)
    + '[electronics]\nlevel = "macro"\nvalues = { mixer = { offset = 0.2e-3 } }\n[tolerances]\nresistor = "1 %"\n'
    'capacitor = "5 %"\noffset = 1.0\n[criteria]\nmargin_min = 0.2\n[verify]\nsamples = 6\n',
    "kmc.toml": SHORT + '[device]\nmodel = "kmc"\n[dither]\nspacing = "100 MHz"\namplitude = "50 mV"\n',
    "mine.csv": "x,target\n0,1\n1,2\n2,1.5\n3,0\n",
    "wrong.toml": "[learning]\nsequence = 2\n",
    "wrong.csv": "x,target\n0,1\n1,nan\n",
    "wrong.npz": "no chip",
}  # fmt: skip
"""Files that runs name; they are written into the run's folder. xor.toml is the tree's."""

MGD = "mgd {} --code {} --mode {} --steps 20000 --seeds 2 --checks 5 --out out"
PAT = "pat {} --epochs 2 --passes 2 --out out "
VOWELS = PAT.format("vowels --width 14 --steps 1 --data {data}/hillenbrand_vowdata.dat")
CHIP = "--device {data}/dnpu_chip.npz"
AT = "--at 0.1,-0.2,0.3,0.15,-0.1,0.25,-0.3"
COMMANDS = {
    "doctor": "doctor",
    "init": "init design.toml",
    "learn-ngspice": "learn XOR --out out",
    "learn-ngspice-macro": "learn XOR --design short.toml --level macro --amplitude 0.02 --out out",
    "learn-ngspice-transistor": "learn XOR --design short.toml --level transistor --amplitude 0.02 --out out",
    "learn-ngspice-absolute": "learn NAND --design short.toml --loss absolute --out out",
    "learn-ngspice-hinge-macro": "learn OR --design short.toml --loss hinge --level macro --seed 4",
    "learn-ngspice-chip": f"learn XNOR --design short.toml {CHIP} --electrodes out:e1,e3 --out out",
    "learn-twin": "learn XOR --engine twin --out out",
    "learn-twin-macro": "learn AND --design short.toml --engine twin --level macro --amplitude 0.02 --out out",
    "learn-twin-absolute": "learn NOR --design short.toml --engine twin --loss absolute --seed 7 --out out",
    "learn-twin-hinge": "learn AND --design short.toml --engine twin --loss hinge --out out",
    "learn-twin-pickle": "learn AND --design short.toml --engine twin --device {data}/brainspy_training_data.pickle "
    "--out out",
    "learn-twin-curve": "learn curve --design short.toml --engine twin --electrodes e0:e2 --out out",
    "learn-averaged": "learn XOR --engine averaged --device-seed 3 --seed 2 --out out",
    "learn-averaged-electrodes": "learn OR --engine averaged --electrodes e3:e5,e1 --max-step 1.9e-4 --out out",
    "learn-averaged-sphere": "learn sphere --design short.toml --engine averaged --electrodes e0:e2,e4,e6 --out out",
    "learn-averaged-ring": "learn ring --design short.toml --engine averaged --out out",
    "learn-averaged-file": "learn mine.csv --engine averaged --restarts 2 --out out",
    "learn-averaged-design": "learn --design xor.toml --engine averaged --restarts 3 --out out",
    "learn-methods": "learn XOR --method hge,random,spsa,differences,evolution --engine averaged --evaluations 800 "
    "--out out",
    "learn-methods-chip": f"learn XOR --method random,spsa,differences,evolution {CHIP} --evaluations 800 --out out",
    "gradient": f"gradient {AT} --out out",
    "gradient-macro": f"gradient {AT} --level macro --amplitude 0.02 --out out",
    "gradient-transistor": f"gradient {AT} --level transistor --amplitude 0.02 --out out",
    "gradient-chip": f"gradient {CHIP} --electrodes out:e2,e4 --amplitude 1e-3 --seed 2 --out out",
    "gradient-kmc": f"gradient --design kmc.toml {AT} --out out",
    "gradient-loss": "gradient --of loss --gate XOR --seed 3 --amplitude 5e-4 --out out",
    "gradient-loss-twin": f"gradient --of loss --loss absolute --engine twin {AT} --amplitude 1e-3 --out out",
    "gradient-loss-macro": f"gradient --of loss --engine twin --level macro {AT} --amplitude 0.02 --out out",
    "gradient-twin": "gradient --engine twin --device-seed 5 --frequencies 260,270,300,360,440,490,510 --out out",
    "gradient-design": "gradient --design xor.toml --engine twin --out out",
    "plan": "plan --error 0.1 --points 2 --share 0.5 --confidence 0.7 --out out",
    "plan-chip": f"plan {CHIP} --electrodes out:e2,e4 --error 0.3 --points 40 --limit 0.05 --band 100:3000 --filters "
    "boxcar,12,24 --curvature 5 --seed 1 --out out",
    "export": "export AND deck.cir --design short.toml",
    "export-closed": f"export AND deck.cir --closed --design short.toml {CHIP}",
    "iv": "iv --sweep e1=-0.5:0.5:41 --at e2=0.1,e4=-0.2 --out out",
    "iv-map": "iv --sweep e1=-0.2:0.2:7 --sweep e3=0.3:-0.1:5 --electrode e5,e0 --device-seed 2 --out out",
    "iv-kmc": "iv --device kmc --sweep e1=-0.4:0.4:3 --hops 100000 --seed 5 --out out",
    "iv-kmc-until": "iv --device kmc --sweep e1=0.3:0.4:2 --until 0.05 --out out",
    "iv-chip": f"iv {CHIP} --sweep e1=-0.4:0.4:9 --sweep e3=-0.2:0.2:5 --out out",
    "device": "device --at e4=0.5,e2=-0.3 --out out",
    "device-chip": f"device {CHIP} --out out",
    "lockin": "lockin --out out",
    "lockin-square": "lockin --mixer square --time-constant 4e-3 --out out",
    "lockin-ideal": "lockin --realisation ideal --time-constant 4e-3 --out out",
    "lockin-macro": "lockin --realisation macro --time-constant 4e-3 --out out",
    "verify-quick": "verify small.toml --quick --workers 1 --out out",
    "sweep-gradient": "sweep --over dither.amplitude=2mV:20mV:log:3 --over dither.spacing=10Hz,20Hz --seeds 2 --check "
    "2 --workers 1 --out out",
    "sweep-loss-gradient": "sweep small.toml --over dither.amplitude=2mV,20mV --measure loss-gradient --seeds 2 "
    "--check 1 --workers 1 --out out",
    "sweep-learn": "sweep small.toml --over learning.rate=0.1,0.2 --measure learn --engine averaged --seeds 2 "
    "--check 1 --workers 1 --seed 3 --out out",
    "sweep-ngspice": "sweep --over electronics.level=ideal,macro --engine ngspice --workers 1 --out out",
    **{f"mgd-{code}-{mode}": MGD.format("XOR", code, mode)
       for code in ("random", "walsh", "sequential", "sine") for mode in ("discrete", "analog")},
    "mgd-imperfect": MGD.format("parity-3", "random", "discrete") + " --hidden 4,3 --momentum 0.5 --cost-noise 1e-3 "
    "--update-noise 1e-3 --common-noise 1e-3 --defects 0.1 --tau-p 2 --tau-theta 8 --tau-x 4 --batch 2 --eta 0.5",
    "mgd-letters": MGD.format("letters", "walsh", "discrete") + " --eta 5",
    "mgd-digits": "mgd digits --steps 3000 --seeds 1 --checks 2 --out out",
    "mgd-mnist": "mgd mnist --data {data}/mnist --steps 20 --seeds 1 --checks 1 --out out",
    "mgd-ngspice": "mgd XOR --engine ngspice --code walsh --seeds 1 --steps 1000 --out out",
    "mgd-ngspice-sine": "mgd XOR --engine ngspice --code sine --seeds 1 --steps 300 --seed 2 --out out",
    "pat-ngspice": VOWELS + "--splits 2 --seed 3",
    "pat-twin-ideal": VOWELS + "--engine twin --mode ideal",
    "pat-twin-in-silico": VOWELS + "--engine twin --mode in-silico --jitter 0.1",
    "pat-twin-refit": VOWELS + "--engine twin --refit 1 --spread 0.1 --noise 0.02 --taps 8",
    "pat-identity": VOWELS + "--layer identity",
    "pat-dnpu": f"pat digits --layer dnpu {CHIP} --epochs 2 --passes 2 --width 20 --batch 64 --rate 0.01",
}  # fmt: skip
"""Words of each command by the name of its run; `--json` is added."""

BAD = (
    "learn", "learn XR", "learn AND --amplitude 2", "learn AND --engine x", "learn AND --evaluations 20",
    "learn AND --max-step 1", "learn wrong.csv", "learn AND --design wrong.toml",
    "learn AND --design short.toml --electrodes e0:e2,e8", "learn AND --engine twin --level transistor",
    "learn AND --engine averaged --loss hinge", "gradient --device foo", "gradient --device wrong.npz",
    f"gradient {CHIP} --amplitude 0.9", "gradient --at 1,2", "plan --device kmc", "plan --band 3", "export AND",
    "export AND /dev/null/x", "iv --sweep e1=0:1", "device --at e9=1", "lockin --time-constant 0",
    "verify missing.toml", "sweep --over dither.amplitud=1mV,2mV", "mgd XOR --momentum 1", "pat digits --spread 0.9",
    "nosuch",
)  # fmt: skip
"""What is refused."""
CASES = (
    "homodyne", "real-parts", "noisy", "opened", "gradients", "multiplexed", "monte-carlo", "exact-models", "surrogate",
    "waveforms", "lockins", "training",
)  # fmt: skip
"""Functions of `recorded_cases`."""


def runs() -> dict[str, list[str]]:
    """Name of each run, and the words behind the interpreter."""

    def command(words: str) -> list[str]:
        return ["-P", "-m", "inmateria", *words.format(data=DATA).split(), "--json"]

    cases = {f"script-{name}": ["-P", str(HERE.with_name("recorded_cases.py")), name, "case.npz"] for name in CASES}
    bad = {"bad-" + re.sub(r"[^\w.]+", "-", words.format(data="data")).lower(): command(words) for words in BAD}
    return {name: command(words) for name, words in COMMANDS.items()} | cases | bad


def record(folder: Path, tree: Path, names: list[str], again: bool) -> None:
    """Run what is not in the folder yet."""
    known = runs()
    if unknown := set(names) - set(known):
        sys.exit(f"no runs: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if not DATA.is_dir():
        sys.exit(f"no data at {DATA}: set INMATERIA_DATA")
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    settings = {"PYTHONPATH": str(tree), "PYTHONHASHSEED": "0", "COLUMNS": "120", "INMATERIA_DATA": str(DATA)}
    for name in names or known:
        place = folder / name
        if (place / "run.json").exists() and not again:
            continue
        subprocess.run(["rm", "-rf", str(place)], check=True)
        place.mkdir(parents=True)
        inputs = {**INPUTS, "xor.toml": (tree / "docs/designs/xor.toml").read_text()}
        for file in set(inputs) & set(known[name]):
            (place / file).write_text(inputs[file])
        begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        words = [sys.executable, *known[name]]
        done = subprocess.run(
            words, cwd=place, env={**os.environ, **one, **settings}, capture_output=True, text=True, check=False
        )
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = round(time.perf_counter() - begin, 1)
        used = round(spent.ru_utime + spent.ru_stime - before.ru_utime - before.ru_stime, 1)
        (place / "stdout.txt").write_text(done.stdout)
        (place / "stderr.txt").write_text(done.stderr)
        facts = {"words": known[name], "code": done.returncode, "RUN": str(place), "TREE": str(tree), "DATA": str(DATA)}
        (place / "run.json").write_text(json.dumps({**facts, "wall_s": seconds, "processor_s": used}, indent=1))
        print(f"{name:32} {seconds:6.1f} s, {used:6.1f} s of processor, exit code {done.returncode}", flush=True)


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of a JSON document, without those whose key is left out."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if pairs is None:
        yield name, value
        return
    for key, below in pairs:
        if not LEFT_OUT.fullmatch(str(key)):
            yield from flat(below, f"{name}.{key}" if name else str(key))


def of_dataset(data: xr.Dataset) -> Iterator[tuple[str, Any]]:
    """Variables, coordinates and attributes."""
    yield from flat({key: str(value) for key, value in data.attrs.items()}, "attributes")
    for key in filter(lambda key: not LEFT_OUT.fullmatch(str(key)), data.variables):
        yield f"{key}", data[key].values
        yield f"{key} dimensions", str(data[key].dims)
        yield from flat({k: str(value) for k, value in data[key].attrs.items()}, f"{key} attributes")


def of_file(path: Path) -> Iterator[tuple[str, Any]]:
    """What a file holds, leaf by leaf; of pictures and reports only that they are there."""
    if path.suffix == ".json":
        yield from flat(json.loads(path.read_text()))
    elif path.suffix in (".nc", ".zarr"):
        engine: Any = "zarr" if path.suffix == ".zarr" else "h5netcdf"
        with xr.open_dataset(path, engine=engine, decode_times=False) as data:
            yield from of_dataset(data.load())
    elif path.suffix == ".npz":
        with np.load(path) as arrays:
            yield from flat({key: arrays[key] for key in arrays.files})
    elif path.suffix in (".cir", ".csv", ".toml", ".txt", ".dat"):
        yield "text", path.read_text()
    else:
        yield "is there", True


def content(place: Path) -> dict[str, Any]:
    """All leaves of a run: exit code, document, files; its own folder, the tree and the data under a fixed name."""
    facts = json.loads((place / "run.json").read_text())
    found: dict[str, Any] = {"exit code": facts["code"]}
    told = (place / "stdout.txt").read_text()
    if told.strip():
        found |= {f"document: {name}": leaf for name, leaf in flat(json.loads(told))}
    for path in sorted(place.rglob("*")):
        below = path.relative_to(place)
        if ".zarr" in "".join(p.suffix for p in below.parents) or str(below) in (*OWN, *INPUTS, "xor.toml"):
            continue
        if path.is_file() or path.suffix == ".zarr":
            found |= {f"{below}: {name}": leaf for name, leaf in of_file(path)}
    for name, leaf in found.items():
        if isinstance(leaf, str):
            for word in ("RUN", "TREE", "DATA"):
                leaf = leaf.replace(facts[word], word)
            found[name] = leaf
    return found


NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?", re.IGNORECASE)


def apart(one: Any, other: Any) -> tuple[float, float] | None:
    """Largest relative and absolute difference; None if both are the same, infinite if they are no numbers."""
    never = (np.inf, np.inf)
    if isinstance(one, str) and isinstance(other, str):
        if one == other:
            return None
        if NUMBER.sub("#", one) != NUMBER.sub("#", other):
            return never
        return apart(*(np.array(NUMBER.findall(text), dtype=float) for text in (one, other))) or never
    a, b = np.asarray(one), np.asarray(other)
    if a.shape != b.shape or (a.dtype.kind != b.dtype.kind and {a.dtype.kind, b.dtype.kind} != set("if")):
        return never
    if a.dtype.kind not in "iufc":
        return None if np.array_equal(a, b) else never
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if np.all(same):
        return None if a.dtype == b.dtype else never
    with np.errstate(all="ignore"):
        size = np.where(same, 0.0, np.abs(a - b))
        relative = np.where(same, 0.0, size / np.maximum(np.abs(a), np.abs(b)))
    return float(np.nan_to_num(relative, nan=np.inf).max()), float(np.nan_to_num(size, nan=np.inf).max())


def told(before: Path, after: Path) -> list[str]:
    """What differs between two recordings of a run, in lines; none if nothing does."""
    one, other = content(before), content(after)
    lines = [f"only before: {name}" for name in one if name not in other]
    lines += [f"only after: {name}" for name in other if name not in one]
    found = {name: apart(leaf, other[name]) for name, leaf in one.items() if name in other}
    numbers = {name: gap for name, gap in found.items() if gap is not None and np.isfinite(gap[1])}
    for which, word in enumerate(("relative", "absolute")):
        if numbers:
            worst = max(numbers, key=lambda name: numbers[name][which])
            size = f"{numbers[worst][which]:.3g}"
            lines.append(f"largest {word} difference {size} at {worst}; {len(numbers)} leaves differ")
    for name, gap in found.items():
        if gap is not None and not np.isfinite(gap[1]):
            lines.append(f"other: {name}: {str(one[name])[:150]!r} -> {str(other[name])[:150]!r}")
    return lines


def messages(before: Path, after: Path) -> list[str]:
    """As `told`, of what a refused run said."""
    pairs = [(name, (before / name).read_text().strip(), (after / name).read_text().strip()) for name in OWN[1:]]
    codes = [str(json.loads((place / "run.json").read_text())["code"]) for place in (before, after)]
    return [f"{name}: {a} -> {b}" for name, a, b in [("exit code", *codes), *pairs] if a != b]


def compare(before: Path, after: Path) -> int:
    """Compare all runs; 0 if they are the same bit for bit, messages aside."""
    names = [{path.parent.name for path in folder.glob("*/run.json")} for folder in (before, after)]
    different = len(names[0] ^ names[1])
    for name in sorted(names[0] ^ names[1]):
        print(f"{name}: only {'before' if name in names[0] else 'after'}")
    for title, bad in (("numbers and files", False), ("messages", True)):
        print(f"\n{title}\n{'-' * len(title)}")
        examine: Callable[[Path, Path], list[str]] = messages if bad else told
        for name in sorted(name for name in names[0] & names[1] if name.startswith("bad-") is bad):
            lines = examine(before / name, after / name)
            different += bool(lines) and not bad
            shown = lines[:12] + [f"and {len(lines) - 12} more"] * (len(lines) > 12)
            print(f"{name}: " + ("\n    ".join(["", *shown]) if lines else "the same" if bad else "equal bit for bit"))
    print(f"\n{different} runs differ" if different else "\nall runs are equal bit for bit")
    return int(different > 0)


def main() -> int:
    """Record or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record")
    recording.add_argument("folder", type=Path)
    recording.add_argument("names", nargs="*", help="runs; all if left out")
    recording.add_argument("--tree", type=Path, default=ROOT, help="the code to be run")
    recording.add_argument("--again", action="store_true", help="also what is in the folder already")
    comparing = commands.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    given = parser.parse_args()
    if given.command == "compare":
        return compare(given.before, given.after)
    record(given.folder.resolve(), given.tree.resolve(), given.names, given.again)
    return 0


if __name__ == "__main__":
    sys.exit(main())
