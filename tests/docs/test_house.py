"""The picture of the house shows every folder of every room."""

from __future__ import annotations

import re

import pytest

from ..conftest import ROOT

ROOMS = ("inmateria", "analysis", "learning", "circuits", "dnpu_models", "lockin", "netlists")


@pytest.mark.parametrize("room", ROOMS)
def test_every_folder_is_drawn_where_it_stands(room: str) -> None:
    """Matplotlib writes each text before its outlines: rooms in the order of the picture, below each its folders."""
    texts = re.findall(r"<!-- (\w+)(?:  (\d+))? -->", (ROOT / "docs/images/house.svg").read_text(encoding="utf-8"))
    starts = [k for k, (name, count) in enumerate(texts) if name == room and not count]
    drawn = set()
    for name, count in texts[starts[0] + 1 :]:
        if name in ROOMS and not count:
            break
        drawn |= {name} if count else set()
    folders = {path.parent.name for path in (ROOT / room).glob("*/__init__.py")}
    assert drawn == folders, "run docs/studies/house_picture.py docs/images/house.svg"
