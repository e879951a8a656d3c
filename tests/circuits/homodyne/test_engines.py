"""The engines of a loop, by whatever they are named."""

from __future__ import annotations

import pytest

from circuits.homodyne.engines import ENGINES, Ngspice, Twin, engine_named, running
from circuits.ngspice.engine import Engine
from inmateria.errors import InputError


def test_an_engine_is_given_by_name_itself_or_as_a_running_ngspice(engine: Engine) -> None:
    twin = Twin()
    with running("twin") as by_name, running(twin) as itself:
        assert isinstance(by_name, Twin)
        assert itself is twin
    with running(engine) as around:
        assert isinstance(around, Ngspice)
        assert around.engine is engine
    assert engine.about()["version"]  # it stays open: its owner closes it


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(InputError) as refused:
        engine_named("spectre")
    assert refused.value.field == "engine"
    assert all(name in refused.value.fix for name in ENGINES)
