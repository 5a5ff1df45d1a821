"""Where a setting comes from: flag > SEAL_* > seal.toml > preset > the model's own > default.

The default is the one in `stages.config`; a model may bring a seal.toml of its own in its folder.
The presets lie in `seal_cli/presets`. Which settings a run takes is said where the run is defined
(`Takes`): the flags of the shell and the keywords of `seal_cli.api` are made from that.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import Field, fields
from itertools import takewhile
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from stages import config
from stages.domains import SETTINGS
from stages.engines import ENGINES
from stages.engines.settings import VllmConfig
from stages.errors import ConfigError
from stages.fields import Config
from stages.grading import GRADERS

C = TypeVar("C", bound=Config)

_CONFIGS: tuple[type[Config], ...] = (
    config.QuizConfig,
    config.GenerateConfig,
    config.AdaptConfig,
    *(cls for cls, _ in SETTINGS.values()),
    config.ScoreConfig,
    config.RewardConfig,
    config.FilterConfig,
    config.UpdateConfig,
    config.EvalConfig,
    config.CptConfig,
    config.ContinualConfig,
    config.LoopConfig,
    *(spec.config for spec in (*ENGINES.values(), *GRADERS.values()) if spec.config),
)
SECTIONS = {cls.SECTION: cls for cls in _CONFIGS}
# Where a section has nothing of its own, it is as another one.
_FALLBACK = {"judge": "endpoint"}
# Where texts go and at what cost is the user's to say, never a model folder's.
_NOT_OF_MODELS = ("endpoint", "judge")
# What may name a file, whose text a manifest holds: a model's folder may not say which.
_FILES = (("generate", "prompt"), ("quiz", "prompt"), ("filter", "query"), ("eval", "oracle"))
KEYS = ("SEAL_API_KEY", "SEAL_JUDGE_API_KEY")  # of servers: never settings
_RESERVED = ("SEAL_STORE", "SEAL_CONFIG", "SEAL_REMOTE", "SEAL_FAILPOINT", *KEYS)
DEFAULT_FILE = Path("seal.toml")
# Who works a run off, and of Ray's workers how many there are and what each has.
SPREAD = ("executor", "workers", "gpus_per_worker", "cpus_per_worker", "ray_address")
_PRESETS = Path(__file__).parent / "presets"
PRESETS = tuple(sorted(file.stem for file in _PRESETS.glob("*.toml")))


class Takes:
    """The settings that a run takes: the fields of its configurations, without those that it names.

    A name that several configurations have sets all of them. `models`: it runs some. `retries`: its
    failed rows can be run again; they can where it runs models. `shards`: it can be cut into some.
    `spreads`: its batches can go to workers elsewhere; they can where it can be cut. `choices`:
    those of a setting that are not always refused here.
    """

    def __init__(
        self,
        *configs: type[Config],
        models: bool = True,
        retries: bool | None = None,
        shards: bool = False,
        spreads: bool | None = None,
        without: Sequence[str] = (),
        choices: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        self.models, self.retries = models, models if retries is None else retries
        self.shards, self.spreads = shards, shards if spreads is None else spreads
        self.configs, self.choices = configs, choices
        self.fields: dict[str, dict[type[Config], Field[Any]]] = {}
        for cls in configs:
            for field in fields(cls):
                if field.name not in without:
                    self.fields.setdefault(field.name, {})[cls] = field

    @property
    def how(self) -> tuple[str, ...]:
        """How it may be asked to run: no setting, and in no key."""
        retried = ("retry_failed",) if self.retries else ()
        cut = ("shard", "merge_only") if self.shards else ()
        return ("force", "wait", *retried, *cut, *(SPREAD if self.spreads else ()))

    def flags(self, given: Mapping[str, Any]) -> dict[type[Config], dict[str, Any]]:
        """What was given, by configuration, without what only another of them has as a choice.

        `seal eval --engine scripted` says who writes; scripts cannot answer as an adapted model.
        Raises ConfigError for a setting that it does not take.
        """
        flags: dict[type[Config], dict[str, Any]] = {cls: {} for cls in self.configs}
        for name, value in given.items():
            if name not in self.fields:
                known = (*self.fields, *self.how)
                raise ConfigError(f"this run takes no {name!r}.", _meant(name, known))
            owners = {cls: f.metadata["choices"] for cls, f in self.fields[name].items()}
            fitting = [cls for cls, choices in owners.items() if not choices or value in choices]
            for cls in fitting or owners:
                flags[cls][name] = value
        return flags


class Settings:
    """Preset, file or mapping, environment and `--set`, checked once; nothing else is read."""

    def __init__(
        self,
        source: str | PathLike[str] | Mapping[str, Mapping[str, Any]] | None = None,
        assignments: Iterable[str] = (),
        environ: Mapping[str, str] | None = None,
        preset: str | None = None,
    ) -> None:
        self.tables: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
        if preset is not None:
            self._add(preset_tables(preset), f"the preset {preset}")
        if isinstance(source, Mapping):
            self._add(source, "the settings given")
        elif source is not None:
            self._add(_read(Path(source)), str(source))
        self._add(_from_environment(environ or {}), "the environment")
        self.overrides: dict[str, dict[str, Any]] = {}
        for assignment in assignments:
            section, values = _parse_assignment(assignment)
            self.overrides.setdefault(section, {}).update(values)

    def _add(self, tables: Mapping[str, Any], source: str) -> None:
        _check_tables(tables, source)
        for section, values in tables.items():
            self.tables[section].update(values)

    def resolve(
        self,
        cls: type[C],
        flags: Mapping[str, Any] | None = None,
        model: Path | None = None,
    ) -> C:
        """The configuration of one stage. Flags that are None were not given.

        `model` is a model's folder: a `seal.toml` in it stands in place of the defaults, as
        `generation_config.json` does elsewhere.
        """
        from pydantic import TypeAdapter, ValidationError

        section = cls.SECTION
        known = {field.name for field in fields(cls)}
        given = {k: v for k, v in (flags or {}).items() if v is not None and k in known}
        own = _of_model(model).get(section, {}) if model and section not in _NOT_OF_MODELS else {}
        values = (
            own | self._set(_FALLBACK.get(section, ""), known) | self._set(section, known) | given
        )
        try:
            return TypeAdapter(cls).validate_python(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ConfigError(
                f"{section}.{where} is {first['input']!r}: {first['msg']}.",
                "See the seal.toml that `seal init` writes."
                if cls is VllmConfig
                else f"See [{section}] in the seal.toml that `seal init` writes.",
            ) from error

    def _set(self, section: str, known: set[str]) -> dict[str, Any]:
        """What file, environment and `--set` say of the known keys of a section."""
        said = self.tables.get(section, {}) | self.overrides.get(section, {})
        return {key: value for key, value in said.items() if key in known}


def settings_file(environ: Mapping[str, str]) -> Path | None:
    """The settings file of the shell where none is named: that of SEAL_CONFIG, else ./seal.toml."""
    if environ.get("SEAL_CONFIG"):
        return Path(environ["SEAL_CONFIG"])
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def _of_model(folder: Path) -> dict[str, Any]:
    """The settings that a model brings along; most bring none."""
    file = folder / DEFAULT_FILE
    if not file.is_file():
        return {}
    tables = _read(file)
    _check_tables(tables, str(file))
    for section, key in _FILES:
        if not re.fullmatch(r"[\w-]*", str(tables.get(section, {}).get(key, ""))):
            raise ConfigError(
                f"{file} names a file in {section}.{key}, which a model must not.",
                f"Remove it there, and give --{key} FILE.",
            )
    return tables


def preset_tables(name: str) -> dict[str, Any]:
    """What a preset sets, by section. Raises ConfigError when there is none of this name."""
    if name not in PRESETS:
        raise ConfigError(f"there is no preset {name!r}.", _meant(name, PRESETS))
    return _read(_PRESETS / f"{name}.toml")


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"there is no {file}.", "Make one with `seal init`.") from error
    except (OSError, ValueError, RecursionError) as error:  # of tomllib, for digits and depth too
        raise ConfigError(
            f"{file} is not readable TOML: {error}.", "Correct it, or see `seal init`."
        ) from error


def _from_environment(environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """SEAL_GENERATE_MAX_TOKENS=64 -> {"generate": {"max_tokens": "64"}}."""
    tables: dict[str, dict[str, str]] = {}
    for variable, value in environ.items():
        if not variable.startswith("SEAL_") or variable in _RESERVED:
            continue
        section, _, key = variable.removeprefix("SEAL_").lower().partition("_")
        if section not in SECTIONS:
            if difflib.get_close_matches(section, SECTIONS, n=1):
                raise _unknown(f"variable {variable}", section, SECTIONS, "the environment")
            continue  # another program's
        tables.setdefault(section, {})[key] = value
    return tables


def _parse_assignment(assignment: str) -> tuple[str, dict[str, Any]]:
    """`adapt.epochs=3` -> ("adapt", {"epochs": 3}); what is not TOML is taken as a text."""
    name, equals, value = assignment.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot) or section not in SECTIONS:
        raise ConfigError(
            f"--set {name} is not understood.",  # not its value: it may be a key
            "Write --set section.key=value, e.g. adapt.epochs=3.",
        )
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        parsed = value.strip()
    values = {key.replace("-", "_"): parsed}
    _check_keys(section, values, "--set")
    return section, values


def _check_tables(tables: Mapping[str, Any], source: str) -> None:
    for section, values in tables.items():
        if section not in SECTIONS or not isinstance(values, Mapping):
            raise _unknown(f"table [{section}]", section, SECTIONS, source)
        _check_keys(section, values, source)


def _check_keys(section: str, values: Mapping[str, Any], source: str) -> None:
    known = [field.name for field in fields(SECTIONS[section])]
    for key in values:
        if key == "api_key":
            raise ConfigError(
                f"{source} has a key for [{section}], where it would be stored.",
                f"Set the environment variable {KEYS[section == 'judge']} instead.",
            )
        if key not in known:
            raise _unknown(f"key {key!r} in [{section}]", key, known, source)


def _unknown(what: str, word: str, known: Collection[str], source: str) -> ConfigError:
    return ConfigError(f"unknown {what} of {source}.", _meant(word, known))


def _meant(word: str, known: Collection[str]) -> str:
    """What a word is close to, if anything, and all words that are known."""
    close = difflib.get_close_matches(word, known, n=1)
    return "".join(f"Did you mean {name}? " for name in close) + f"Known: {', '.join(known)}."


def starter(preset: str | None = None) -> str:
    """A seal.toml with every key: those of the preset set, all others commented out at default."""
    tables = preset_tables(preset) if preset else {}
    lines = [
        "# Settings of seal. Precedence: flag, SEAL_<STAGE>_<KEY> variable, this file, --preset,",
        "# seal.toml in the model's folder (tiny brings one), default.",
        "# What is commented out is the default."
        + (f" What is not is the preset {preset}:" if preset else ""),
        *(_header(preset) if preset else ()),
    ]
    for section, cls in SECTIONS.items():
        lines += ["", f"[{section}]"]
        if section in _FALLBACK:
            lines.append(f"# What is not set here is as in [{_FALLBACK[section]}].")
        chosen = tables.get(section, {})
        for field in fields(cls):
            default = "" if field.default is None else toml_value(field.default)
            line = f"# {field.name} = {default}"
            if field.name in chosen:
                line = f"{field.name} = {toml_value(chosen[field.name])}"
            shown = field.metadata["shown"]
            text = field.metadata["help"] + (f" Default: {shown}." if shown else "")
            lines.append(line.ljust(36) + f"  # {text}")
    return "\n".join(lines) + "\n"


def _header(preset: str) -> list[str]:
    """The lines that a preset begins with: what it is, and for which commands."""
    text = (_PRESETS / f"{preset}.toml").read_text(encoding="utf-8")
    return ["#", *takewhile(lambda line: line.startswith("#"), text.splitlines())]


def toml_value(value: Any) -> str:
    """One plain value as TOML: JSON spells texts, numbers, true and false the same."""
    return json.dumps(value, ensure_ascii=False)
