"""Every option that two commands share, declared once.

`stage_command` gives a command its session and the flags of its configurations: they are made from
the fields in `stages.config`, so their names, help and defaults stand in one place.
"""

import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from seal_cli import console
from seal_cli.execution.runner import RunOptions
from seal_cli.session import Session
from seal_cli.settings import PRESETS, Settings
from seal_cli.store.workspace import Workspace
from stages.engines.settings import ServerConfig
from stages.errors import ConfigError
from stages.fields import Config

ContextsArg = Annotated[
    str, typer.Argument(metavar="CONTEXTS", help="An artifact: id, prefix, @latest:import, or -.")
]
SelfEditsArg = Annotated[
    str,
    typer.Argument(metavar="SELF_EDITS", help="An artifact: id, prefix, @latest:generate, or -."),
]
PolicyOption = Annotated[
    str, typer.Option("--policy", help="Model folder, hub name, update artifact, or tiny.")
]
StudentOption = Annotated[
    str | None,
    typer.Option("--student", help="Model to adapt, if not the one that wrote the self-edits."),
]
SecondsOption = Annotated[
    float, typer.Option("--timeout", min=0.1, help="Seconds a query may take.")
]

_PRESET = typer.Option(
    "--preset",
    metavar="NAME",
    help=f"Settings that give way to the settings file's, by name: {', '.join(PRESETS)}.",
)
PresetOption = Annotated[str | None, _PRESET]

# name -> (type, option, default): what every stage command takes besides its own; those that run no
# model do without the first two, those whose rows would fail again without the third.
_OF_MODELS = ("device", "dtype")
_SHARED: dict[str, tuple[Any, Any, Any]] = {
    "device": (
        str,
        typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps."),
        "auto",
    ),
    "dtype": (
        str,
        typer.Option(
            "--dtype",
            help="auto (the checkpoint's), float32, bfloat16, float16.",
        ),
        "auto",
    ),
    "force": (
        bool,
        typer.Option(
            "--force",
            help="Run again even if it is there already; gives a new id.",
        ),
        False,
    ),
    "retry_failed": (
        bool,
        typer.Option(
            "--retry-failed",
            help="Run failed rows again; gives a new id.",
        ),
        False,
    ),
    "wait": (
        bool,
        typer.Option(
            "--wait",
            help="Wait for another process that makes the same artifact.",
        ),
        False,
    ),
    "strict": (
        bool,
        typer.Option(
            "--strict", help="Exit 4 when rows failed, or files of an import were left out."
        ),
        False,
    ),
    "config_file": (
        Path | None,
        typer.Option(
            "--config",
            help="Settings file [default: SEAL_CONFIG, or ./seal.toml if it exists].",
        ),
        None,
    ),
    "preset": (str | None, _PRESET, None),
    "assignments": (
        list[str],
        typer.Option(
            "--set",
            metavar="SECTION.KEY=VALUE",
            help="Override one setting; repeatable.",
        ),
        (),
    ),
    "as_json": (
        bool,
        typer.Option(
            "--json",
            help="Print a JSON object instead of the id.",
        ),
        False,
    ),
    "quiet": (
        bool,
        typer.Option(
            "--quiet",
            "-q",
            help="No talk and no progress on stderr.",
        ),
        False,
    ),
}


def stage_command(
    function: Callable[..., None],
    *configs: type[Config],
    models: bool = True,
    retries: bool | None = None,
    without: Sequence[str] = (),
) -> Callable[..., None]:
    """Turn `f(session, <own parameters>)` into a Typer command with a flag per config field.

    The function asks `session.resolve(SomeConfig, model)` for a configuration; the flags given on
    the command line are in it. Without `models` it loads none; `retries` (with models, where it is
    not said) is whether failed rows can be run again. Fields named in `without`
    decide nothing here and get no flag.
    """
    own = dict(inspect.signature(function, eval_str=True).parameters)
    del own["session"]
    plain = [p.replace(kind=p.KEYWORD_ONLY) for p in own.values()]
    flags = {name: flag for name, flag in _flags(configs).items() if name not in without}
    retries = models if retries is None else retries
    left_out = {*(() if models else _OF_MODELS), *(() if retries else ("retry_failed",))}
    if all(issubclass(cls, ServerConfig) for cls in configs):
        left_out.add("preset")  # none says anything about servers
    taken = [name for name in _SHARED if name not in left_out]
    shared = [_parameter(name, *_SHARED[name]) for name in taken]

    @functools.wraps(function)
    def command(**given: Any) -> None:
        run = {name: given.pop(name, default) for name, (_, _, default) in _SHARED.items()}
        chosen = {name: given.pop(name) for name in flags}
        session = _session(given.pop("ctx"), run, _for_each(configs, chosen))
        function(session, **_stdin(given))

    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [context, *plain, *flags.values(), *shared]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _flags(configs: Sequence[type[Config]]) -> dict[str, inspect.Parameter]:
    """One flag per field name; a name that several configurations have sets all of them."""
    flags: dict[str, inspect.Parameter] = {}
    for cls in configs:
        hints = get_type_hints(cls)
        for field in fields(cls):
            choices = field.metadata["choices"]
            text = field.metadata["help"] + (f": {', '.join(choices)}" if choices else "")
            name = field.name.replace("_", "-")
            flag = typer.Option(
                f"--{name}/--no-{name}" if hints[field.name] is bool else f"--{name}",
                help=text if field.default is None else f"{text} [default: {field.default}]",
                show_default=False,
            )
            flags.setdefault(
                field.name, _parameter(field.name, hints[field.name] | None, flag, None)
            )
    return flags


def _for_each(
    configs: Sequence[type[Config]], chosen: Mapping[str, Any]
) -> dict[type[Config], dict[str, Any]]:
    """The flags for each configuration, without what only another of them has as a choice.

    `seal eval --engine scripted` says who writes; scripts cannot wear what is examined.
    """
    given: dict[type[Config], dict[str, Any]] = {cls: {} for cls in configs}
    for name, value in chosen.items():
        choices = {
            cls: field.metadata["choices"]
            for cls in configs
            for field in fields(cls)
            if field.name == name
        }
        fitting = [cls for cls, known in choices.items() if not known or value in known]
        for cls in fitting or choices:
            given[cls][name] = value
    return given


def _parameter(name: str, kind: Any, option: Any, default: Any) -> inspect.Parameter:
    annotation = Annotated[kind, option]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def _session(
    ctx: typer.Context, run: dict[str, Any], flags: Mapping[type[Config], Mapping[str, Any]]
) -> Session:
    console.configure(quiet=run["quiet"])
    return Session(
        workspace=store_of(ctx),
        settings=Settings(run["config_file"], run["assignments"], preset=run["preset"]),
        options=RunOptions(run["force"], run["retry_failed"], run["wait"], run["strict"]),
        flags=flags,
        device=run["device"],
        dtype=run["dtype"],
        as_json=run["as_json"],
    )


def store_of(ctx: typer.Context) -> Workspace:
    """The store that `--store` or SEAL_STORE named."""
    workspace: Workspace = ctx.find_root().obj
    return workspace


def _stdin(given: dict[str, Any]) -> dict[str, Any]:
    """Arguments with `-` replaced by the id on stdin."""
    dashes = [name for name, value in given.items() if value == "-"]
    if len(dashes) > 1:
        raise ConfigError(
            "only one argument can be read from stdin.", "Give the other ids as text."
        )
    return given | {name: from_stdin() for name in dashes}


def from_stdin() -> str:
    """The one id on stdin.

    Raises:
        ConfigError: none or several; an empty stdin means that the stage before failed.

    """
    ids = sys.stdin.read().split()
    if len(ids) != 1:
        what = "nothing" if not ids else f"{len(ids)} words"
        raise ConfigError(
            f"stdin had {what} where one id was expected.",
            "Look at what the command before the pipe said.",
        )
    return ids[0]
