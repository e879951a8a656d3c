"""Lines of progress: what stands in a terminal while something is computed."""

from __future__ import annotations

import io

from rich.console import Console

from inmateria.terminal.progress import TrainingBar


def test_time_left_is_told_once_it_is_known() -> None:
    bar = TrainingBar(Console(file=io.StringIO(), force_terminal=True, width=120), "XOR", 20, 10.0)

    def shown() -> str:
        page = Console(file=io.StringIO(), width=120)
        page.print(bar._bar.get_renderable())
        return str(page.file.getvalue()).strip()  # type: ignore[attr-defined]

    assert "looking for a start" in shown()
    assert "left" not in shown()
    bar.update(0, "running", 0.1, 1.0)
    assert "1.0 s of 10.0 s simulated" in shown()
    assert "left" not in shown()
    bar.update(0, "running", 0.2, 1.0)
    bar.update(0, "running", 0.3, 1.0)
    assert shown().endswith("left")
