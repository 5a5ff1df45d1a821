"""`seal generate`: contexts -> self-edits."""

from collections.abc import Callable, Iterable, Sequence

from seal_cli import engines
from seal_cli.endpoints import EndpointModel, endpoint
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

Model = LocalModel | EndpointModel
Writer = Callable[[Sequence[Context]], Iterable[SelfEdit]]
_ROUNDS = 16  # requests per place under way that a batch has for a server


def generate(session: Session, contexts: ContextsArg, policy: PolicyOption) -> None:
    """Let the policy write self-edits for every context.

    Prompts of passages: implications (the default), implications-long, implications-very-long,
    implications-chain-of-thought, rewrite, self-qa, none. Recipes of several steps: entity-pairs
    and entity-triples (in the manner of EntiGraph), active-reading. Of few-shot tasks: tools (the
    default), tools-brief.

    A recipe of your own is a TOML file with a table [[steps]] for each step: its name, its prompt,
    how what is written is split into texts (lines, blocks, questions, none), and, if it is to be
    asked once for each of an earlier step's texts, or for pairs or triples of them, each, choose
    and most. examples/recipes has one with every key explained.

    With --engine openai the policy is what the server at --base-url calls its model; its key comes
    from the environment: SEAL_API_KEY, else OPENAI_API_KEY.
    """
    source = session.artifact(contexts, "contexts")
    config = session.resolve(GenerateConfig)
    model: Model
    if config.engine == "openai":
        model = endpoint(session, policy, config.chat)
    else:
        model = resolve_model(session.workspace, policy)
        config = session.resolve(GenerateConfig, model)
    session.answer(session.run(task(session, source, model, config)))


def task(
    session: Session, source: Artifact, model: Model, config: GenerateConfig, rank: int = 0
) -> Task:
    """The run that `seal generate` and `seal loop` share.

    `rank` is that of the adapters that the engine will wear later in this process.
    """
    context_set = ContextSet(source)
    local = model if isinstance(model, LocalModel) else None
    domain = session.domain(context_set, local)

    def open(job: Job) -> Work:
        write = writer(session, model, domain, config, rank)
        return lambda ids: write([context_set.contexts[i] for i in ids])

    return Task(
        stage="generate",
        kind="self_edits",
        inputs=[source, *(local.inputs if local else ())],
        material=material(session, model, domain, config),
        config={"generate": config.key(), **domain.material("write")},
        items=lambda: context_set.slice(config.limit, config.offset),
        open=open,
        plan=lambda: Plan(batch=max(1, together(model, config) // config.samples)),
        tables=("policies",),
        finish=lambda _: [] if local and local.artifact else [model.policy],
        models=model.location(),
    )


def together(model: Model, config: GenerateConfig) -> int:
    """Self-edits in a batch: what is decoded together, or what keeps a server busy for a while."""
    if isinstance(model, EndpointModel):
        return _ROUNDS * model.config.concurrency
    return engines.together(config.engine, config.decode_batch)


def material(
    session: Session, model: Model, domain: Domain, config: GenerateConfig
) -> dict[str, object]:
    """What decides the self-edits that a model writes."""
    recipe = domain.recipe(config.prompt)
    semantics = [stage.SEMANTICS, domain.SEMANTICS, ENGINE_SEMANTICS[config.engine]]
    if isinstance(model, EndpointModel):
        chat = model.config.api == "chat"
        where: dict[str, object] = {"endpoint": model.material(constrained=config.constrained)}
    else:
        engines.require_local(config.engine)
        chat = session.chat(config.chat, model)
        own = engines.material(session, model, config.engine)
        where = {"dtype": model.dtype(session.dtype), **own}
    return {
        "semantics": semantics,
        "policy": model.id,
        "config": config.key() | {"prompt": [recipe.name, recipe.digest], "chat": chat},
        **domain.material("write"),
        **where,
    }


def writer(
    session: Session, model: Model, domain: Domain, config: GenerateConfig, rank: int = 0
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
