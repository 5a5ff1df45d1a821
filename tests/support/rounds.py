"""The commands of one round on a small model, and what it means that two stores are equal."""

import shutil
from pathlib import Path
from typing import Any

from reading import tables_of, weights_of

from seal_cli.store.workspace import Workspace

SMALL = ["--epochs", "1", "--rank", "2", "--max-sequences", "2"]
ONE = ["--slots", 1]  # a batch is one context
STAGES = ["import", "generate", "adapt", "score", "filter", "update", "eval", "cpt", "continual"]


class Pipeline:
    """The commands of one round, each given the ids of the ones before."""

    def __init__(self, forks: Any, model: Path, passages: Path) -> None:
        self.forks, self.model, self.passages = forks, model, passages

    def command(self, stage: str, ids: dict[str, str]) -> list[object]:
        scripted = ["--engine", "scripted"]
        return {
            "import": lambda: ["import", "contexts", self.passages],
            "generate": lambda: [
                "generate", ids["import"], "--policy", self.model, *scripted,
                "--samples", 2, "--decode-batch", 2,
            ],
            "adapt": lambda: ["adapt", ids["generate"], "--repeats", 1, *SMALL, *ONE],
            # Two slots and twelve adapters a context: batches of two contexts.
            "score": lambda: ["score", ids["generate"], "--repeats", 6, *SMALL, "--slots", 2],
            "filter": lambda: ["filter", ids["score"]],
            "update": lambda: ["update", ids["filter"], "--rank", 2],
            "eval": lambda: ["eval", self.model, ids["import"], *scripted, *SMALL, *ONE],
            "cpt": lambda: [
                "eval", self.model, ids["import"], "--regime", "cpt", *scripted, *SMALL, *ONE,
                "--decode-batch", 2,
            ],
            # Written by the model as it is by then: a sequence taken up again must be the same.
            "continual": lambda: [
                "eval", self.model, ids["import"], "--regime", "continual", "--edits", 2,
                "--sequences", 2, "--replay", 1, "--max-tokens", 20, *SMALL,
            ],
            "quiz": lambda: [
                "quiz", ids["import"], "--policy", self.model, *scripted, "--decode-batch", 2,
            ],
            "loop": lambda: [
                "loop", "--contexts", ids["import"], "--policy", self.model, "--rounds", 2,
                "--limit", 2, "--samples", 2, "--repeats", 1, "--set", "generate.engine=scripted",
                "--set", "adapt.epochs=2", "--set", "adapt.rank=2", "--set", "update.rank=2",
            ],
        }[stage]()  # fmt: skip

    def run(self, stage: str, ids: dict[str, str], store: Path, **how: Any) -> Any:
        return self.forks(*self.command(stage, ids), store=store, **how)


def same(left: Path, right: Path) -> None:
    """Two artifact folders hold the same rows and weights, and nothing else."""
    assert tables_of(left) == tables_of(right)
    assert weights_of(left) == weights_of(right)
    names = [sorted(p.name for p in folder.iterdir()) for folder in (left, right)]
    assert names[0] == names[1]


def copy_inputs(calm_store: Path, stage: str, ids: dict[str, str], store: Path) -> None:
    """A store with what the stage needs and no more."""
    for earlier in STAGES[: STAGES.index(stage)]:
        shutil.copytree(calm_store / "artifacts" / ids[earlier], store / "artifacts" / ids[earlier])


def same_stores(left: Path, right: Path) -> None:
    """Two stores hold the same artifacts, row for row."""
    assert Workspace(left).ids() == Workspace(right).ids()
    for artifact in Workspace(left).ids():
        same(left / "artifacts" / artifact, right / "artifacts" / artifact)
