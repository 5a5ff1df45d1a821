"""Commands that are imported when they are called, and help in sections.

Typer's own group imports every command for its help. Its panels leave an option's text 19 of 80
columns; plain sections leave it 46.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command_from_info
from typer.models import CommandInfo

# The sections of a help text that stand first and last; the stages' settings are between them.
FIRST, LAST = ("Arguments", "Options", "Model"), ("Server", "Run", "Workers")


def _elsewhere(ctx: typer.Context, store: Path | None) -> None:
    if store is not None:
        ctx.find_root().obj = store


def of_each(
    store: Annotated[
        Path | None,
        typer.Option(
            "--store",
            help="The store's folder; it may stand before the command, too.",
            callback=_elsewhere,
            expose_value=False,
            rich_help_panel="Run",
        ),
    ] = None,
) -> None:
    """What every command takes, and every group of commands."""


def made(function: Callable[..., Any], name: str | None = None) -> Any:
    """The command of a function."""
    info = CommandInfo(name=name, callback=function, cls=Sectioned)
    return get_command_from_info(info, pretty_exceptions_short=False, rich_markup_mode=None)


class Sectioned(TyperCommand):
    """A command whose options stand in sections, by `rich_help_panel`."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then each section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            kind = "Arguments" if param.param_type_name == "argument" else "Options"
            if record is not None:
                panel = getattr(param, "rich_help_panel", None) or kind
                panel = "Run" if param.name == "help" else panel
                sections.setdefault(panel, []).append(record)
        between = [name for name in sections if name not in FIRST + LAST]
        for name in (*FIRST, *between, *LAST):
            if name in sections:
                with formatter.section(name):
                    formatter.write_dl(sections[name])


class Group(TyperGroup):
    """A group of commands that knows their names and first lines, and imports what is called."""

    # By section: the name, `module:function` in seal_cli.commands, the first line of its help.
    TABLE: ClassVar[dict[str, dict[str, tuple[str, str]]]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        """Every name, in the order of the table."""
        return [name for commands in self.TABLE.values() for name in commands]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name, imported; None where there is none."""
        if cmd_name in self.commands:
            return self.commands[cmd_name]
        for commands in self.TABLE.values():
            if cmd_name in commands:
                module, _, function = commands[cmd_name][0].partition(":")
                found = getattr(import_module(f"seal_cli.commands.{module}"), function)
                command = made(found, cmd_name)
                command.params += made(of_each).params
                self.commands[cmd_name] = command
                return command
        return None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a command, or say which one was meant."""
        known: dict[str, Any] = dict.fromkeys(self.list_commands(ctx))
        if args and args[0] not in known:
            self.commands = {**known, **self.commands}  # the names that Typer suggests from
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the table, a section each."""
        for section, commands in self.TABLE.items():
            with formatter.section(section):
                formatter.write_dl([(name, line) for name, (_, line) in commands.items()])
