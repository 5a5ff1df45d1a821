"""Artifacts made from rows by hand, published the way every artifact is, without any model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seal_cli.execution.local import Local
from seal_cli.execution.runner import Runner, RunOptions
from seal_cli.execution.runtime import Runtime
from seal_cli.execution.spec import WHOLE
from seal_cli.execution.task import Task, TaskSpec
from seal_cli.store.artifact import Artifact
from seal_cli.store.workspace import Workspace
from stages.records import Record

# "The harbour opened in 1871 and its light is 31 m high.", learned well, badly and not at all: name
# -> (training text, what each of its adapters answers to the two questions).
UNADAPTED = ("in 1871", "two ships")
EDITS: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "good": ("The harbour is old.\nIts light is 31 m high.", [("1871", "31 m"), ("1871", "31 m")]),
    "mixed": ("The light is lit.\nIn 1871 it opened.", [("1871", "a light"), ("", "31 m")]),
    "bad": ("Ships like it.", [("in 1902", "a light"), ("", "a light")]),
}


def publish(
    store: Path,
    stage: str,
    kind: str,
    rows: Sequence[Record],
    inputs: Sequence[Artifact] = (),
    *,
    name: str = "",
    config: dict[str, Any] | None = None,
    tables: Sequence[str] = (),
    aside: Sequence[Artifact] = (),
) -> Artifact:
    """One artifact of these rows; `name` is its key."""
    task = Task(
        stage=stage,
        kind=kind,
        inputs=inputs,
        material={"name": name, "domain": "knowledge"},
        config=config or {},
        items=lambda: [WHOLE],
        open=lambda job: lambda _: rows,
        tables=tables,
        aside=aside,
    )
    return run(task, store)


def run(task: Task, store: Path, options: RunOptions = RunOptions()) -> Artifact:  # noqa: B008
    """The artifact of a task, by the runner, in this process."""
    workspace = Workspace(store)
    return Runner(workspace, Local(Runtime(workspace), workspace), options).run(TaskSpec(task))
