"""Progress on stderr: simulated time and time left, and a word while Numba compiles for the first time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console

from circuits.homodyne.engines import ENGINES

if TYPE_CHECKING:
    from rich.progress import Progress

COMPILING = (
    "Numba compiles the device model for the first time; that takes about a minute, and later runs start at once"
)
_PATIENCE_S = 3.0
"""A worker that prepares its device for longer is compiling; with a warm cache it takes less."""
_MINUTE_S = 60.0
_STARTING = "starting workers (the first time, Numba compiles the device: a minute)"


class TrainingBar:
    """The line that a learning run shows: which attempt, how far in simulated time, how long still.

    Use it as a context manager. Where stderr is no terminal, there is no line.
    """

    def __init__(self, console: Console, gate: str, restarts: int, stop_s: float) -> None:
        self._what = gate, restarts
        self._stop_s = stop_s
        self._bar = _line(console, "{task.fields[state]}")
        self._line = self._bar.add_task(f"{gate}: looking for a start", total=None, state="")

    def __enter__(self) -> TrainingBar:
        """Show the line."""
        self._bar.__enter__()
        return self

    def __exit__(self, *stop: Any) -> None:
        """Take it away."""
        self._bar.__exit__(*stop)

    def update(self, attempt: int, phase: str, fraction: float, wall_s: float) -> None:
        """Take what the trainer reports: see `learning.homodyne.training.TrainingProgress`."""
        gate, restarts = self._what
        state, total = "", None
        if phase == "running":
            state, total = f"{fraction * self._stop_s:.1f} s of {self._stop_s:.1f} s simulated", self._stop_s
        elif phase in ENGINES:
            state = f"{self._stop_s:.1f} s to simulate ({phase})"
        elif phase in ("compiling", "compiled"):
            state = "preparing the device"
            if wall_s > _PATIENCE_S:
                state += " (Numba compiles it for the first time)"
        elif phase == "starting":
            state = "starting ngspice"
        self._bar.update(
            self._line,
            description=f"{gate} attempt {attempt + 1}/{restarts}",
            total=total,
            completed=fraction * self._stop_s,
            state=state,
        )

    def next_attempt(self) -> None:
        """Begin anew: the time left is that of one attempt."""
        self._bar.reset(self._line, total=None, state="looking for a start")


def _line(console: Console, count: str) -> Progress:
    """A bar with `count` behind it and the time left; none where stderr is no terminal."""
    from rich.progress import BarColumn, Progress, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Left(TimeRemainingColumn):
        def render(self, task: Task) -> Text:
            known = task.completed and task.time_remaining is not None
            return super().render(task).append(" left") if known else Text("")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn(count),
        Left(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


@contextmanager
def counted(console: Console, what: str, total: int) -> Iterator[Callable[[], None]]:
    """A line that counts up to `total`; yields the function that counts one."""
    with _line(console, "{task.completed} of {task.total}") as line:
        task = line.add_task(what, total=total)
        yield lambda: line.advance(task)


@contextmanager
def stages(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A line for each stage of long work, with the time left; where stderr is no terminal, a line of text a stage.

    Yields the function that takes the stage's name, what is done of it and how much there is.
    """
    with _line(console, "{task.completed:.0f} of {task.total:.0f}") as line:
        task: Any = None
        stage = ""

        def advance(what: str, done: int, count: int) -> None:
            nonlocal task, stage
            if what != stage:
                if task is not None:
                    line.remove_task(task)
                task, stage = line.add_task(what, total=count, completed=done), what
                if not console.is_terminal:
                    console.print(f"{what} ...")
            line.update(task, completed=done)

        yield advance


@contextmanager
def compilation_told(console: Console) -> Iterator[None]:
    """Say a word if Numba really compiles the device in here, not if it only loads what it has cached."""
    from numba.core import event

    class Listener(event.Listener):
        told = False

        def on_start(self, _event: Any) -> None:
            if not self.told:
                self.told = True
                console.print(COMPILING)

        def on_end(self, _event: Any) -> None:
            """Nothing to say."""

    with event.install_listener("numba:compile", Listener()):
        yield


@contextmanager
def sweep_bar(console: Console, what: str) -> Iterator[Callable[[int, int, int], None]]:
    """A line on a sweep with the time left; where stderr is no terminal, a line of text a minute.

    Yields the function that takes points done, failed and in all; the first call tells what was there before.
    """
    with _line(console, "{task.completed:.0f} of {task.total:.0f} points{task.fields[failed]}") as line:
        task: Any = None
        begin = told = time.monotonic()
        before = 0

        def advance(done: int, failed: int, points: int) -> None:
            nonlocal task, begin, told, before
            words = f", {failed} failed" if failed else ""
            now = time.monotonic()
            if task is None:
                task = line.add_task(f"{what}: {_STARTING}", total=points, completed=done, failed=words)
                begin = told = now
                before = done
            if done > before:
                line.update(task, description=what)
            line.update(task, completed=done, failed=words)
            if not console.is_terminal and now - told > _MINUTE_S and done > before:
                told = now
                left = (now - begin) / (done - before) * (points - done)
                console.print(f"{what}: {done} of {points} points{words}, {left / 60:.0f} min left")

        yield advance


@contextmanager
def training_bar(console: Console, what: str, epochs: int) -> Iterator[Callable[[int, int, float, float], None]]:
    """A line on a training: epochs done of all, accuracies at the last look, the time left.

    Yields the function that takes epochs done, epochs in all, accuracy of the training and of the held-out samples.
    """
    with _line(console, "{task.completed} of {task.total} epochs, accuracy {task.fields[accuracy]}") as line:
        task = line.add_task(what, total=epochs, accuracy="?")

        def advance(done: int, _total: int, accuracy: float, held_out: float) -> None:
            line.update(task, completed=done, accuracy=f"{accuracy:.3f}, held out {held_out:.3f}")

        yield advance


@contextmanager
def descent_bar(
    console: Console, what: str, runs: int, steps: int
) -> Iterator[Callable[[int, int, float, float], None]]:
    """A line on many runs of a descent: steps done of all, the cost of the last look, the time left.

    Yields the function that takes a run's seed, the steps it has done, its cost and its accuracy.
    """
    with _line(console, "{task.completed:.3g} of {task.total:.3g} steps, cost {task.fields[cost]}") as line:
        task = line.add_task(what, total=runs * steps, cost="?")
        done: dict[int, int] = {}

        def advance(seed: int, step: int, cost: float, _accuracy: float) -> None:
            done[seed] = step
            line.update(task, completed=sum(done.values()), cost=f"{cost:.2g}")

        yield advance
