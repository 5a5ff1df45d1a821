"""update: selection -> the next policy, a Hugging Face model folder."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from seal_cli import console
from seal_cli.execution.models import ModelRef
from seal_cli.execution.runtime import Runtime
from seal_cli.execution.spec import Batch, Job, StageSpec, Work
from seal_cli.pipeline import replay
from seal_cli.pipeline.contexts import ContextSet
from seal_cli.pipeline.filter import kept_in, selected
from seal_cli.pipeline.resolve import Resolver
from seal_cli.pipeline.splits import refuse_evaluation
from seal_cli.settings import DEFAULT_FILE, Takes
from seal_cli.store.workspace import Workspace
from stages import update as stage
from stages.config import UpdateConfig
from stages.domains import ChosenDomain
from stages.errors import ConfigError, InputError
from stages.records import Policy, Record, SelfEdit
from stages.training import MERGE_SEMANTICS
from stages.training import SEMANTICS as TRAINER_SEMANTICS
from stages.training.objectives import ChosenObjective

TAKES = Takes(UpdateConfig)


@dataclass(frozen=True, kw_only=True)
class Update(StageSpec):
    """One run of `seal update`."""

    STAGE = "update"
    KIND = "policies"

    SEMANTICS = (stage.SEMANTICS, TRAINER_SEMANTICS, MERGE_SEMANTICS)

    selection: str
    model: ModelRef
    objective: ChosenObjective
    settings: UpdateConfig
    replayed: tuple[str, ...]  # artifacts that more is drawn from
    rehearsed: ChosenDomain | None  # of the contexts among them
    named: bool = field(compare=False)  # the model: the self-edits may have several writers
    allow_split: tuple[str, ...] = field(compare=False)  # a permission and no setting

    def __post_init__(self) -> None:
        self.model.refuse_packed()

    def inputs(self) -> tuple[str, ...]:
        return self.selection, *self.model.inputs

    def side_inputs(self) -> tuple[str, ...]:
        return self.replayed

    def check(self, store: Workspace) -> None:
        """Raise when something is learned from that is for evaluation."""
        about = {row.context_id for row in kept_in(store.artifact(self.selection))}
        about |= {one.context_id for one in self._drawn(store)}
        refuse_evaluation(store, about, self.allow_split)

    def open(self, runtime: Runtime, store: Workspace, job: Job) -> Work:
        """The selection -> the row of the policy trained on it, and its folder."""
        selection = store.artifact(self.selection)
        edits = selected(store, selection)
        rows = kept_in(selection)
        weights = {row.self_edit_id: row.weight for row in rows if row.weight is not None}
        if not self.named:
            _check_writers(edits)
        drawn = self._drawn(store)
        self._say_replayed(len(drawn))

        def work(batch: Batch, made: Sequence[Record]) -> list[Record]:
            return [self._trained(runtime, edits, weights, drawn, job)]

        return work

    def _drawn(self, store: Workspace) -> list[stage.Earlier]:
        """The examples of before that are learned once more."""
        return stage.draw(
            replay.earlier(store, self.replayed, self.rehearsed),
            selected={row.self_edit_id for row in kept_in(store.artifact(self.selection))},
            policy=self.model.policy,
            config=self.settings,
        )

    def _say_replayed(self, n_drawn: int) -> None:
        if self.replayed:
            console.say(f"replay: {n_drawn} examples from {', '.join(self.replayed)}.")
        elif self.settings.replay:
            name = self.model.name
            console.say(f"replay: {name} is of round 0: there is nothing to replay yet.")

    def _trained(
        self,
        runtime: Runtime,
        edits: Sequence[SelfEdit],
        weights: Mapping[str, float],
        drawn: Sequence[stage.Earlier],
        job: Job,
    ) -> Policy:
        from stages.training import directory
        from stages.training.merge import merged_state, record, save_merged

        loaded = runtime.model(self.model)
        told = f"finetuning {self.model.name} on {len(edits)} self-edits"
        console.say(f"{told}: one batch, begun anew if it is stopped.")
        trained, n_learned = stage.update(
            edits,
            policy=self.model.policy,
            tokenizer=loaded.tokenizer,
            targets=self.model.targets,
            trainer=runtime.trainer(self.model, slots=1, packed=True),
            config=self.settings,
            weights=weights,
            replayed=drawn,
            chat=self.model.chat,
        )
        assert trained.lora is not None  # the stage raises otherwise
        folder = job.weights()
        if self.settings.keep == "adapter":
            directory.save(trained.lora, folder)
            record(folder, merged_state(loaded.model, trained.lora), trained.lora)
        else:
            save_merged(loaded, trained.lora, folder)
        settings = runtime.home(self.model, DEFAULT_FILE) / DEFAULT_FILE
        if settings.is_file():  # what suited the parent suits its child
            shutil.copyfile(settings, folder / DEFAULT_FILE)
        return Policy(
            policy=job.artifact_id,
            name=f"{self.model.name.rsplit('@', 1)[0]}@round{self.model.round + 1}",
            parent=self.model.id,
            round=self.model.round + 1,
            path=job.relative(folder),
            method=self.objective.name,
            selection=self.selection,
            n_examples=n_learned,
            first_loss=trained.first_loss,
            last_loss=trained.last_loss,
            n_replayed=sum(len(one.examples) for one in drawn),
        )


def _check_writers(edits: Sequence[SelfEdit]) -> None:
    writers = sorted({edit.policy for edit in edits})
    if len(writers) > 1:
        raise ConfigError(
            f"{len(writers)} policies wrote this selection ({', '.join(writers)}).",
            "Say with --policy whose weights to train.",
        )


def update(
    resolve: Resolver,
    selection: str,
    *,
    policy: str | None = None,
    replay_from: Sequence[str] = (),
    replay_contexts: str | None = None,
    allow_split: Sequence[str] = (),
    **own: Any,
) -> Update:
    """The run that was asked for; `own` are the loop's settings. InputError: none is kept."""
    found = resolve.artifact(selection, "selections")
    if not kept_in(found):
        raise InputError(
            f"{found.id} keeps no self-edit.",
            "Choose another rule in `seal filter`, or sample more self-edits.",
        )
    model = resolve.writer_of(resolve.store.upstream(found, "self_edits"), policy)
    config = replace(resolve.config(UpdateConfig, model), **own)
    about = resolve.artifact(replay_contexts, "contexts") if replay_contexts else None
    return Update(
        selection=found.id,
        model=resolve.reference(model, "auto", config.targets),
        objective=ChosenObjective(config.objective),
        settings=config,
        replayed=replay.sources(resolve, model, config, replay_from, replay_contexts),
        rehearsed=resolve.domain(ContextSet(about), model) if about else None,
        named=policy is not None,
        allow_split=tuple(allow_split),
    )
