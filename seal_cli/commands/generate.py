"""`seal generate`: contexts -> self-edits."""

from collections.abc import Callable, Iterable, Sequence

from seal_cli import engines
from seal_cli.inputs import ContextSet
from seal_cli.models import LocalModel, resolve_model
from seal_cli.options import ContextsArg, PolicyOption
from seal_cli.runner import Job, Plan, Task, Work
from seal_cli.session import Session
from seal_cli.store.artifact import Artifact
from stages import generate as stage
from stages.config import GenerateConfig
from stages.domains import Domain
from stages.engines import SEMANTICS as ENGINE_SEMANTICS
from stages.records import Context, SelfEdit

Writer = Callable[[Sequence[Context]], Iterable[SelfEdit]]


def generate(session: Session, contexts: ContextsArg, policy: PolicyOption) -> None:
    """Let the policy write self-edits for every context."""
    source = session.artifact(contexts, "contexts")
    model = resolve_model(session.workspace, policy)
    config = session.resolve(GenerateConfig, model)
    session.answer(session.run(task(session, source, model, config)))


def task(
    session: Session, source: Artifact, model: LocalModel, config: GenerateConfig, rank: int = 0
) -> Task:
    """The run that `seal generate` and `seal loop` share.

    `rank` is that of the adapters that the engine will wear later in this process.
    """
    context_set = ContextSet(source)

    def open(job: Job) -> Work:
        write = writer(session, model, context_set.domain, config, rank)
        return lambda ids: write([context_set.contexts[i] for i in ids])

    return Task(
        stage="generate",
        kind="self_edits",
        inputs=[source, *model.inputs],
        material=material(session, model, context_set.domain, config),
        config={"generate": config.key()},
        items=lambda: context_set.slice(config.limit, config.offset),
        open=open,
        plan=lambda: Plan(
            batch=max(1, engines.together(config.engine, config.decode_batch) // config.samples)
        ),
        tables=("policies",),
        finish=lambda _: [model.policy] if model.artifact is None else [],
        models=model.location(),
    )


def material(
    session: Session, model: LocalModel, domain: Domain, config: GenerateConfig
) -> dict[str, object]:
    """What decides the self-edits that a model writes."""
    recipe = domain.recipe(config.prompt)
    semantics = [stage.SEMANTICS, domain.SEMANTICS, ENGINE_SEMANTICS[config.engine]]
    chat = session.chat(config.chat, model)
    return {
        "semantics": semantics,
        "policy": model.id,
        "dtype": model.dtype(session.dtype),
        "config": config.key() | {"prompt": [recipe.name, recipe.digest], "chat": chat},
        **engines.material(session, model, config.engine),
    }


def writer(
    session: Session, model: LocalModel, domain: Domain, config: GenerateConfig, rank: int = 0
) -> Writer:
    """The generate stage with its collaborators: contexts -> self-edits. `rank`: as in `task`."""
    seated = engines.seat(
        session,
        model,
        config.engine,
        chat=config.chat,
        decode_batch=config.decode_batch,
        rank=rank,
    )
    return lambda contexts: stage.generate(
        contexts,
        policy=model.policy,
        engine=seated.engine,
        domain=domain,
        render=seated.render,
        config=config,
    )
