"""A design as a TOML file: device, task, dither, electronics, tolerances, noise, corners and criteria."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, PrivateAttr, ValidationError
from pydantic_core import ErrorDetails

from analysis.designs.sections import (
    CornersSection,
    CriteriaSection,
    DeviceSection,
    DisturbancesSection,
    DitherSection,
    ElectronicsSection,
    LearningSection,
    Name,
    NoiseSection,
    OwnPart,
    Quantity,
    Section,
    TaskSection,
    TolerancesSection,
    VerifySection,
    Whole,
)
from circuits.homodyne.engines import engine_kind
from circuits.parts.levels import LOOP_PARTS, MULTIPLIER_V, OPAMPS, loop_fields, parts_at
from circuits.user_device.remarks import remarks_of
from inmateria.errors import InputError
from inmateria.spelling import did_you_mean, nearest
from learning.bench.bench import Bench
from learning.bench.devices import DeviceOptions, default_electrodes, is_netlist, joined_bench, make_device
from learning.homodyne.settings import HgeSettings
from learning.tasks.library import named_task
from learning.tasks.task import Task
from netlists.includes import files_read
from netlists.reader import Part, load_part
from netlists.user_part import user_part

NETLIST_KEYS = {
    "output": "output", "inputs": "inputs", "limits": "limits_V", "supplies": "supplies", "subckt": "subckt",
    "section": "section", "terminals": "terminals", "transimpedance": "transimpedance_ohm",
}  # fmt: skip
"""What [device] says of a netlist: keys, and the arguments of `user_device`."""


class Design(Section):
    """Everything that decides what a loop is and does, frozen; sections as in the file.

    Raises
    ------
    InputError
        For values that cannot be; made by `from_toml` or `changed`.
    """

    name: Name = "design"
    seed: Whole = 0
    """Decides the starts of the attempts, noise and drawn components."""
    device: DeviceSection = DeviceSection()
    task: TaskSection = TaskSection()
    dither: DitherSection = DitherSection()
    learning: LearningSection = LearningSection()
    electronics: ElectronicsSection = ElectronicsSection()
    noise: NoiseSection = NoiseSection()
    tolerances: TolerancesSection = TolerancesSection()
    corners: CornersSection = CornersSection()
    disturbances: DisturbancesSection = DisturbancesSection()
    criteria: CriteriaSection = CriteriaSection()
    verify: VerifySection = VerifySection()

    _folder: Path = PrivateAttr(default=Path())

    # -- made from text and values ---------------------------------------------------------------------------------

    @classmethod
    def from_toml(cls, path: str | Path) -> Design:
        """Read a design's file; names of files in it are relative to it.

        Raises
        ------
        InputError
            If there is no such file, it is no TOML, or a value or key is wrong.
        """
        path = Path(path)
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            why = "is no file" if not path.exists() else f"cannot be read ({error.strerror})"
            raise InputError("design", str(path), why, "write one with: inmateria init PATH") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError("design", str(path), f"is no TOML: {error}", "mend that line") from None
        return cls.from_values(content, path.parent)

    @classmethod
    def from_values(cls, content: Mapping[str, Any], folder: Path | None = None) -> Design:
        """A design from nested tables, as a file holds them; file names are relative to `folder`.

        Raises
        ------
        InputError
            As `from_toml`.
        """
        try:
            made = cls.model_validate(dict(content))
        except ValidationError as error:
            raise _explained(error.errors(include_url=False)) from None
        made._folder = Path() if folder is None else folder
        return made

    def with_values(self, content: Mapping[str, Any]) -> Design:
        """Another design in the same place; as `from_values`."""
        return type(self).from_values(content, self._folder)

    def changed(self, values: Mapping[str, Any]) -> Design:
        """The design with other values, e.g. ``{"dither.amplitude": "5 mV", "device.seed": 3}``.

        Raises
        ------
        InputError
            As `from_toml`.
        """
        content = self.model_dump(exclude_unset=True)
        for key, value in values.items():
            *sections, last = key.split(".")
            table = content
            for name in sections:
                below = table.setdefault(name, {})
                if not isinstance(below, dict):
                    raise InputError(key, value, f"{name} holds no further keys", "leave out what is behind it")
                table = below
            table[last] = value
        return self.with_values(content)

    @classmethod
    def unit_of(cls, key: str) -> str:
        """SI unit of a key's quantity, e.g. ``"V"`` of ``dither.amplitude``; "" where it is none.

        Raises
        ------
        InputError
            If there is no such key.
        """
        model: Any = cls
        *sections, last = key.split(".")
        for depth, name in enumerate([*sections, last]):
            if not (isinstance(model, type) and issubclass(model, BaseModel)):
                break
            if name not in model.model_fields:
                raise _unknown(".".join([*sections, last][: depth + 1]), name, model)
            field = model.model_fields[name]
            model = field.annotation
            if depth == len(sections) and not (isinstance(model, type) and issubclass(model, BaseModel)):
                return _unit(field.annotation, field.metadata)
        raise InputError("key", key, "is no key with a value", "name one such as dither.amplitude")

    @cached_property
    def digest(self) -> str:
        """Hash of what the design says and of `contents`; errors as there."""
        said = json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()
        return hashlib.sha256(said + self.contents).hexdigest()

    @cached_property
    def contents(self) -> bytes:
        """What stands in the files that the design names, and in all that its netlists include.

        Raises
        ------
        NetlistError
            If a netlist, or a file that it includes, cannot be read.
        """
        device = self.device
        found = [self._folder / name for name in (device.model, self.task.name) if _is_file_name(name)]
        if is_netlist(device.model):
            section = device.section or remarks_of(found[0]).section
            found += files_read(found[0], section)[1:]
        for _, part in sorted(self.electronics.parts.items()):
            if isinstance(part, OwnPart):
                found += files_read(self._folder / part.file, part.section)
        return b"".join(path.read_bytes() for path in found if path.is_file())

    @property
    def identity(self) -> dict[str, str]:
        """What a store tells of the design it holds: its text, as JSON, and its hash."""
        text = json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True)
        return {"design": text, "design_sha256": self.digest}

    def _place(self, name: str) -> str:
        """A name that may be a file's, seen from the design's folder."""
        return str(self._folder / name) if _is_file_name(name) else name

    # -- what it describes -----------------------------------------------------------------------------------------

    def named_task(self) -> Task:
        """The task, with input levels that are not yet those of a device.

        Raises
        ------
        InputError
            If there is none of that name.
        """
        try:
            return named_task(self._place(self.task.name))
        except InputError as error:
            if error.field != "gate":
                raise
            raise InputError("task.name", self.task.name, error.problem, error.fix) from None

    def bench(self, *, tolerance: float = 1e-5) -> Bench:
        """Device, wiring and tones, without noise: `analysis.designs.experiment.experiment_of` adds that.

        Parameters
        ----------
        tolerance : float
            Of a mean field followed in a transient.

        Raises
        ------
        InputError
            For a device or electrodes that do not exist or do not fit the task.
        """
        said, (device, options) = self.device, self._device(tolerance)
        names = device.terminals
        output, inputs = default_electrodes(device, self.named_task().inputs)
        if said.output is not None:
            output = _terminal("device.output", said.output, names)
        if said.inputs is not None:
            inputs = tuple(_terminal("device.inputs", name, names) for name in said.inputs)
        dither = self.dither
        one = Bench(device, output, inputs, spacing_Hz=dither.spacing, base_Hz=dither.base)
        try:
            bench = joined_bench(one, options, tolerance=tolerance)
        except InputError as error:
            raise InputError("device.count", said.count, f"{error.value} {error.problem}", error.fix) from None
        return replace(bench, frequencies_Hz=dither.frequencies)

    def _device(self, tolerance: float) -> tuple[Any, DeviceOptions]:
        """One device alone, of a netlist with what the design says of it, and how it was asked for."""
        said = self.device
        netlist = is_netlist(said.model)
        keys = {key: name for key, name in NETLIST_KEYS.items() if netlist or key not in ("output", "inputs")}
        about = {name: value for key, name in keys.items() if (value := getattr(said, key)) is not None}
        at_K = self.electronics.temperature if netlist and said.temperature is None else said.temperature
        options = DeviceOptions(self._place(said.model), said.seed, None, at_K, about, said.count)
        try:
            return make_device(options, tolerance=tolerance)[0], options
        except InputError as error:
            name, bracket, place = error.field.partition("[")
            key = next((key for key, argument in keys.items() if argument == name), None)
            if key is None:
                raise
            raise InputError(f"device.{key}{bracket}{place}", error.value, error.problem, error.fix) from error

    def fitted_task(self, bench: Bench) -> Task:
        """The task with input levels of the design, or such as suit it and the device.

        Raises
        ------
        InputError
            If the bench has another number of inputs.
        """
        return bench.task(self.named_task(), swing_V=self.task.swing, polarity=self.task.polarity)

    def settings(self, task: Task) -> HgeSettings:
        """How the loop learns, and its parts.

        Raises
        ------
        InputError
            For parts or figures of parts that do not exist.
        """
        learning = self.learning
        given = {
            "learning_rate": learning.rate,
            "step_V": learning.step,
            "sequences": learning.sequences,
            "looks": learning.looks,
            "candidates": learning.candidates,
            "moves": learning.moves,
            "spread": learning.spread,
        }
        chosen = {**task.training, **{name: value for name, value in given.items() if value is not None}}
        amplitudes, rates = self.dither.amplitude, learning.rates
        return HgeSettings(
            amplitude_V=amplitudes[0] if amplitudes is not None and len(amplitudes) == 1 else amplitudes,
            rates=rates if rates == "auto" or len(rates) > 1 else rates[0],
            anneal_to=learning.anneal_to,
            dither_to=self.dither.anneal_to,
            chopped=self.dither.chopped,
            electronics_noise=self.noise.electronics,
            restarts=learning.restarts,
            loss=learning.loss,
            leads=self.electronics.leads,
            temperature_K=self.electronics.temperature,
            **self._parts(),
            **chosen,
        )

    def check_engine(self, engine: str, field: str = "engine") -> None:
        """Refuse a fast engine that has no equations for the design's device, parts or leads; `field` is blamed.

        Raises
        ------
        InputError
            If it has not.
        """
        given = self.electronics
        if engine_kind(engine).runs_netlist:
            return
        if is_netlist(self.device.model):
            raise InputError(field, engine, f"knows no equations of {self.device.model}, a netlist", "choose ngspice")
        levels = {"level": given.level, **given.parts}
        strange = next(
            (level if isinstance(level, str) else f"your {name}" for name, level in levels.items()
             if level not in ("ideal", "macro")), None
        )  # fmt: skip
        if given.leads:
            strange = "leads"
        if strange is not None:
            raise InputError(field, engine, f"knows no equations of the electronics ({strange})", "choose ngspice")

    def _parts(self) -> dict[str, Any]:
        """Parts and scale of the multipliers, as `loop_fields`: levels, figures, supply, and one's own parts."""
        given = self.electronics
        levels: dict[str, str] = {}
        own: dict[str, Part] = {}
        for name, part in given.parts.items():
            if name not in (*LOOP_PARTS, *OPAMPS):
                choice = _choice(name, (*LOOP_PARTS, *OPAMPS))
                raise InputError(f"electronics.parts.{name}", name, "is no part of the loop", choice)
            if isinstance(part, str) and part in MULTIPLIER_V and name not in OPAMPS:
                levels[name] = part
            elif isinstance(part, OwnPart):
                like = load_part(name, _opamp_level(given.level) if name in OPAMPS else "ideal")
                given_part = {
                    one: getattr(part, one) for one in ("subckt", "section", "pins", "supplies", "fixed", "dialect")
                }
                own[name] = user_part(self._folder / part.file, like, **given_part)
            else:
                raise InputError(
                    f"electronics.parts.{name}",
                    part,
                    "is no level",
                    "use { file = ... }" if name in OPAMPS else f"use {', '.join(MULTIPLIER_V)} or {{ file = ... }}",
                )
        figures = {name: dict(values) for name, values in given.values.items()}
        for name in figures:
            if name not in LOOP_PARTS or name in own:
                problem = "is a part of one's own" if name in own else "is no part of the loop"
                raise InputError(f"electronics.values.{name}", name, problem, _choice(name, LOOP_PARTS))
        standing_parts = parts_at(given.level, trimmed=None, **levels)
        for name, values in figures.items():
            known = (standing_parts.get(name) or load_part(name)).defaults
            for figure in values:
                if figure not in known:
                    field = f"electronics.values.{name}.{figure}"
                    raise InputError(field, figure, "is no figure of that part", _choice(figure, known))
        for name, standing in standing_parts.items():
            if standing.defaults.get("vsupply", given.supply) != given.supply:
                figures.setdefault(name, {}).setdefault("vsupply", given.supply)
        fields = loop_fields(given.level, trimmed=figures, **levels)
        if given.reference is not None:
            fields["multiplier_V"] = given.reference
        return {**fields, "parts": {**fields["parts"], **own}}


def _opamp_level(level: str) -> str:
    """Where the op-amps of a level's parts are: those of a board have their supplies as pins."""
    return "board" if level == "board" else "macro"


def _is_file_name(name: str) -> bool:
    """Whether a name is a file's, not that of something known here."""
    return Path(name).suffix != "" or "/" in name


def _terminal(field: str, name: str, terminals: tuple[str, ...]) -> int:
    if name not in terminals:
        raise InputError(field, name, "is no electrode of the device", _choice(name, terminals))
    return terminals.index(name)


def _choice(name: str, known: Any) -> str:
    """What to write instead."""
    return did_you_mean(name, known) or f"choose from {', '.join(known)}"


def _unit(annotation: Any, metadata: Any) -> str:
    """The unit that an annotated type carries, itself or in what it is a tuple or a choice of."""
    for mark in metadata:
        if isinstance(mark, Quantity):
            return mark.unit
    if hasattr(annotation, "__metadata__"):
        return _unit(annotation.__origin__, annotation.__metadata__)
    if get_origin(annotation) in (tuple, Union, UnionType):
        return next((found for inner in get_args(annotation) if (found := _unit(inner, ()))), "")
    return ""


def _model_at(location: list[str]) -> type[BaseModel]:
    model: Any = Design
    for name in location:
        annotation = model.model_fields[name].annotation if name in getattr(model, "model_fields", {}) else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        model = annotation
    return model  # type: ignore[no-any-return]


def _unknown(key: str, value: Any, model: type[BaseModel]) -> InputError:
    """A key that is not there: the nearest one of its section, or one of another section with that name."""
    last, known = key.rpartition(".")[2], list(model.model_fields)
    meant = [f"{key[: -len(last)]}{near}" for near in nearest(last, known)] or [
        f"{section}.{near}"
        for section, field in Design.model_fields.items()
        for near in nearest(last, getattr(field.annotation, "model_fields", {}), like=0.8)
    ]
    fix = f"did you mean {meant[0]}?" if meant else f"choose from {', '.join(known)}"
    return InputError(key, value, "is no key of a design", fix)


def _explained(errors: list[ErrorDetails]) -> InputError:
    """The first of pydantic's complaints in the house's words; further ones are counted."""
    first = max(  # of the branches of a choice of types, the one that got farthest
        (error for error in errors if error["loc"][:3] == errors[0]["loc"][:3]), key=lambda error: len(error["loc"])
    )
    names = [part for part in first["loc"] if isinstance(part, int) or part in _keys() or not _is_tag(part)]
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in names).lstrip(".") or "design"
    value, kind = first["input"], first["type"]
    more = len({error["loc"][:2] for error in errors}) - 1
    behind = f" (and {more} more wrong value{'s' if more > 1 else ''})" if more else ""
    if kind == "extra_forbidden":
        location = [str(part) for part in first["loc"]]
        found = _unknown(field, value, _model_at(location[:-1]))
        return InputError(field, value, f"{found.problem}{behind}", found.fix)
    if kind == "value":
        context = first["ctx"]
        return InputError(field, value, f"{context['problem']}{behind}", context["fix"])
    if kind == "model_type":
        return InputError(field, value, f"is a table of keys{behind}", f"write [{field}] and its keys below")
    problem = first["msg"][0].lower() + first["msg"][1:]
    if kind == "literal_error":
        return InputError(field, value, f"is unknown{behind}", f"choose from {first['ctx']['expected']}")
    return InputError(field, value, f"{problem.removeprefix('input ')}{behind}", "change it")


def _keys() -> set[str]:
    names = set(Design.model_fields)
    for field in Design.model_fields.values():
        names |= set(getattr(field.annotation, "model_fields", {}))
    return names


def _is_tag(part: Any) -> bool:
    """Whether a place in pydantic's location names the branch of a choice of types, not a key."""
    return "[" in str(part) or part in ("str", "OwnPart", "constrained-str", "function-before")
