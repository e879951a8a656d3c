"""The house as a picture: rooms from the top down, their folders, and how many imports cross from one to the next.

    python docs/studies/house_picture.py docs/images/house.svg

Drawn from the imports themselves, so that it cannot be wrong: run it again when a folder comes or goes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import grimp
import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "house"
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.patches import FancyBboxPatch  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
STOREYS = (("inmateria",), ("analysis",), ("learning",), ("circuits",), ("dnpu_models", "lockin", "netlists"))
BELOW = ("checks", "errors", "random_words", "spelling", "threads", "unpickling", "versions")
"""What every room may use, of `inmateria`: drawn as the ground."""
WIDTH, HEIGHTS, GAP = 12.0, (1.0, 1.0, 1.0, 1.0, 1.9), 0.45


def folders(graph: grimp.ImportGraph, room: str) -> list[str]:
    """A room's folders, what uses most others first; a flat room's files."""
    children = [c for c in graph.find_children(room) if room != "inmateria" or c.rpartition(".")[2] not in BELOW]
    packages = [c for c in children if graph.find_children(c)] or children
    users = {c: {o for o in packages if o != c and imports(graph, c, o)} for c in packages}
    order: list[str] = []
    while users:
        free = sorted(c for c in users if not any(c in used for other, used in users.items() if other != c))
        for c in free or sorted(users):
            order.append(c)
            del users[c]
    return order


def imports(graph: grimp.ImportGraph, importer: str, imported: str) -> int:
    """How many files' imports lead from one package to another."""
    inside = graph.find_descendants(importer) | {importer}
    return sum(
        1
        for module in inside
        for found in graph.find_modules_directly_imported_by(module)
        if found == imported or found.startswith(f"{imported}.")
    )


def draw(graph: grimp.ImportGraph) -> Figure:
    """The picture."""
    top = sum(HEIGHTS) + GAP * len(HEIGHTS) + 0.15
    figure = Figure(figsize=(WIDTH, top))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, top))
    axes.axis("off")
    bottom = top - 0.15 + GAP
    for level, (rooms, height) in enumerate(zip(STOREYS, HEIGHTS, strict=True)):
        bottom -= height + GAP
        wide = (WIDTH - 0.25) / len(rooms)
        for place, room in enumerate(rooms):
            _room(axes, graph, room, 0.2 + place * wide, bottom, wide - 0.15, height)
        if level + 1 < len(STOREYS):
            below = [imports(graph, upper, lower) for upper in rooms for lower in STOREYS[level + 1]]
            for place, count in enumerate(below):
                x = 0.2 + (place + 0.5) * (WIDTH - 0.25) / len(below)
                arrow = {"arrowstyle": "-|>", "color": "0.35", "shrinkA": 0, "shrinkB": 0}
                axes.annotate("", (x, bottom - GAP + 0.04), (x, bottom - 0.04), arrowprops=arrow)
                axes.text(x + 0.1, bottom - GAP / 2, f"{count}", fontsize=7, va="center", color="0.35")
    axes.text(
        WIDTH / 2, GAP / 2, "below all rooms: inmateria." + ", ".join(BELOW), ha="center", fontsize=9, color="0.2"
    )
    return figure


def _room(axes: Axes, graph: grimp.ImportGraph, room: str, x: float, y: float, wide: float, high: float) -> None:
    style = "round,pad=0.02,rounding_size=0.08"
    axes.add_patch(FancyBboxPatch((x, y), wide, high, boxstyle=style, facecolor="#f3efe6", edgecolor="0.4"))
    axes.text(x + 0.1, y + high - 0.16, room, fontsize=10, weight="bold", va="center")
    inside = folders(graph, room)
    columns = max(1, round(wide / 1.32))
    rows = -(-len(inside) // columns)
    cell, row = (wide - 0.16) / columns, (high - 0.34) / max(rows, 1)
    for k, folder in enumerate(inside):
        left, low = x + 0.08 + cell * (k % columns), y + high - 0.32 - row * (k // columns + 1)
        axes.add_patch(FancyBboxPatch((left + 0.03, low + 0.04), cell - 0.06, row - 0.08, boxstyle="square,pad=0",
                                      facecolor="white", edgecolor="0.7", linewidth=0.6))  # fmt: skip
        size = len(graph.find_children(folder))
        text = folder.rpartition(".")[2] + (f"  {size}" if size else "")
        axes.text(left + cell / 2, low + row / 2, text, fontsize=7.5, ha="center", va="center")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    rooms = [room for storey in STOREYS for room in storey]
    draw(grimp.build_graph(*rooms)).savefig(sys.argv[1], metadata={"Date": None})
