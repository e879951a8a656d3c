"""From a table of commands to a command line; each command's file is loaded when it is called by name.

The file of a command, ``inmateria/commands/NAME.py``, has

- a dataclass `Options`, whose fields are its options, their types and helps in typer's words;
- a function ``run(options, frame)``, whose docstring is its help and which returns the command's document;
- `FILES`, what it writes into the folder of ``--out`` beside summary.json, if it does.

What such a file imports at its top is what its help waits for: nothing that computes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from importlib import import_module
from types import ModuleType
from typing import Annotated, Any, get_type_hints

import typer
from typer.core import TyperGroup

from inmateria import __version__
from inmateria.commands.frame import framed
from inmateria.rooms import require_rooms

_PLAIN: Any = {"add_completion": False, "pretty_exceptions_enable": False, "rich_markup_mode": None}


def make_app(table: Mapping[str, str]) -> typer.Typer:
    """The command line of a table: names of commands, and a line on each for the help."""

    class Commands(TyperGroup):
        def list_commands(self, ctx: Any) -> list[str]:
            return list(table)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            return load_command(cmd_name, table) if cmd_name in table else None

        def format_commands(self, ctx: Any, formatter: Any) -> None:
            with formatter.section("Commands"):
                formatter.write_dl(list(table.items()))

    app = typer.Typer(cls=Commands, name="inmateria", invoke_without_command=True, **_PLAIN)
    app.callback()(_main_options)
    return app


def load_command(name: str, table: Iterable[str]) -> Any:
    """The command `name` as typer has it; its folder is swept of the files of all commands of the table."""
    if name != "doctor":  # it alone runs where a file shadows a room
        require_rooms()
    module = _module(name)

    def known_files() -> list[str]:
        return [file for other in table for file in getattr(_module(other), "FILES", ())]

    alone = typer.Typer(**_PLAIN)
    alone.command(name)(_callback(name, module, known_files))
    return typer.main.get_command(alone)


def _module(name: str) -> ModuleType:
    return import_module(f"inmateria.commands.{name}")


def _callback(name: str, module: ModuleType, known_files: Callable[[], list[str]]) -> Any:
    """A function with the fields of the command's `Options` as its parameters, which is where typer looks for them."""

    def callback(context: typer.Context, **values: Any) -> None:
        said = {option for option in values if _was_said(context, option) and values[option] is not None}
        options = module.Options(**values)
        with framed(name, options, said, known_files) as frame:
            frame.end(module.run(options, frame))

    types = get_type_hints(module.Options, include_extras=True)
    parameters = [inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
    for field in fields(module.Options):
        made = inspect.Parameter.empty if field.default_factory is MISSING else field.default_factory()
        default = made if field.default is MISSING else field.default
        parameters.append(inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default,
                                            annotation=types[field.name]))  # fmt: skip
    callback.__doc__ = module.run.__doc__
    callback.__annotations__ = {}
    callback.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return callback


def _was_said(context: typer.Context, option: str) -> bool:
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def _version(show: bool) -> None:
    if show:
        typer.echo(f"inmateria {__version__}")
        raise typer.Exit


def _main_options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """SPICE-level simulation of circuits that learn.

    Example: inmateria learn XOR --out xor
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
