"""Which reward `seal score` was asked for: checked, keyed, and the run of the proxy.

The other rewards come from examinations: those runs are in `seal_cli.commands.score`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from seal_cli.engines import material, seat
from seal_cli.inputs import ContextSet, group, pick
from seal_cli.models import LocalModel
from seal_cli.runner import Job, Plan, Task, Work
from seal_cli.session import Session
from seal_cli.store.artifact import Artifact
from stages import proxy as stage
from stages import racing
from stages.config import RewardConfig, ScoreConfig
from stages.domains import DOMAINS
from stages.engines import SEMANTICS as ENGINE_SEMANTICS
from stages.errors import ConfigError
from stages.identity import digest
from stages.records import Record, SelfEdit
from stages.rewards import PROXY


def rewarding(
    session: Session,
    kind: str,
    *,
    student: str | None = None,
    questions: Artifact | None = None,
    probe: Artifact | None = None,
    proxy_model: str | None = None,
) -> RewardConfig:
    """The reward that is wanted for adapters or self-edits.

    Raises:
        ConfigError: it does not fit them, or what else was given.

    """
    config = session.resolve(RewardConfig)
    proxied = config.reward == PROXY
    if proxied != (proxy_model is not None):
        raise ConfigError(
            "--reward proxy and --proxy-model go together.", "Name the model that judges, or none."
        )
    if proxied and (kind != "self_edits" or student or questions or probe):
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


def key(config: RewardConfig) -> dict[str, Any]:
    """What of it decides the rewards; nothing for the plain ones, which are as they always were."""
    decides: dict[str, Any] = {"rule": config.reward} if config.reward != "accuracy" else {}
    if config.racing != "off":
        strength = "racing_keep" if config.racing == "halving" else "racing_confidence"
        decides |= {
            "racing": [racing.SEMANTICS, config.racing, getattr(config, strength)],
        }
    return {"reward": decides} if decides else {}


def proxy_task(session: Session, source: Artifact, judge: LocalModel, config: RewardConfig) -> Task:
    """The run in which a model judges self-edits by the rubric."""
    context_set = ContextSet(session.workspace.upstream(source, "contexts"))
    if context_set.domain is not DOMAINS["knowledge"]:
        raise ConfigError(
            f"the rubric is about notes on passages; {source.id} is about tasks.",
            "Choose another --reward.",
        )
    scoring = session.resolve(ScoreConfig, judge)

    def judging(job: Job) -> Work:
        edits = group(source.rows(SelfEdit))
        who = stage.Judge(judge.id, seat(session, judge, config.proxy_engine, scoring))

        def work(ids: Sequence[str]) -> Iterator[Record]:
            return stage.proxy(
                pick(edits, ids),
                contexts=context_set.contexts,
                judge=who,
                floor=scoring.reward_floor,
                config=config,
            )

        return work

    n_edits, n_contexts = _sizes(source)
    return Task(
        stage="score",
        kind="rewards",
        inputs=[source, *judge.inputs],
        material={
            "semantics": [
                stage.SEMANTICS,
                context_set.domain.SEMANTICS,
                ENGINE_SEMANTICS[config.proxy_engine],
            ],
            "judge": judge.id,
            "dtype": judge.dtype(session.dtype),
            "reward": {
                "rule": PROXY,
                "rubric": digest(stage.RUBRIC.read_text(encoding="utf-8")),
                "tokens": config.proxy_tokens,
                "engine": config.proxy_engine,
                "chat": session.chat(scoring.chat, judge),
                "floor": scoring.reward_floor,
                **material(session, judge, config.proxy_engine),
            },
        },
        config={"reward": config.key()},
        items=lambda: [edit.context_id for edit in source.rows(SelfEdit)],
        open=judging,
        plan=lambda: Plan(batch=max(1, scoring.decode_batch * n_contexts // max(1, n_edits))),
        tables=("ratings",),
        models=judge.location(),
    )


def _sizes(self_edits: Artifact) -> tuple[int, int]:
    """How many self-edits there are, about how many contexts."""
    about = [edit.context_id for edit in self_edits.rows(SelfEdit)]
    return len(about), len(set(about))
