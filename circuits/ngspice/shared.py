"""PySpice's libngspice wrapper with compiled callbacks.

`SharedNgSpice` is PySpice's `NgSpiceShared` with its own registration: PySpice passes no GetSyncData and Python
callbacks for the sources and the data, which cost 6-16 us a point; here they are Numba functions that get one control
block (see `callbacks`). It also reads ngspice's messages itself: PySpice takes every line on stderr that is no
"Warning:" for an error, which breaks on ngspice 42 and later.
"""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PySpice.Spice.NgSpice.Shared import FFI, NgSpiceShared, ffi

from circuits.ngspice import callbacks
from circuits.ngspice.blocks import CONTROL
from circuits.ngspice.messages import doomed

MESSAGES = 4000
"""Lines of ngspice that are kept, the first and the last half: a source out of range says so at every iteration."""

LINE = 2000
"""Characters of a line that are kept."""

MIRRORED = 200
"""Lines of a run that are also written on stderr, where they survive a crash."""

START = Path(__file__).parent / "start"
"""The folder in which ngspice is initialised. Its own .spiceinit holds nothing, and stands before one of the user's
in the home folder: such a file changes results unseen, and runs commands."""

_SETTING = re.compile(
    r"\s*(?:option\s|set\s+(?:temp|tnom|abstol|reltol|vntol|gmin|rshunt|rseries|cshunt|scalm?|method|trtol|chgtol|noopiter"
    r"|itl\d|rndseed|enable_noisy_r|ng_nomodcheck|ps_global_tmodels|skywaterpdk|no_auto_gnd|optran)\b)",
    re.IGNORECASE,
)
"""A line of a start file by which the results of decks differ."""

_LISTED = re.compile(r"\s*\d+ : (.*?)\s*")
"""A line of an expanded listing."""

STATUS_S = 1.0
"""Time between two signs of life of a run."""


class SharedNgSpice(NgSpiceShared):  # type: ignore[misc]
    """One libngspice in this process, with compiled callbacks around a control block.

    Only one may live in a process: libngspice keeps its state in globals.

    Attributes
    ----------
    control : ndarray, shape (1,)
        A record `blocks.CONTROL`; all zero means no device and no record.
    messages : list of str
        What ngspice said since the last `clear`, streams marked ``stdout``/``stderr``.
    vector_names : list of str
        Vectors of the analysis that runs, in the order of the data.
    on_status : callable or None
        Called about once a second while a run moves.
    on_doomed : callable or None
        Called when ngspice begins its last resort on a singular circuit (see `messages.doomed`).
    start_settings : list of str
        What ngspice's own start file sets that changes results, one sentence each.
    exited : int or None
        ngspice's exit status once it asked for its end (``ControlledExit``): the library cannot be used again then.
    """

    def __init__(self, library: str) -> None:
        type(self).LIBRARY_PATH = library
        self.control: NDArray[np.void] = np.zeros(1, CONTROL)
        self.messages: list[str] = []
        self.vector_names: list[str] = []
        self.on_vectors: Any = None
        self.on_status: Callable[[], None] | None = None
        self.on_doomed: Callable[[], None] | None = None
        self._mirrored = 0
        self._last_status = 0.0
        self.exited: int | None = None
        self._dialect: str | None = None
        self._listed: list[str] | None = None
        os.chdir(START)
        super().__init__(send_data=True)
        self.start_settings = self._read_start_file()

    def _init_ngspice(self, send_data: bool) -> None:
        """Register the callbacks, all of them with the control block as user data."""
        self._send_char_c = ffi.callback("int (char *, int, void *)", self._on_char)
        self._send_stat_c = ffi.callback("int (char *, int, void *)", self._on_status)
        self._exit_c = ffi.callback("int (int, bool, bool, int, void *)", self._on_exit)
        self._send_init_data_c = ffi.callback("int (pvecinfoall, int, void *)", self._on_vectors)
        self._background_thread_running_c = ffi.callback("int (bool, int, void *)", lambda *_: 0)
        user = ffi.cast("void *", self.control.ctypes.data)
        self._ngspice_shared.ngSpice_Init(
            self._send_char_c,
            self._send_stat_c,
            self._exit_c,
            ffi.cast("SendData *", callbacks.accepted_point.address),
            self._send_init_data_c,
            self._background_thread_running_c,
            user,
        )
        self._ident_c = ffi.new("int *", 0)
        self._ngspice_shared.ngSpice_Init_Sync(
            ffi.cast("GetVSRCData *", callbacks.voltage_source.address),
            ffi.cast("GetISRCData *", callbacks.current_source.address),
            ffi.cast("GetSyncData *", callbacks.next_step.address),
            self._ident_c,
            user,
        )
        self.command("set nomoremode")
        self.version_lines = self._ask_version()

    def _ask_version(self) -> list[str]:
        self.messages.clear()
        self.command("version -f")
        lines = [line.partition(" ")[2] for line in self.messages]
        self.messages.clear()
        found = re.search(r"ngspice-([\w.+]+)", "\n".join(lines))
        self.version = found.group(1) if found else "unknown"
        self._has_xspice = any("XSPICE" in line for line in lines)
        return lines

    def _on_char(self, text: Any, _ident: int, _user: Any) -> int:
        if self._listed is not None:
            self._listed.append(ffi.string(text).decode("utf-8", "replace").partition(" ")[2])
            return 0
        line = ffi.string(text, LINE).decode("utf-8", "replace")
        self.messages.append(line)
        if len(self.messages) >= MESSAGES:
            del self.messages[MESSAGES // 2 : MESSAGES // 2 + MESSAGES // 4]
        if self._mirrored < MIRRORED:
            self._mirrored += 1
            with suppress(OSError):
                os.write(2, (line.partition(" ")[2] + "\n").encode())
        if self.on_doomed is not None and "ransient op started" in line and doomed(self.messages):
            self.on_doomed()
        return 0

    def _on_status(self, _text: Any, _ident: int, _user: Any) -> int:
        now = time.monotonic()
        if self.on_status is not None and now - self._last_status > STATUS_S:
            self._last_status = now
            self.on_status()
        return 0

    def begin(self) -> None:
        """Forget what was said, here and on stderr, before a run."""
        self.messages.clear()
        self._mirrored = 0
        with suppress(OSError):  # stderr is a file, where the engine started this process
            os.ftruncate(2, 0)

    def _on_exit(self, status: int, _unload: bool, _quit: bool, _ident: int, _user: Any) -> int:
        self.exited = int(status)
        return 0

    def _on_vectors(self, data: Any, _ident: int, _user: Any) -> int:
        self.vector_names = [
            ffi.string(data.vecs[k].vecname).decode("utf-8", "replace").lower() for k in range(data.veccount)
        ]
        if self.on_vectors is not None:
            self.on_vectors(self.vector_names)
        return 0

    @property
    def breakpoint_address(self) -> int:
        """Address of ``bool ngSpice_SetBkpt(double)``."""
        function = ffi.addressof(self._ngspice_shared, "ngSpice_SetBkpt")
        return int(ffi.cast("intptr_t", function))

    def command(self, text: str) -> int:
        """Run one ngspice command; returns ngspice's code (0 is no proof of success)."""
        return int(self._ngspice_shared.ngSpice_Command(text.encode("utf-8")))

    def _read_start_file(self) -> list[str]:
        """Settings in the start file of ngspice's installation (spinit) that count for every deck.

        The dialect and the number of threads are not among them: those are forgotten, and given by argument and deck.
        """
        self.messages.clear()
        self.command("unset ngbehavior")
        self.command("unset num_threads")
        self.command("set")
        places = [line.split()[3:-1] for line in self.messages if line.split()[1:2] == ["sourcepath"]]
        self.messages.clear()
        found = []
        for place in (Path(name) for names in places for name in names if name != "."):
            with suppress(OSError):
                for number, line in enumerate((place / "spinit").read_text(errors="replace").splitlines(), start=1):
                    if _SETTING.match(line):
                        found.append(
                            f"ngspice's start file sets something, {place}/spinit line {number}: '{line.strip()}'"
                        )
        return found

    def read_as(self, dialect: str | None, seed: int | None) -> None:
        """Set the letters of ``ngbehavior``, None for ngspice's own language, and the random generator's seed."""
        if dialect != self._dialect:
            self.command("unset ngbehavior" if dialect is None else f"set ngbehavior={dialect}")
            self._dialect = dialect
        if seed is not None:
            self.command(f"setseed {seed}")

    def load(self, deck: str) -> int:
        """Load a deck, line by line; returns ngspice's code."""
        title, *body = deck.replace("\r\n", "\n").split("\n")
        # The first line is the title, blank or not; dropped, it would make a title of the first component.
        kept = [title if title.strip() else "*", *(line for line in body if line.strip())]
        lines = [ffi.new("char[]", line.encode("utf-8")) for line in kept]
        array = ffi.new("char *[]", [*lines, FFI.NULL])
        return int(self._ngspice_shared.ngSpice_Circ(array))

    def _plots(self) -> list[str]:
        """Names of the plots that hold results, the newest one first."""
        plots = self._ngspice_shared.ngSpice_AllPlots()
        names = [ffi.string(plots[k]).decode() for k in itertools.takewhile(lambda k: plots[k], itertools.count())]
        return [name for name in names if name != "const"]

    def _vectors(self, title: str) -> Iterator[tuple[str, str, Any]]:
        """Name, numpy type and memory of each vector of a plot."""
        names = self._ngspice_shared.ngSpice_AllVecs(title.encode())
        k = 0
        while names != FFI.NULL and names[k] != FFI.NULL:
            raw = ffi.string(names[k])
            k += 1
            info = self._ngspice_shared.ngGet_Vec_Info(title.encode() + b"." + raw)
            if info == FFI.NULL or info.v_length <= 0:
                continue
            name = raw.decode("utf-8", "replace").lower()
            if info.v_realdata != FFI.NULL:
                yield name, "float64", ffi.buffer(info.v_realdata, 8 * info.v_length)
            elif info.v_compdata != FFI.NULL:
                yield name, "complex128", ffi.buffer(info.v_compdata, 16 * info.v_length)

    def write_vectors(self, stream: IO[bytes]) -> list[tuple[str, str, int, str]]:
        """Write all vectors of all analyses one after the other, straight from ngspice's memory.

        Returns
        -------
        list of (plot, name, count, type)
            Of the analysis that ngspice ran last first.
        """
        written = []
        for plot in self._plots():
            for name, kind, raw in self._vectors(plot):
                stream.write(raw)
                written.append((plot, name, len(raw) // np.dtype(kind).itemsize, kind))
        return written

    def expanded(self) -> list[str]:
        """Lines of the loaded deck as ngspice has expanded it: elements by their full names, parameters as numbers."""
        self._listed = []
        self.command("listing expand")
        lines, self._listed = self._listed, None
        return [found[1] for line in lines if (found := _LISTED.fullmatch(line))]

    def forget(self) -> None:
        """Drop all results and the circuit: each run leaks otherwise."""
        self.command("destroy all")
        self.command("remcirc")
