"""The worker process: one libngspice, asked over pipes, one JSON line a request and one a reply.

Started as ``python -P -m circuits.ngspice.worker``. A crash of ngspice ends this process and nothing else; the record
of accepted points lies in a file mapped by both sides, so it survives.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import select
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.ngspice import callbacks
from circuits.ngspice.blocks import ARRAYS, CONTROL, NAME_BYTES, RESIDUAL, WORK
from circuits.ngspice.messages import rejected, spoken
from circuits.ngspice.shared import SharedNgSpice
from circuits.signals import sources_kernel
from dnpu_models.interface import pointers


def _say(stream: Any, **message: Any) -> None:
    stream.write(json.dumps(message) + "\n")
    stream.flush()


def load_function(reference: Any) -> Any:
    """A compiled function from ``module:name``, or from its pickle (functions of a user's script)."""
    if isinstance(reference, str):
        return pointers.imported(reference)
    return pickle.loads(reference)


_NAME = re.compile(r"[^\s()\[\],]+")
"""A word of an element's line."""


def vector_name(expression: str) -> str:
    """ngspice's own name of a saved vector: ``v(a)`` is ``a``, ``i(v1)`` is ``v1#branch``."""
    text = expression.lower()
    if text.startswith("v(") and text.endswith(")"):
        return text[2:-1]
    if text.startswith("i(") and text.endswith(")"):
        return f"{text[2:-1]}#branch"
    return text


class Worker:
    """Serves requests; see `serve`."""

    def __init__(self, out: Any, library: str, asking: int, answering: int) -> None:
        self.out = out
        self.asking, self.answering = asking, answering
        self.ngspice = SharedNgSpice(library)
        self.keep: list[Any] = []
        self.device: tuple[Any, Any] | None = None
        self.addresses: tuple[int, ...] = ()
        self.device_key: Any = None
        self.missing: list[str] = []

    def _prepare(self, request: dict[str, Any]) -> None:
        """Fill the control block for a recorded run, with a device if one is asked for."""
        control = self.ngspice.control
        control[:] = 0
        control["time_index"] = -1
        control["clock"] = time.CLOCK_MONOTONIC
        self.keep = []
        self._lend("stepped", np.zeros(1))
        self._lend("corners", np.unique(np.array(request.get("corners", []), dtype=float)))
        if request.get("record") is None:
            return
        if request.get("device"):
            self._prepare_device(Path(request["device"]))
        names = [vector_name(name) for name in request["columns"]]
        sense = [vector_name(name) for name in request.get("sense", [])]
        clock = request.get("clock") or {}
        ticking = [vector_name(name) for name in clock.get("sampled", [])]
        columns = self._lend("columns", np.zeros(len(names), dtype=np.int64))
        sensed = self._lend("sense", np.zeros(len(sense), dtype=np.int64))
        sampled = self._lend("sampled", np.zeros(len(ticking), dtype=np.int64))

        def on_vectors(vectors: list[str]) -> None:
            index = {vector_name(name): k for k, name in enumerate(vectors)}
            if "time" not in index:
                return
            missing = [name for name in [*names, *sense, *ticking] if name not in index]
            if missing:
                self.missing = missing
                return
            columns[:] = [index[name] for name in names]
            sensed[:] = [index[name] for name in sense]
            sampled[:] = [index[name] for name in ticking]
            control["time_index"] = index["time"]

        self.ngspice.on_vectors = on_vectors
        self._lend("record", np.memmap(request["record"], dtype=np.uint8, mode="r+"))
        control["capacity"] = request["capacity"]
        self._lend("grids", np.array(request.get("grids", []), dtype=float))
        control["corners_only"] = bool(request.get("corners_only"))
        if request.get("noise"):
            with np.load(request["noise"], allow_pickle=False) as stored:
                self._lend("noise", stored["params"])
                self._lend("noise_state", stored["state"])
        if clock:
            self._prepare_clock(clock)

    def _prepare_clock(self, clock: dict[str, Any]) -> None:
        """Give the callbacks what controllers set, and where they are asked."""
        control = self.ngspice.control
        names = np.zeros((len(clock["sources"]), NAME_BYTES), dtype=np.uint8)
        for row, name in zip(names, clock["sources"], strict=True):
            row[: len(name)] = np.frombuffer(name.encode(), dtype=np.uint8)
        self._lend("names", names)
        control["n_sources"], control["changes"] = len(names), clock["changes"]
        self._lend("schedule", np.array(clock["schedule"], dtype=float))
        self._lend("message", np.zeros(1 + len(clock["sampled"])))
        control["asking"], control["answering"] = self.asking, self.answering
        self._lend("answer_poll", np.array([(self.answering, select.POLLIN, 0)], dtype="i4, i2, i2"))  # struct pollfd
        control["spins"] = callbacks.MOST_SPINS if len(os.sched_getaffinity(0)) > 1 else 0
        control["rests"] = sys.maxsize
        control["set_breakpoint"] = self.ngspice.breakpoint_address

    def _end_clock(self) -> None:
        """Tell the engine that no further tick comes."""
        message = np.full(1 + int(self.ngspice.control["n_sampled"][0]), np.nan)
        os.write(self.asking, message.tobytes())

    def _lend(self, name: str, block: NDArray[Any]) -> NDArray[Any]:
        """Give the callbacks a block of memory, and its length where they ask for it; it lives as long as the run."""
        self.keep.append(block)
        self.ngspice.control[name] = block.ctypes.data
        if f"n_{name}" in (CONTROL.names or ()):
            self.ngspice.control[f"n_{name}"] = len(block)
        return block

    def _prepare_device(self, path: Path) -> None:
        control = self.ngspice.control
        with np.load(path / "device.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        description = pickle.loads((path / "device.pickle").read_bytes())
        key = (description["evaluate"], description["advance"], description["c_functions"])
        if self.device is None or self.device_key != key:
            _say(self.out, event="compiling")
            if key[2] is not None:
                self.device = load_function(key[2][0]), load_function(key[2][1])
            else:
                self.device = pointers.device_functions(load_function(key[0]), load_function(key[1]))
            self.device_key = key
            self.addresses = tuple(function.address for function in self.device)  # compiles
            _say(self.out, event="compiled")
        control["evaluate"], control["advance"] = self.addresses
        control["terminals"] = terminals = len(arrays["start"])
        self._lend("params", np.ascontiguousarray(arrays["params"]))
        self._lend("state", np.append(arrays["state"], float(terminals)))  # see `device_functions`
        control["n_state"] = len(arrays["state"])
        drive = self._lend("drive", np.ascontiguousarray(arrays["drive"]))
        work = self._lend("work", np.zeros(1, WORK))
        work["last_s"], work["evaluated_s"], work["min_step_s"] = -1.0, np.nan, arrays["min_step"]
        now = np.zeros(terminals)
        sources_kernel.drive_voltages(drive, 0.0, now)
        self._lend("arrays", np.zeros((ARRAYS, terminals)))[RESIDUAL] = arrays["start"] - now

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load the deck, run it, report."""
        ngspice = self.ngspice
        ngspice.begin()
        ngspice.on_vectors = None
        self.missing = []
        reply: dict[str, Any] = {"loaded": False, "loading": [], "running": [], "statistics": {}, "exited": None}
        reply["start"] = ngspice.start_settings

        def give_up() -> None:
            """End in the middle of the search for an operating point that cannot be used."""
            _say(self.out, reply={**reply, "running": list(ngspice.messages), "ended": True})
            os._exit(0)

        try:
            os.chdir(request.get("folder") or "/")  # where the user's relative includes are
            ngspice.read_as(request.get("dialect"), request.get("seed"))
            self._prepare(request)
            deck = Path(request["deck"]).read_text(encoding="utf-8")
            load_code = ngspice.load(deck)
            reply["loading"] = list(ngspice.messages)
            reply["loaded"] = load_code == 0 and not rejected(spoken(ngspice.messages))
            if request.get("noise_nodes"):
                known = {
                    word
                    for line in ngspice.expanded()[1:]
                    if not line.startswith("inoise")
                    for word in _NAME.findall(line)
                }
                reply["strange"] = [node for node in request["noise_nodes"] if node not in known]
            if request.get("expand"):
                reply["expanded"] = ngspice.expanded()
            elif reply["loaded"] and ngspice.exited is None and not reply.get("strange"):
                ngspice.messages.clear()
                _say(self.out, event="running")
                ngspice.on_doomed = give_up
                if request.get("record") is None:
                    ngspice.on_status = lambda: _say(self.out, status="moving")
                begin = time.perf_counter()
                reply["code"] = ngspice.command("run")
                reply["seconds"] = time.perf_counter() - begin
                if request.get("clock"):
                    self._end_clock()
                reply["running"] = list(ngspice.messages)
                reply["missing"] = self.missing
                reply["unserved"] = int(ngspice.control["unserved"][0])
                if ngspice.exited is None:
                    reply["statistics"] = self._statistics()
                    if request.get("vectors"):
                        with open(request["vectors"], "wb") as stream:
                            reply["names"] = ngspice.write_vectors(stream)
            if ngspice.exited is None:
                ngspice.forget()
            reply["exited"] = ngspice.exited
            return reply
        finally:
            ngspice.control[:] = 0
            ngspice.on_vectors = ngspice.on_doomed = ngspice.on_status = None
            self.keep = []

    def _statistics(self) -> dict[str, float]:
        """ngspice's own counters for the last run."""
        self.ngspice.messages.clear()
        self.ngspice.command("rusage accept rejected totiter")
        found = {}
        for line in self.ngspice.messages:
            text = line.partition(" ")[2].lower()
            for key, word in (("accepted", "accepted timepoints"), ("rejected", "rejected timepoints")):
                if text.startswith(word):
                    found[key] = float(text.split("=")[1])
            if text.startswith("total iterations"):
                found["iterations"] = float(text.split("=")[1])
        self.ngspice.messages.clear()
        return found


def _leave_with_parent(parent: int) -> None:
    """End this process when the parent is gone, in the middle of a run too."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def serve() -> None:
    """Answer requests from stdin until it closes."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever C code prints goes to stderr, not into the protocol
    _leave_with_parent(os.getppid())
    worker: Worker | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            sys.path.extend(p for p in request.get("path", []) if p not in sys.path)
            if worker is None:
                worker = Worker(out, sys.argv[3], int(sys.argv[1]), int(sys.argv[2]))
            if request["op"] == "about":
                shared = worker.ngspice
                about = {"xspice": bool(shared.has_xspice), "library": str(shared.library_path)}
                _say(out, reply={"version": shared.version, **about, "about": shared.version_lines})
                continue
            _say(out, reply=worker.run(request))
            if worker.ngspice.exited is not None:
                os._exit(0)  # ngspice asked for its end: this library cannot be used again
        except Exception as error:
            _say(out, failure=f"{type(error).__name__}: {error}", errno=getattr(error, "errno", None))


if __name__ == "__main__":
    serve()
