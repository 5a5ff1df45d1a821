"""Where a setting comes from: flag > --set > environment > file > default."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from seal_cli.settings import SECTIONS, Settings, starter, toml_value
from stages.config import AdaptConfig, GenerateConfig
from stages.errors import ConfigError


def settings(
    tmp_path: Path, toml: str = "", environ: dict[str, str] | None = None, *sets: str
) -> Settings:
    path = tmp_path / "seal.toml"
    path.write_text(toml)
    return Settings(path, sets, environ or {})


def test_the_nearest_source_wins(tmp_path: Path) -> None:
    toml = "[generate]\nsamples = 2\nmax_tokens = 20\ntop_p = 0.2\nseed = 2"
    environ = {
        "SEAL_GENERATE_MAX_TOKENS": "30",
        "SEAL_GENERATE_TOP_P": "0.3",
        "SEAL_GENERATE_SEED": "3",
    }
    found = settings(tmp_path, toml, environ, "generate.top_p=0.4", "generate.seed=4")
    config = found.resolve(GenerateConfig, {"seed": 5, "temperature": None})
    assert config.seed == 5
    assert config.top_p == 0.4
    assert config.max_tokens == 30
    assert config.samples == 2
    assert config.temperature == GenerateConfig().temperature


def test_flags_of_other_stages_are_passed_over(tmp_path: Path) -> None:
    assert settings(tmp_path).resolve(AdaptConfig, {"samples": 9, "rank": 4}).rank == 4


def test_the_starter_file_is_the_defaults(tmp_path: Path) -> None:
    text = starter()
    assert {name: {} for name in SECTIONS} == tomllib.loads(text)
    uncommented = "\n".join(
        line.removeprefix("# ") if " = " in line and " =  " not in line else line
        for line in text.splitlines()
    )
    found = settings(tmp_path, uncommented)
    for cls in SECTIONS.values():
        assert found.resolve(cls) == cls()


def test_other_programs_variables_are_none_of_our_business(tmp_path: Path) -> None:
    settings(tmp_path, environ={"SEAL_HOME_DIR": "x", "SEAL_STORE": "y", "PATH": "z"})
    with pytest.raises(ConfigError, match="SEAL_GENERATR_SAMPLES"):
        settings(tmp_path, environ={"SEAL_GENERATR_SAMPLES": "3"})


@pytest.mark.parametrize("value", ["a", 'quote " and \\ slash', 1, 2.5, 1e-05, True])
def test_values_survive_toml(value: Any) -> None:
    assert tomllib.loads(f"x = {toml_value(value)}")["x"] == value


def test_a_shown_config_gives_the_same_key_again(
    seal: Any, passages: Path, random_model: Path, tmp_path: Path
) -> None:
    contexts = seal("import", "contexts", passages).id
    command = ["generate", contexts, "--policy", random_model]
    first = seal(*command, "--engine", "scripted", "--samples", 2, "--seed", 7).id
    path = tmp_path / "again.toml"
    path.write_text(seal("show", first, "--config").out)
    again = seal(*command, "--config", path)
    assert again.id == first
    assert "is there already" in again.err
