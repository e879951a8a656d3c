"""What typer says about a wrong command line, as one of our errors: option, value, fix."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import typer

from inmateria.errors import InputError
from inmateria.spelling import did_you_mean

# typer has its own copy of click's exceptions since 0.20, and click's own before: both by way of one that it exports
ClickException: Any = typer.BadParameter.__mro__[2]

_FIXES = {
    "deck": "name the file to write, e.g. deck.cir",
    "amplitude": "give a voltage, e.g. 0.01",
    "max_step": "give a time in seconds, e.g. 1e-4",
    "until": "give a relative error, e.g. 0.01",
    "hops": "give a whole number, e.g. 100000",
    "time_constant": "give a time in seconds, e.g. 0.01",
    "frequency": "give a frequency in Hz, e.g. 1000",
    "full_scale": "give a voltage, rms, e.g. 1",
    "over": "write for example dither.amplitude=1mV:100mV:log:12",
}
"""Where an example says more than the option's type; choices and least numbers are told of as typer knows them."""


def usage_error(error: Any, words: Sequence[str]) -> InputError:
    """Our error for typer's, raised for the command line `words`."""
    context = getattr(error, "ctx", None)
    called = f"inmateria {words[0]}" if words and not words[0].startswith("-") else "inmateria"
    helps = f"'{called if context is None else context.command_path} --help' shows what it takes"
    message = " ".join(error.format_message().split()).rstrip(".")
    parameter = getattr(error, "param", None)
    name = getattr(error, "option_name", None)
    if parameter is not None:
        names = [*parameter.opts, *parameter.secondary_opts]
        fix = _fix(parameter.name) or _by_type(parameter, message) or helps
        if type(error).__name__ == "MissingParameter":
            return InputError(parameter.name, None, "is missing", fix)
        problem = re.sub(r"^Invalid value(?: for [^:]*)?: (?:Value error, )?", "", message)
        problem = re.sub(r"^'[^']*' is not one of", "is not one of", problem)
        return InputError(parameter.name, _given(names, words), problem[:1].lower() + problem[1:], fix)
    if name is not None:
        if type(error).__name__ == "NoSuchOption":
            close = " or ".join(sorted(error.possibilities or ()))
            return InputError(name, name, "is no option", f"did you mean {close}?" if close else helps)
        return InputError(name, None, message[:1].lower() + message[1:], _fix(_field(name)) or helps)
    unknown = re.match(r"No such command '(.*?)'", message)
    if unknown:
        *others, last = error.ctx.command.list_commands(error.ctx)
        fix = did_you_mean(unknown[1], [*others, last], f"choose {', '.join(others)} or {last}")
        return InputError("command", unknown[1], "is no command", fix)
    extra = re.search(r"unexpected extra arguments?(?:\(s\))? \((.*)\)", message)
    if extra:
        return InputError("arguments", extra[1], "is too much", helps)
    return InputError("command line", " ".join(words), message[:1].lower() + message[1:], helps)


def _fix(field: str) -> str | None:
    """The example of an option or argument, where there is one."""
    if field == "gate":  # here and not above: a command line is answered also where a file shadows the room
        from learning.tasks.gates import GATES
        from learning.tasks.library import READY_MADE

        return f"give one of {', '.join(GATES)}; to learn also {', '.join(READY_MADE)} or a file"
    return _FIXES.get(field)


def _by_type(parameter: Any, message: str) -> str | None:
    """What an option or argument takes: its choices as the message lists them, or its least number."""
    *others, last = re.findall(r"'([^']*)'", message.partition("is not one of")[2]) or [""]
    if others:
        return f"choose {', '.join(others)} or {last}"
    least, most = (getattr(parameter, name, None) for name in ("min", "max"))
    if least is None:
        return None
    return f"give a whole number {f'of at least {least}' if most is None else f'from {least} to {most}'}"


def _field(option: str) -> str:
    return option.lstrip("-").replace("-", "_")


def _given(names: Sequence[str], words: Sequence[str]) -> str | None:
    """The value that stands behind one of an option's names."""
    for k, word in enumerate(words):
        for name in names:
            if word == name and k + 1 < len(words):
                return words[k + 1]
            if name.startswith("--") and word.startswith(f"{name}="):
                return word.partition("=")[2]
    return None
