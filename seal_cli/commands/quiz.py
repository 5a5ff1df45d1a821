"""`seal quiz`: contexts -> the same contexts with questions that a model wrote about them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from seal_cli import console, engines
from seal_cli.inputs import ContextSet
from seal_cli.models import LocalModel, resolve_model
from seal_cli.options import ContextsArg, PolicyOption
from seal_cli.runner import Job, Plan, Task, Work
from seal_cli.session import Session
from seal_cli.store.artifact import Artifact
from stages import quiz as stage
from stages.config import QuizConfig
from stages.domains import DOMAINS
from stages.domains import questions as asking
from stages.engines import SEMANTICS as ENGINE_SEMANTICS
from stages.errors import ConfigError
from stages.grading import GRADERS
from stages.identity import digest
from stages.records import Draft, Record


def quiz(session: Session, contexts: ContextsArg, policy: PolicyOption) -> None:
    """Let the policy write questions about passages, and keep those that can serve as rewards.

    Kept are questions answered right with the passage in view and wrong without, whose answer
    stands in the passage. What was dropped, and why, is in the table `drafts`.
    """
    source = session.artifact(contexts, "contexts")
    session.resolve(QuizConfig)  # an engine that there is not is said before a model
    model = resolve_model(session.workspace, policy)
    config = session.resolve(QuizConfig, model)
    made = session.run(task(session, source, model, config))
    drafts = made.rows(Draft)
    kept = [draft for draft in drafts if draft.kept]
    console.say(
        f"{len(kept)} of {len(drafts)} questions kept, about "
        f"{len({draft.context_id for draft in kept})} of "
        f"{len({draft.context_id for draft in drafts})} contexts; see `seal report quiz`."
    )
    session.answer(made)


def task(session: Session, source: Artifact, model: LocalModel, config: QuizConfig) -> Task:
    """The run that `seal quiz` makes."""
    context_set = ContextSet(source)
    if context_set.domain is not DOMAINS["knowledge"]:
        raise ConfigError(
            f"{source.id} is about {context_set.domain.NAME}: it has no passages.",
            "Questions are written about passages; give contexts of the domain knowledge.",
        )
    if config.grader == "default":
        config = replace(config, grader=context_set.domain.GRADER)

    def open(job: Job) -> Work:
        engine = engines.seat(session, model, config.engine, config)
        master = stage.Quizmaster(model.policy, engine, GRADERS[config.grader], config)

        def work(ids: Sequence[str]) -> Iterator[Record]:
            return stage.quiz([context_set.contexts[i] for i in ids], master=master)

        return work

    return Task(
        stage="quiz",
        kind="contexts",
        inputs=[source, *model.inputs],
        material=material(session, model, context_set, config),
        config={"quiz": config.key()},
        items=lambda: context_set.slice(config.limit, config.offset),
        open=open,
        plan=lambda: Plan(batch=max(1, config.decode_batch // config.samples)),
        tables=("questions", "drafts", "policies"),
        finish=lambda _: [model.policy] if model.artifact is None else [],
        models=model.location(),
    )


def material(
    session: Session, model: LocalModel, context_set: ContextSet, config: QuizConfig
) -> dict[str, object]:
    """What decides the questions that a model writes and keeps."""
    name, template = asking.template(config.prompt)
    grader = GRADERS[config.grader]
    return {
        "semantics": [
            stage.SEMANTICS,
            asking.SEMANTICS,
            context_set.domain.SEMANTICS,
            ENGINE_SEMANTICS[config.engine],
            grader.semantics,
        ],
        "domain": context_set.domain.NAME,
        "policy": model.id,
        "dtype": model.dtype(session.dtype),
        "config": config.key()
        | {"prompt": [name, digest(template)], "chat": session.chat(config.chat, model)},
        **engines.material(session, model, config.engine),
    }
