"""A small store with every kind of artifact, and how its files are damaged."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from passages import PASSAGES

from seal_cli.store.files import unsealed, write_sealed
from seal_cli.store.workspace import Workspace

SCRIPTED = ["--engine", "scripted", "--samples", 2]
SMALL = ["--epochs", 1, "--rank", 2, "--max-sequences", 1]


@dataclass
class Small:
    """A store, its commands by stage, and the id that each of them printed."""

    root: Path
    commands: dict[str, list[object]]
    ids: dict[str, str]

    @property
    def store(self) -> Workspace:
        return Workspace(self.root)

    def path(self, stage: str) -> Path:
        return self.root / "artifacts" / self.ids[stage]

    def reseal(self, stage: str, **changes: Any) -> None:
        """Another manifest, with the seal that it should have."""
        file = self.path(stage) / "_manifest.json"
        write_sealed(file, unsealed(file.read_bytes()) | changes)


def flip(file: Path, bit: int | None = None) -> None:
    """Another value of one bit, by default in the middle."""
    content = bytearray(file.read_bytes())
    place = len(content) * 4 if bit is None else bit
    content[place // 8] ^= 1 << place % 8
    file.write_bytes(content)


@pytest.fixture(scope="session")
def made(random_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Small:
    """The store itself, which no test may change."""
    from typer.testing import CliRunner

    from seal_cli.app import app

    folder = tmp_path_factory.mktemp("small")
    passages = folder / "passages.jsonl"
    passages.write_text("".join(json.dumps(passage) + "\n" for passage in PASSAGES[:2]))
    found = Small(folder / "store", {}, {})

    def run(stage: str, *command: object) -> str:
        arguments = ["--store", str(found.root), *map(str, command)]
        with mock.patch("sys.argv", ["seal", *arguments]):  # manifests hold the command line
            done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.stderr
        found.commands[stage], found.ids[stage] = list(command), done.stdout.strip()
        return found.ids[stage]

    contexts = run("import", "import", "contexts", passages)
    edits = run("generate", "generate", contexts, "--policy", random_model, *SCRIPTED)
    adapters = run("adapt", "adapt", edits, "--repeats", 1, *SMALL)
    rewards = run("score", "score", adapters)
    run("filter", "filter", rewards)
    policy = run("update", "update", found.ids["filter"], "--rank", 2)
    run("second", "generate", contexts, "--policy", policy, *SCRIPTED)
    return found


@pytest.fixture
def small(made: Small, tmp_path: Path) -> Small:
    """A copy at `store`, the place where `seal` looks."""
    shutil.copytree(made.root, tmp_path / "store")
    return Small(tmp_path / "store", made.commands, made.ids)
