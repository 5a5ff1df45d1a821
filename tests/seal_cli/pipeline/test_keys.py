"""Every setting is in the key of the runs that hold it, or it decides no row."""

import math
from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import elsewhere
import pytest
from typer.testing import CliRunner

from seal_cli.app import app
from seal_cli.execution.key import parts_of
from seal_cli.execution.runner import Runner
from seal_cli.execution.runtime import Runtime
from seal_cli.execution.spec import StageSpec
from seal_cli.settings import SECTIONS
from seal_cli.store.schema import TABLES
from stages.engines.settings import VllmConfig
from stages.errors import ConfigError
from stages.fields import Config

# What a run holds in a field of its own: a command, and two settings that it tells apart. A model
# with a chat template is asked for in both of those about `chat`.
ELSEWHERE = {
    ("quiz", "prompt"): (["quiz", "{contexts}"], "--prompt", "{folder}/one", "{folder}/other"),
    ("quiz", "engine"): (["quiz", "{contexts}"], "--engine", "transformers", "scripted"),
    ("quiz", "grader"): (["quiz", "{contexts}"], "--grader", "f1", "exact"),
    ("quiz", "chat"): (["quiz", "{contexts}"], "--chat", "on", "off"),
    ("generate", "prompt"): (["generate", "{contexts}"], "--prompt", "rewrite", "self-qa"),
    ("generate", "engine"): (["generate", "{contexts}"], "--engine", "transformers", "scripted"),
    ("generate", "chat"): (["generate", "{contexts}"], "--chat", "on", "off"),
    ("adapt", "targets"): (["adapt", "{generate}"], "--targets", "q_proj", "v_proj"),
    ("adapt", "chat"): (["adapt", "{generate}", "--student"], "--chat", "on", "off"),
    ("score", "grader"): (["score", "{adapt}"], "--grader", "f1", "exact"),
    ("score", "engine"): (["score", "{adapt}"], "--engine", "transformers", "vllm"),
    ("score", "chat"): (["score", "{generate}", "--student"], "--chat", "on", "off"),
    ("score", "probe_limit"): (
        ["score", "{adapt}", "--probe", "{held-out}"], "--probe-limit", "1", "2",
    ),
    ("filter", "query"): (
        ["filter", "{score}", "--rule", "sql"], "--query", "{folder}/one", "{folder}/other",
    ),
    ("update", "targets"): (["update", "{filter}"], "--targets", "q_proj", "v_proj"),
    ("eval", "oracle"): (
        ["eval", "tiny-grids", "{grids}"], "--oracle", "{folder}/one", "{folder}/other",
    ),
}  # fmt: skip
EDITS = ["score", "{generate}", "--repeats", "2"]
HALVING, BOUNDS = ([*EDITS, "--racing", how] for how in ("halving", "bounds"))
PROXY = ["score", "{generate}", "--reward", "proxy", "--proxy-model", "tiny"]
ELSEWHERE |= {  # a reward is held by name, with the race or the judge that goes with it
    ("reward", "reward"): (EDITS, "--reward", "accuracy", "gain"),
    ("reward", "racing"): (EDITS, "--racing", "off", "halving"),
    ("reward", "racing_keep"): (HALVING, "--racing-keep", "0.5", "0.4"),
    ("reward", "racing_confidence"): (BOUNDS, "--racing-confidence", "0.5", "0.4"),
    ("reward", "proxy_engine"): (PROXY, "--proxy-engine", "transformers", "scripted"),
    ("reward", "proxy_tokens"): (PROXY, "--proxy-tokens", "128", "64"),
}
ONLY = {("update", "objective")}  # one choice; `tests/test_additions.py` adds another
TOUCHED = {  # how, not what; limits of servers are never reached
    "decode_batch": 5,
    "slots": "3",
    "concurrency": 3,
    "attempts": 2,
    "timeout": 300.0,
    "requests_per_minute": 60_000.0,
    "request_budget": 1_000,
    "token_budget": 1_000_000,
}


class Planned(Exception):
    """A run that is not to be made."""


def changed(value: Any, config: Config, touched: Config) -> Any:
    """A spec, or a part of one, with another configuration in place of `config`."""
    if value is config:
        return touched
    if isinstance(value, tuple):
        return tuple(changed(item, config, touched) for item in value)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    inside = {f.name: changed(getattr(value, f.name), config, touched) for f in fields(value)}
    different = {k: v for k, v in inside.items() if v is not getattr(value, k)}
    return replace(value, **different) if different else value


def others(field: Field[Any], value: Any) -> Iterator[Any]:
    """Values that a setting could have instead."""
    yield from (one for one in field.metadata["choices"] if one != value)
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, value - 1, value / 2)
    elif value is None:
        yield from (1, "other")
    else:
        yield from (f"{value}other", "2", "exact")


def with_another(config: Config, field: Field[Any]) -> Config | None:
    """The configuration with another value of one setting; None where the others forbid it."""
    now = getattr(config, field.name)
    for value in others(field, now):
        try:
            other = replace(config, **{field.name: value})
        except (ConfigError, TypeError):
            continue
        if getattr(other, field.name) != now:
            return other
    return None


def test_a_setting_changes_the_key_or_is_declared_not_to(runs: Any) -> None:
    seen = set()
    for spec in runs.specs.values():
        for config in parts_of(spec, Config):
            for field in fields(config):
                touched = with_another(config, field)
                if touched is None:
                    continue
                other = changed(spec, config, touched)
                assert (other.key() != spec.key()) == field.compare, (spec, field.name)
                seen.add((config.SECTION, field.name))
    # A loop is no run; of [reward] see ELSEWHERE; vllm is not among these commands.
    held = {(name, f.name) for name, cls in SECTIONS.items() for f in fields(cls)}
    assert {section for section, _ in held - seen - ONLY} == {"loop", "reward", "vllm"}


def test_settings_that_a_run_holds_elsewhere_are_all_known() -> None:
    found = {
        (name, field.name)
        for name, cls in SECTIONS.items()
        for field in fields(cls)
        if name == "reward" or not (field.compare or field.metadata["volatile"])
    }
    assert found == {*ELSEWHERE, *ONLY}


@pytest.fixture(scope="module")
def folder(runs: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    (folder / "one").write_text("SELECT self_edit_id FROM rewards -- {context}")
    (folder / "other").write_text("SELECT self_edit_id FROM rewards -- {context}, too")
    return folder


@pytest.mark.parametrize("setting", ELSEWHERE, ids="-".join)
def test_settings_held_elsewhere_change_the_key(
    setting: tuple[str, str],
    runs: Any,
    folder: Path,
    chat_model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command, flag, *values = ELSEWHERE[setting]
    model = str(chat_model) if flag == "--chat" else "tiny"

    def key(value: str) -> Any:
        given = {"folder": folder} | {k: v["stdout"].strip() for k, v in runs.left.items()}
        said = [part.format(**given) for part in [*command, flag, value]]
        if command[-1] == "--student":
            said.insert(said.index("--student") + 1, model)
        elif command[0] in ("quiz", "generate"):
            said += ["--policy", model]
        planned: list[StageSpec] = []

        def note(runner: Runner, spec: StageSpec, *check: Any) -> None:
            planned.append(spec)
            raise Planned

        monkeypatch.setattr(Runner, "run", note)
        done = CliRunner().invoke(app, ["--store", str(runs.store.root), *said])
        assert isinstance(done.exception, Planned), (said, done.output)
        return planned[0].key()

    one, other = map(key, values)
    assert one != other
    assert key(values[0]) == one


def test_how_a_run_is_worked_off_decides_no_row(runs: Any) -> None:
    runtime, touched = Runtime(runs.store, "cpu"), set()
    retried = {runs.left[name]["stdout"].strip() for name in ("failing-again", "failing-strict")}
    for made, spec in runs.specs.items():
        other = spec
        for config in parts_of(spec, Config):
            how = {f.name: TOUCHED[f.name] for f in fields(config) if f.name in TOUCHED}
            if hasattr(config, "base_url"):
                how["base_url"] = config.base_url.replace("127.0.0.1", "localhost")
            other = changed(other, config, replace(config, **how))
            touched |= {(config.SECTION, name) for name in how}
        if other is spec or made in retried:  # rows of two attempts
            continue
        artifact = runs.store.artifact(made)
        before = [row for table in artifact.tables for row in artifact.rows(TABLES[table])]
        after = elsewhere.work_off(other, runs.store, runtime)
        assert_same(elsewhere.comparable(after), elsewhere.comparable(before), made)
    wanted = {
        (name, field.name)
        for name, cls in SECTIONS.items()
        if cls is not VllmConfig  # tests/vllm
        for field in fields(cls)
        if field.metadata["volatile"]
    }
    assert touched == wanted


def assert_same(one: Any, other: Any, where: object) -> None:
    """Equal, floats to 1e-4 relative."""
    assert type(one) is type(other), where
    if isinstance(one, float):
        assert math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-9), (where, one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for name in one:
            assert_same(one[name], other[name], (where, name))
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for place, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, (where, place))
    else:
        assert one == other, where
