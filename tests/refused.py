"""What every refusal is held to, whatever the room."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from inmateria.errors import InMateriaError, InputError


@contextmanager
def refused(field: str, told: str = "", error: type[InMateriaError] = InputError) -> Iterator[None]:
    """One line that is about `field`, tells `told` (a pattern, as `match` has it) and ends with what to do."""
    with pytest.raises(error) as caught:
        yield
    message = str(caught.value)
    assert caught.value.field == field, message
    assert caught.value.problem
    assert caught.value.fix
    assert "\n" not in message
    assert re.search(told, message), message
