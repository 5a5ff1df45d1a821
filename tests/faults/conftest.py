"""A small store with every kind of artifact, made once; each test damages a copy of its own."""

import json
import shutil
from pathlib import Path

import pytest
from passages import PASSAGES
from small import Small

SCRIPTED = ["--engine", "scripted", "--samples", 2]
SMALL = ["--epochs", 1, "--rank", 2, "--max-sequences", 1]


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
        done = CliRunner().invoke(app, ["--store", str(found.root), *map(str, command)])
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
