"""Settings: defaults, bounds, and what belongs in a key."""

import dataclasses
import math
from typing import Any

import pytest

from stages import config as settings
from stages.config import (
    AdaptConfig,
    EvalConfig,
    FilterConfig,
    GenerateConfig,
    LoopConfig,
    LoraConfig,
    QuizConfig,
    RewardConfig,
    ScoreConfig,
    UpdateConfig,
)
from stages.domains import DOMAINS
from stages.engines.settings import ServerConfig, VllmConfig
from stages.errors import ConfigError
from stages.fields import Config
from stages.grading import GRADERS, NEWEST, SCORES

CONFIGS = [
    cls
    for cls in vars(settings).values()
    if isinstance(cls, type) and issubclass(cls, Config) and cls is not Config
]


@pytest.mark.parametrize("cls", CONFIGS)
def test_the_defaults_are_valid_frozen_and_explained(cls: type[Config]) -> None:
    config = cls()
    for item in dataclasses.fields(config):
        assert item.metadata["help"]
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(config, item.name, 1)


def test_the_inner_loop_has_the_papers_constants() -> None:
    config = AdaptConfig()
    assert (config.rank, config.alpha, config.epochs, config.learning_rate) == (32, 64, 10, 1e-3)
    assert (config.batch_size, config.repeats, config.pad_targets) == (1, 3, "eos")


def test_the_outer_loop_has_the_papers_constants() -> None:
    config = UpdateConfig()
    assert (config.rank, config.alpha, config.epochs, config.learning_rate) == (64, 128, 2, 3e-4)
    assert (config.batch_size, config.targets) == (10, "all-linear")


@pytest.mark.parametrize(
    ("cls", "fields", "said"),
    [
        (GenerateConfig, {"samples": 0}, "samples is 0"),
        (GenerateConfig, {"top_p": 0.0}, "top-p is 0.0"),
        (GenerateConfig, {"top_p": 1.1}, "top-p is 1.1"),
        (GenerateConfig, {"temperature": -0.1}, "temperature"),
        (GenerateConfig, {"engine": "magic"}, "engine is 'magic'"),
        (LoraConfig, {"learning_rate": 1.5}, "learning-rate is 1.5"),
        (LoraConfig, {"learning_rate": math.nan}, "learning-rate is nan"),
        (LoraConfig, {"epochs": 100_000}, "epochs is 100000"),
        (LoraConfig, {"rank": 0}, "rank is 0"),
        (AdaptConfig, {"pad_targets": "some"}, "pad-targets is 'some'"),
        (AdaptConfig, {"slots": "0"}, "slots is '0'"),
        (AdaptConfig, {"slots": "many"}, "slots is 'many'"),
        (ScoreConfig, {"grader": "gpt"}, "grader is 'gpt'"),
        (FilterConfig, {"keep": 0}, "keep is 0"),
        (EvalConfig, {"regime": "double"}, "regime is 'double'"),
        (ScoreConfig, {"grader": "judge: "}, "grader is 'judge: '"),
        (ServerConfig, {"base_url": "127.0.0.1:8000"}, "base-url is not an address"),
        (ServerConfig, {"base_url": "file:///etc/passwd"}, "base-url is not an address"),
        (ServerConfig, {"base_url": "http://[::1"}, "base-url is not an address"),
        (ServerConfig, {"api": "responses"}, "api is 'responses'"),
        (ServerConfig, {"attempts": 0}, "attempts is 0"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_its_name(
    cls: type[Config], fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        cls(**fields)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("cls", "field"),
    [(ScoreConfig, "reward_floor"), (FilterConfig, "threshold"), (FilterConfig, "margin")],
)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_none_is_refused_where_there_are_no_bounds(
    cls: type[Config], field: str, value: float
) -> None:
    with pytest.raises(ConfigError):
        cls(**{field: value})


def test_slots_are_a_number_or_chosen_by_memory() -> None:
    assert AdaptConfig(slots="12").n_slots == 12
    assert AdaptConfig().n_slots is None


def test_how_a_stage_ran_is_not_in_its_key() -> None:
    assert GenerateConfig(decode_batch=1).key() == GenerateConfig(decode_batch=64).key()
    assert ScoreConfig(decode_batch=1).key() == ScoreConfig(decode_batch=64).key()
    assert AdaptConfig(slots="1").key() == AdaptConfig(slots="64").key()
    assert FilterConfig(query="here.sql").key() == FilterConfig(query="there.sql").key()


@pytest.mark.parametrize("cls", CONFIGS)
def test_only_how_it_runs_and_what_a_run_holds_elsewhere_stay_out_of_a_key(
    cls: type[Config],
) -> None:
    names = {item.name for item in dataclasses.fields(cls)}
    # How many at once, and what a run holds in a field of its own: a text, an engine, a model.
    out = {"decode_batch", "slots", "chat", "engine", "grader", "oracle", "prompt", "query"}
    out |= {"objective", "probe_limit", "targets"}
    if cls in (RewardConfig, LoopConfig):  # no run holds them
        out = set()
    if cls is VllmConfig:
        out = {"adapters", "kv_cache_mib", "memory"}
    if issubclass(cls, ServerConfig):  # where it is and how hard it is asked
        out = names - {"api", "structured", "verdict_tokens"}
    assert names - cls().key().keys() == names & out
    assert all(cls().key()[name] == getattr(cls(), name) for name in cls().key())


@pytest.mark.parametrize(
    ("budget", "seconds"),
    [("", None), ("2h", 7200), ("30m", 1800), ("90s", 90), ("1h30m", 5400), ("0.5h", 1800)],
)
def test_a_budget_in_seconds(budget: str, seconds: float | None) -> None:
    assert LoopConfig(budget=budget).seconds == seconds


def test_prompts_are_names_with_commas() -> None:
    assert LoopConfig(prompts="a, b,c.txt").names == ("a", "b", "c.txt")
    assert LoopConfig().names == ()


@pytest.mark.parametrize(
    "url",
    [
        "http://me:s3cret@127.0.0.1/v1",
        "https://s3cret@host/v1",
        "https://host/v1?api-key=s3cret",
        "https://host/v1#s3cret",
        "me:s3cret@host",
        "http://me:s3cret@[::1",
    ],
)
def test_an_address_with_a_secret_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match=r"base-url|base_url") as refused:
        ServerConfig(base_url=url)
    assert "s3cret" not in refused.value.message + refused.value.hint


def test_a_judge_is_a_grader() -> None:
    assert ScoreConfig(grader="judge:org/model-1").grader == "judge:org/model-1"


@pytest.mark.parametrize("cls", [ScoreConfig, QuizConfig])
def test_a_grader_is_named_with_its_version(cls: Any) -> None:
    assert cls(grader="offline").grader == "offline-2"
    assert cls(grader="offline-1").grader == "offline-1"
    assert cls().grader == "default"  # the domain's, once it is known
    with pytest.raises(ConfigError, match="offline-3"):
        cls(grader="offline-3")


def test_the_names_of_graders_are_those_that_there_are() -> None:
    assert set(NEWEST.values()) <= set(SCORES) < set(GRADERS)
    assert {name: grader.name for name, grader in GRADERS.items()} == {n: n for n in GRADERS}
    assert {domain.GRADER for domain in DOMAINS.values()} <= set(GRADERS)
