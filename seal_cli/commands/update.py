"""`seal update`: selection -> the next policy, a Hugging Face model directory."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Annotated, Any

import typer

from seal_cli import console
from seal_cli.commands.adapt import targets
from seal_cli.commands.filter import selected
from seal_cli.engines import rest
from seal_cli.models import LocalModel, writer_of
from seal_cli.replay import Sources, sources
from seal_cli.runner import WHOLE, Job, Task, Work
from seal_cli.session import Session, renderer
from seal_cli.settings import DEFAULT_FILE
from seal_cli.splits import AllowOption, refuse_evaluation
from seal_cli.store.artifact import Artifact
from stages import update as stage
from stages.config import UpdateConfig
from stages.errors import ConfigError, InputError
from stages.lora import SEMANTICS as TRAINER_SEMANTICS
from stages.records import Policy, Selection, SelfEdit

SelectionArg = Annotated[
    str, typer.Argument(metavar="SELECTION", help="An artifact: id, prefix, @latest:filter, or -.")
]
WriterOption = Annotated[
    str | None,
    typer.Option(
        "--policy", help="Weights to train, if not those of the policy that wrote the selection."
    ),
]


ReplayFromOption = Annotated[
    list[str] | None,
    typer.Option(
        "--replay-from",
        metavar="SELECTION",
        help="Replay from this selection, in place of the earlier rounds'; repeatable.",
    ),
]
ReplayContextsOption = Annotated[
    str | None,
    typer.Option(
        "--replay-contexts",
        metavar="CONTEXTS",
        help="Replay the texts of these contexts, in place of the earlier rounds' self-edits.",
    ),
]


def update(
    session: Session,
    selection: SelectionArg,
    policy: WriterOption = None,
    replay_from: ReplayFromOption = None,
    replay_contexts: ReplayContextsOption = None,
    allow_split: AllowOption = None,
) -> None:
    """Finetune the policy on the selected self-edits."""
    source = session.artifact(selection, "selections")
    made = task(
        session,
        source,
        policy,
        allow_split,
        replay_from=replay_from or (),
        replay_contexts=replay_contexts,
    )
    session.answer(session.run(made))


def task(
    session: Session,
    source: Artifact,
    policy: str | None = None,
    allow_split: Sequence[str] | None = None,
    *,
    replay_from: Sequence[str] = (),
    replay_contexts: str | None = None,
    **own: Any,
) -> Task:
    """The run that `seal update` and `seal loop` share; `own` are settings of the loop's own.

    Raises:
        InputError: there is nothing to learn from.

    """
    kept = [row for row in source.rows(Selection) if row.kept]
    if not kept:
        raise InputError(
            f"{source.id} keeps no self-edit.",
            "Choose another rule in `seal filter`, or sample more self-edits.",
        )
    self_edits = session.workspace.upstream(source, "self_edits")
    model = writer_of(session.workspace, self_edits, wanted=policy)
    config = replace(session.resolve(UpdateConfig, model), **own)
    resolved = targets(model, config.targets)
    earlier = sources(session, model, config, replay_from, replay_contexts)

    @cache
    def replayed() -> list[stage.Earlier]:
        found, new = earlier.read(session, model), {row.self_edit_id for row in kept}
        return stage.draw(found, selected=new, policy=model.policy, config=config)

    def check() -> None:
        about = {row.context_id for row in kept} | {one.context_id for one in replayed()}
        refuse_evaluation(session.workspace, about, allow_split)

    def open(job: Job) -> Work:
        edits = selected(session, source)
        _check_writers(edits, named=policy is not None)
        _say_replayed(model, config, earlier, replayed())
        return lambda _: _train(session, model, source, edits, replayed(), resolved, job, config)

    return Task(
        stage="update",
        kind="policies",
        inputs=[source, *model.inputs],
        material={
            "semantics": [stage.SEMANTICS, TRAINER_SEMANTICS],
            "policy": model.id,
            "dtype": model.dtype(session.dtype),
            "config": config.key() | {"targets": list(resolved)},
            **earlier.material(session, model, config),
        },
        config={"update": config.key() | {"replay": config.replay}},
        items=lambda: [WHOLE],
        open=open,
        check=check,
        models=model.location(),
        aside=earlier.artifacts,
    )


def _say_replayed(
    model: LocalModel, config: UpdateConfig, earlier: Sources, replayed: Sequence[stage.Earlier]
) -> None:
    if config.replay and not earlier.artifacts:
        console.say(f"replay: {model.policy.name} is of round 0: there is nothing to replay yet.")
    elif config.replay:
        where = ", ".join(artifact.id for artifact in earlier.artifacts)
        console.say(f"replay: {len(replayed)} examples from {where}.")


def _check_writers(edits: list[SelfEdit], *, named: bool) -> None:
    writers = sorted({edit.policy for edit in edits})
    if len(writers) > 1 and not named:
        raise ConfigError(
            f"{len(writers)} policies wrote this selection ({', '.join(writers)}).",
            "Say with --policy whose weights to train.",
        )


def _train(
    session: Session,
    model: LocalModel,
    source: Artifact,
    edits: list[SelfEdit],
    replayed: list[stage.Earlier],
    resolved: tuple[str, ...],
    job: Job,
    config: UpdateConfig,
) -> Iterator[Policy]:
    from stages.lora.merge import save_merged
    from stages.lora.reference import ReferenceTrainer

    rest()
    loaded = session.load(model)
    console.say(f"finetuning {model.policy.name} on {len(edits)} self-edits.")
    trained, n_learned = stage.update(
        edits,
        policy=model.policy,
        tokenizer=loaded.tokenizer,
        targets=resolved,
        trainer=ReferenceTrainer(loaded),
        config=config,
        replayed=replayed,
        render=renderer(loaded.tokenizer, chat=session.chat("auto", model)),
    )
    assert trained.lora is not None  # the stage raises otherwise
    save_merged(loaded, trained.lora, job.weights)
    settings = model.path / DEFAULT_FILE
    if settings.is_file():  # what suited the parent suits its child
        shutil.copyfile(settings, job.weights / DEFAULT_FILE)
    yield Policy(
        policy=job.artifact_id,
        name=f"{model.policy.name.rsplit('@', 1)[0]}@round{model.policy.round + 1}",
        parent=model.id,
        round=model.policy.round + 1,
        path=job.relative(job.weights),
        method="rest-em",
        selection=source.id,
        n_examples=n_learned,
        first_loss=trained.first_loss,
        last_loss=trained.last_loss,
        n_replayed=sum(len(earlier.examples) for earlier in replayed),
    )
