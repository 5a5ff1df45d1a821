"""Which reward a scoring run was asked for, checked against what it is given."""

from seal_cli.pipeline.resolve import Resolver
from stages.config import AdaptConfig, RewardConfig
from stages.errors import ConfigError
from stages.rewards import BY_REGIME, REWARDS
from stages.rewards.racing import Bounds, Halving, Race


def rewarding(resolve: Resolver, kind: str, *, proxy: bool, asks: bool) -> RewardConfig:
    """The reward that is wanted for artifacts of a kind.

    `proxy`: a model that judges texts was named. `asks`: a student, questions or a probe were.
    Raises ConfigError when it does not fit what was given.
    """
    config = resolve.config(RewardConfig)
    proxied = config.reward not in BY_REGIME and REWARDS[config.reward].rule is None
    if proxied != proxy:
        raise ConfigError(
            "--reward proxy and --proxy-model go together.", "Name the model that judges, or none."
        )
    if proxied and (kind != "self_edits" or asks):
        raise ConfigError(
            "the proxy reward judges the texts of self-edits: it adapts and asks nobody.",
            "Give it self-edits, and leave --student, --questions and --probe out.",
        )
    if config.racing != "off" and (proxied or kind != "self_edits"):
        raise ConfigError(
            "--racing decides who is trained again; here nobody is.",
            "Leave it out, or score self-edits by what they teach.",
        )
    return config


def refuse_race_of_one(config: RewardConfig, adapting: AdaptConfig) -> None:
    """Raise ConfigError where every self-edit has one run, so that racing could save none."""
    if config.racing != "off" and adapting.repeats < 2:
        raise ConfigError(
            "--racing gives out repeats, and there is one run for each self-edit.",
            "Give --repeats 2 or more, or leave --racing out.",
        )


def race_of(config: RewardConfig) -> Race | None:
    """The race that is wanted."""
    if config.racing == "halving":
        return Halving(config.racing_keep)
    return Bounds(config.racing_confidence) if config.racing == "bounds" else None
