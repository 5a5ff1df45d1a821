"""filter: rewards -> the selection that the policy learns from."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from seal_cli import console
from seal_cli.execution.runtime import Runtime
from seal_cli.execution.spec import Batch, Job, StageSpec, Work
from seal_cli.pipeline.models import LocalModel
from seal_cli.pipeline.resolve import Resolver
from seal_cli.settings import Takes
from seal_cli.store.artifact import Artifact
from seal_cli.store.schema import arrow_schema
from seal_cli.store.workspace import Workspace
from stages import filter as stage
from stages.config import FilterConfig
from stages.named import named
from stages.records import Record, Reward, Selection, SelfEdit
from stages.trace import pairs

TAKES = Takes(FilterConfig, models=False)


@dataclass(frozen=True, kw_only=True)
class Filter(StageSpec):
    """One run of `seal filter`. `rule` is the text of its SQL."""

    STAGE = "filter"
    HERE = True
    KIND = "selections"

    SEMANTICS = stage.SEMANTICS

    rewards: str
    rule: str
    settings: FilterConfig

    def inputs(self) -> tuple[str, ...]:
        return (self.rewards,)

    def open(self, runtime: Runtime, store: Workspace, job: Job) -> Work:
        """All rewards -> the verdict of the rule on each."""
        source = store.artifact(self.rewards)
        edits = store.upstream(source, "self_edits")
        names = {table: arrow_schema(table).names for table in ("rewards", "self_edits")}

        def work(batch: Batch, made: Sequence[Record]) -> Iterable[Record]:
            wanted = named(self.rule, names)
            tables = {
                table: artifact.arrow(table, list(dict.fromkeys(["self_edit_id", *wanted[table]])))
                for table, artifact in (("rewards", source), ("self_edits", edits))
            }
            rows = _Rewards(source)
            return stage.filter(rows, tables=tables, query=self.rule, config=self.settings)

        return work


@dataclass(frozen=True)
class _Rewards:
    """The rows of an artifact, read anew at each pass."""

    artifact: Artifact

    def __iter__(self) -> Iterator[Reward]:
        return self.artifact.stream(Reward)


def filter(  # noqa: A001  # the stage's name
    resolve: Resolver, rewards: str, model: LocalModel | None = None
) -> Filter:
    """The run that was asked for; `model` may bring a rule."""
    found, config = resolve.artifact(rewards, "rewards"), resolve.config(FilterConfig, model)
    resolve.store.upstream(found, "self_edits")  # raises where there are none
    return Filter(rewards=found.id, rule=stage.rule_text(config), settings=config)


def selected(store: Workspace, selection: Artifact) -> list[SelfEdit]:
    """The kept self-edits of a selection, in its order."""
    source = store.upstream(selection, "self_edits")
    kept = [row.self_edit_id for row in kept_in(selection)]
    edits = {edit.self_edit_id: edit for edit in source.stream(SelfEdit, ("self_edit_id", kept))}
    return [edits[self_edit_id] for self_edit_id in kept]


def kept_in(selection: Artifact) -> list[Selection]:
    """The rows of a selection that keep a self-edit, in order."""
    return selection.rows(Selection, ("kept", [True]))


def export(store: Workspace, selection: Artifact, path: Path) -> None:
    """One {"prompt", "completion"} object a line, as the SEAL release has them; all or nothing.

    They are what `seal update` learns from: a self-edit of several steps has one for each request.
    """
    edits = selected(store, selection)
    learned = (pair for edit in edits for pair in pairs(edit))
    rows = ({"prompt": pair.prompt, "completion": pair.completion} for pair in learned)
    console.save("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), path)
    console.say(f"{len(edits)} self-edits written to {path}.")
