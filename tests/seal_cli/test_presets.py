"""`--preset`: what comes before it and after it, on which commands, and as a settings file."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from seal_cli.settings import PRESETS, SECTIONS, Settings, preset_tables, starter
from stages.config import AdaptConfig, GenerateConfig, ScoreConfig
from stages.errors import ConfigError

STAGES = ("quiz", "generate", "adapt", "score", "filter", "update", "eval", "loop", "init")


def test_the_nearest_source_wins(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "seal.toml").write_text("[generate]\nsamples = 1\nseed = 1\n[adapt]\nepochs = 7\n")
    file = tmp_path / "mine.toml"
    file.write_text("[generate]\ntemperature = 0.3\nmax_tokens = 3\n")
    environ = {"SEAL_GENERATE_MAX_TOKENS": "4"}
    found = Settings(file, (), environ, preset="paper-arc")
    config = found.resolve(GenerateConfig, {"top_p": 0.5}, model)
    assert config.top_p == 0.5  # flag
    assert config.max_tokens == 4  # environment
    assert config.temperature == 0.3  # file
    assert config.samples == 15  # preset
    assert config.seed == 1  # the model's own
    assert config.decode_batch == GenerateConfig().decode_batch
    adapting = found.resolve(AdaptConfig, None, model)
    assert (adapting.rank, adapting.epochs) == (128, 7)
    assert Settings(file, (), {}).resolve(GenerateConfig).samples == GenerateConfig().samples


def test_a_flag_takes_back_what_a_preset_switched_on() -> None:
    found = Settings(None, (), {}, preset="paper-arc")
    assert found.resolve(ScoreConfig).voting
    assert not found.resolve(ScoreConfig, {"voting": False}).voting


@pytest.mark.parametrize("command", STAGES)
def test_every_stage_takes_one(seal: Any, command: str) -> None:
    assert "--preset" in seal(command, "--help").out


@pytest.mark.parametrize("command", [("import", "contexts"), ("import", "official"), ("regrade",)])
def test_commands_that_none_says_anything_about_take_none(seal: Any, command: Any) -> None:
    assert "--preset" not in seal(*command, "--help").out


@pytest.mark.parametrize(
    "command", [("generate", "x", "--policy", "tiny"), ("filter", "x"), ("init",)]
)
def test_an_unknown_name_is_an_error_that_lists_them(
    seal: Any, command: Any, tmp_path: Path
) -> None:
    result = seal(*command, "--preset", "paper-ark")
    assert result.code == 2
    assert "paper-arc?" in result.err
    assert all(name in result.err for name in PRESETS)
    assert not (tmp_path / "store").exists()
    with pytest.raises(ConfigError, match="no preset"):
        Settings(None, (), {}, preset="../tiny/seal")


def test_it_decides_what_a_stage_does_and_is_in_its_key(
    seal: Any, passages: Path, random_model: Path, tmp_path: Path
) -> None:
    contexts = seal("import", "contexts", passages, "--limit", 1).id
    scripted = ["--policy", random_model, "--engine", "scripted", "--max-tokens", 8]
    preset = ["--preset", "paper-arc"]
    plain = seal("generate", contexts, *scripted).id
    paper = seal("generate", contexts, *scripted, *preset).id
    assert plain != paper
    count = f"select count(*) from self_edits where artifact_id = '{paper}'"
    assert seal("sql", count, "-f", "csv").out.split()[1] == "15"
    shown = tomllib.loads(seal("show", paper, "--config").out)
    assert (shown["generate"]["samples"], shown["generate"]["temperature"]) == (15, 0.8)
    fewer = seal("generate", contexts, *scripted, *preset, "--samples", 2).id
    count = f"select count(*) from self_edits where artifact_id = '{fewer}'"
    assert seal("sql", count, "-f", "csv").out.split()[1] == "2"
    (tmp_path / "cwd/seal.toml").write_text(starter("paper-arc"))
    assert seal("generate", contexts, *scripted).id == paper


@pytest.mark.parametrize("name", PRESETS)
def test_init_writes_its_values(seal: Any, name: str, tmp_path: Path) -> None:
    assert seal("init", "--preset", name).code == 0
    file = tmp_path / "cwd/seal.toml"
    assert {k: v for k, v in tomllib.loads(file.read_text()).items() if v} == preset_tables(name)
    mine, theirs = Settings(file, (), {}), Settings(None, (), {}, preset=name)
    for cls in SECTIONS.values():
        assert mine.resolve(cls) == theirs.resolve(cls)
    assert "# Peak learning rate." in file.read_text()
    assert seal("init", "--preset", name).code == 0  # the same file
    file.write_text("[adapt]\nrank = 3\n")
    refused = seal("init", "--preset", name)
    assert refused.code == 2
    assert "--config" in refused.err
    assert file.read_text() == "[adapt]\nrank = 3\n"


def test_they_lie_in_the_package() -> None:
    root = Path(__file__).parents[2]
    build = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "presets/*.toml" in build["package-data"]["seal_cli"]
    assert not list((root / "examples").glob("**/paper-*.toml"))


def test_flags_of_another_domain_are_refused(seal: Any, passages: Path, random_model: Path) -> None:
    contexts = seal("import", "contexts", passages, "--limit", 1).id
    scripted = ["--policy", random_model, "--engine", "scripted", "--samples", 1]
    assert seal("generate", contexts, *scripted, "--system-message").code == 2
    edits = seal("generate", contexts, *scripted).id
    for flags in (["--grids", "lists"], ["--no-own-first"], ["--reorder"]):
        result = seal("adapt", edits, *flags)
        assert result.code == 2
        assert flags[0].replace("no-", "") in result.err
    assert json.loads(seal("show", edits, "--json").out)["artifact_id"] == edits
