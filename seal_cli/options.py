"""Every option that two commands share, and what makes a command of a verb and its settings."""

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, redirect_stdout
from dataclasses import Field
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from seal_cli import console
from seal_cli.api import Seal
from seal_cli.results import Made
from seal_cli.settings import PRESETS, SPREAD, Settings, Takes, settings_file
from seal_cli.store.workspace import Workspace, store_at
from stages.config import EvalConfig
from stages.engines.settings import ServerConfig
from stages.errors import ConfigError
from stages.fields import Config

# Where the settings of a section stand in help texts.
_PANELS = {
    "quiz": "Questions", "generate": "Sampling", "adapt": "LoRA", "arc": "ARC", "score": "Grading",
    "filter": "Selection", "update": "Finetuning", "eval": "Evaluation",
    "cpt": "Continued pretraining", "vllm": "Server", "endpoint": "Server", "judge": "Server",
}  # fmt: skip
ArtifactArg = Annotated[
    str, typer.Argument(metavar="ARTIFACT", help="Its id, a prefix, @latest:<stage>, or -.")
]
ContextsArg = Annotated[
    str, typer.Argument(metavar="CONTEXTS", help="An artifact: id, prefix, @latest:import, or -.")
]
SelfEditsArg = Annotated[
    str,
    typer.Argument(metavar="SELF_EDITS", help="An artifact: id, prefix, @latest:generate, or -."),
]
PolicyOption = Annotated[
    str,
    typer.Option(
        "--policy",
        help="Model folder, hub name, update artifact, or tiny.",
        rich_help_panel="Model",
    ),
]
StudentOption = Annotated[
    str | None,
    typer.Option(
        "--student",
        help="Model to adapt, if not the one that wrote the self-edits.",
        rich_help_panel="Model",
    ),
]
ProbeOption = Annotated[
    str | None,
    typer.Option(
        "--probe",
        metavar="CONTEXTS",
        help="Held-out contexts; also report how adapting changes accuracy on them. --probe-limit "
        "of them are asked about.",
        rich_help_panel="Grading",
    ),
]
ProxyOption = Annotated[
    str | None,
    typer.Option(
        "--proxy-model",
        help="For --reward proxy: the model that judges the texts.",
        rich_help_panel="Model",
    ),
]
AllowOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-split",
        metavar="NAME",
        help="Learn from passages of this evaluation split anyway; repeatable.",
    ),
]
SecondsOption = Annotated[
    float, typer.Option("--timeout", min=0.1, help="Seconds a query may take.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print a JSON object.")]
DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda or mps.")]
RemoteOption = Annotated[
    str | None,
    typer.Option(
        "--remote",
        metavar="URL",
        envvar="SEAL_REMOTE",
        help="A shared place: fetch from it what is missing, send to it what was made.",
    ),
]
ClosureFlag = Annotated[
    bool, typer.Option("--closure/--no-closure", help="With everything they were made from.")
]
WeightsFlag = Annotated[
    bool, typer.Option("--no-weights", help="Tables only; weights can follow later.")
]
ModelsFlag = Annotated[
    bool, typer.Option("--with-models", help="With the base models, which are left out otherwise.")
]
QuietFlag = Annotated[
    bool, typer.Option("--quiet", "-q", help="No messages and no progress on stderr.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override one setting; repeatable."),
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help=f"Named settings, below the settings file: {', '.join(PRESETS)}.",
    ),
]


def _of_all(
    *,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    dtype: Annotated[
        str,
        typer.Option("--dtype", help="auto (the checkpoint's), float32, bfloat16, float16, nf4."),
    ] = "auto",
    force: Annotated[
        bool,
        typer.Option("--force", help="Run again even if the artifact exists; gives a new id."),
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run failed rows again; gives a new id.")
    ] = False,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Wait for another process that makes the same artifact."),
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="I/N",
            help="Run part I of N only, from 1; the same command without it merges the parts.",
        ),
    ] = None,
    merge_only: Annotated[
        bool,
        typer.Option("--merge-only", help="Only merge shards; exit 3 where one is missing."),
    ] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Exit 4 when rows failed, or files of an import were left out."
        ),
    ] = False,
    remote: RemoteOption = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="Settings file. [default: SEAL_CONFIG, or ./seal.toml if it exists]",
        ),
    ] = None,
    preset: PresetOption = None,
    assignments: SetOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object instead of the id.")
    ] = False,
    quiet: QuietFlag = False,
) -> None:
    """What every stage command takes besides its own."""


def _of_workers(
    *,
    executor: Annotated[
        str | None, typer.Option("--executor", help="local or ray. [default: local]")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", help="Ray actors. [default: one per GPU, else per CPU]"),
    ] = None,
    gpus_per_worker: Annotated[
        float | None,
        typer.Option("--gpus-per-worker", help="GPUs of each. [default: 1 if there are any]"),
    ] = None,
    cpus_per_worker: Annotated[
        float | None, typer.Option("--cpus-per-worker", help="CPUs of each. [default: 1]")
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray-address",
            metavar="HOST:PORT",
            help="A Ray cluster. [default: RAY_ADDRESS, else one is started on this machine]",
        ),
    ] = None,
) -> None:
    """What stage commands that can be spread over workers take for it."""


def _shared() -> dict[str, inspect.Parameter]:
    """The parameters of both, each option in its section of the help."""
    found = {}
    for function, section in ((_of_all, "Run"), (_of_workers, "Workers")):
        for name, parameter in inspect.signature(function).parameters.items():
            (option,) = parameter.annotation.__metadata__
            option.rich_help_panel = "Model" if name in ("device", "dtype") else section
            found[name] = parameter
    return found


_OF_ALL = _shared()
_HOW = ("retry_failed", "shard", "merge_only", *SPREAD)  # not every run can be run so
_OF_SEAL = ("assignments", "config", "preset", "device", "dtype", "remote")


def stage_command(
    takes: Takes, verb: Callable[..., Made]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of a verb of `Seal`: a function declares its names, and does nothing more."""
    flags = _flags(takes)
    left_out = {*(() if takes.models else ("device", "dtype"))}
    left_out |= set(_HOW) - set(takes.how)
    if all(issubclass(cls, ServerConfig) for cls in takes.configs):
        left_out.add("preset")  # none says anything about servers
    shared = [p for name, p in _OF_ALL.items() if name not in left_out]

    def made(function: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(function, eval_str=True).parameters

        @functools.wraps(function)
        def command(ctx: typer.Context, **given: Any) -> None:
            run = {name: given.pop(name, p.default) for name, p in _OF_ALL.items()}
            console.configure(quiet=run["quiet"])
            settings = {name: given.pop(name) for name in flags}
            settings |= {name: run[name] for name in takes.how}
            seal = seal_of(ctx, **{name: run[name] for name in _OF_SEAL})
            names = {name: value for name, value in given.items() if value is not None}
            with closing(seal), redirect_stdout(sys.stderr):  # stdout is for the id alone
                found = verb(seal, **_stdin(names), **settings)
            if run["as_json"]:
                for told in found.told():
                    console.out_json(told)
            else:
                console.out(str(found))
            if run["strict"]:
                found.check()
            found.check_any()

        context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        plain = [p.replace(kind=p.KEYWORD_ONLY) for p in own.values()]
        parameters = [context, *plain, *flags.values(), *shared]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return made


def _flags(takes: Takes) -> dict[str, inspect.Parameter]:
    """A flag for each setting; of a name that several configurations have, as the first has it."""
    flags = {}
    for name, owners in takes.fields.items():
        cls, field = next(iter(owners.items()))
        kind = get_type_hints(cls)[name]
        flag = name.replace("_", "-")
        option = typer.Option(
            f"--{flag}/--no-{flag}" if kind is bool else f"--{flag}",
            help=_text(owners, takes.choices.get(name) or field.metadata["choices"]),
            show_default=False,
            rich_help_panel=_PANELS.get(cls.SECTION, cls.SECTION.capitalize()),
        )
        flags[name] = inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[kind | None, option],
        )
    return flags


def _text(owners: Mapping[type[Config], Field[Any]], choices: Sequence[str]) -> str:
    """What help says of a setting, with each default that it has."""
    (cls, field), *_ = owners.items()
    text = field.metadata["help"] + (f" One of {', '.join(choices)}." if choices else "")
    defaults = {one.SECTION: _default(f) for one, f in owners.items()}
    first = defaults.pop(cls.SECTION)
    others = [f"; {name} {other}" for name, other in defaults.items() if other not in ("", first)]
    more = "" if cls is EvalConfig else "".join(others)  # its own stand in place of the others'
    return f"{text} [default: {first}{more}]" if first else text


def _default(field: Field[Any]) -> str:
    if isinstance(field.default, bool):
        return "on" if field.default else "off"
    return str(field.metadata["shown"] or ("" if field.default is None else field.default))


def seal_of(
    ctx: typer.Context,
    assignments: Iterable[str] | None,
    config: Path | None = None,
    preset: str | None = None,
    **where: Any,
) -> Seal:
    """The store with the settings of the command, of a settings file and of the environment."""
    file = config or settings_file(os.environ)
    settings = Settings(file, assignments or (), os.environ, preset)
    where |= {"environ": os.environ, "argv": sys.argv[1:]}
    return Seal(store_of(ctx).root, settings, **where)


def store_of(ctx: typer.Context) -> Workspace:
    """The store that `--store` or SEAL_STORE named."""
    return store_at(ctx.find_root().obj)


def _stdin(given: dict[str, Any]) -> dict[str, Any]:
    """Arguments with `-` replaced by the id on stdin."""
    dashes = [name for name, value in given.items() if value == "-"]
    if len(dashes) > 1:
        raise ConfigError(
            "only one argument can be read from stdin.", "Give the other ids as text."
        )
    return given | {name: from_stdin() for name in dashes}


def ids_and_url(given: list[str]) -> tuple[list[str], str]:
    """The ids before a URL; the URL of SEAL_REMOTE where the last is none."""
    url = given.pop() if "://" in given[-1] else os.environ.get("SEAL_REMOTE", "")
    if not url or not given:
        what = "artifact" if url else "URL"
        raise ConfigError(f"no {what} is given.", "Write one or more ids, then a URL.")
    return [from_stdin() if one == "-" else one for one in given], url


def from_stdin() -> str:
    """The one id on stdin. Raises ConfigError for several, or none: the stage before failed."""
    ids = console.piped().split()
    if len(ids) != 1:
        what = "nothing" if not ids else f"{len(ids)} words"
        raise ConfigError(
            f"stdin had {what} where one id was expected.",
            "Look at what the command before the pipe said.",
        )
    return ids[0]
