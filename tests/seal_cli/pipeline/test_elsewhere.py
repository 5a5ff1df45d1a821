"""Every spec pickles, and gives the same rows in another process."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import elsewhere
import pinned
import pytest
from endpoint import Server

from seal_cli.execution.runner import Runner
from seal_cli.execution.spec import StageSpec
from seal_cli.store.artifact import Artifact
from seal_cli.store.schema import TABLES
from seal_cli.store.workspace import Workspace

ROOT = Path(__file__).parent.parent.parent.parent
ASKED = {  # what a server answers, besides what is pinned
    "endpoint": ["generate", "{contexts}", "--engine", "openai", "--policy", "m", "--samples", 1],
    "judge": ["regrade", "{score}", "--grader", "judge:m"],
}


class Runs:
    """Every spec that was run, by the id of what it made."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.store = Workspace(folder / "store")
        self.specs: dict[str, StageSpec] = {}
        whole = Runner.run

        def note(runner: Runner, spec: StageSpec, *check: Any) -> Artifact:
            made = whole(runner, spec, *check)
            self.specs[made.id] = spec
            return made

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Runner, "run", note)
            patch.chdir(folder)
            patch.setattr(pinned, "COMMANDS", pinned.COMMANDS | _asked(server))
            self.left = pinned.run(folder)


def _asked(server: Server) -> dict[str, list[object]]:
    where = ["--base-url", server.url]
    return {name: [*command, *where] for name, command in ASKED.items()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("runs")
    server = Server(folder / "server.log")
    server.start()
    yield Runs(folder, server)
    server.stop()


@pytest.fixture(scope="module")
def rows(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The rows of every spec, made by another process from the pickles and the store."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "specs").write_bytes(pickle.dumps(runs.specs))
    script = str(ROOT / "tests" / "support" / "elsewhere.py")
    command = [sys.executable, script, str(runs.store.root), "specs", "rows"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, cwd=folder, env=environment)
    found: dict[str, Any] = pickle.loads((folder / "rows").read_bytes())
    return found


def test_every_stage_and_regime_is_among_them(runs: Runs) -> None:
    kinds = {type(spec).__name__ for spec in runs.specs.values()}
    assert kinds >= {
        "Generate", "Adapt", "Score", "Proxy", "Quiz", "Filter", "Update", "ByContext", "Cpt",
        "Continual", "RegradeRewards", "RegradeMetrics",
    }  # fmt: skip


def test_a_pickled_spec_comes_back_equal(runs: Runs) -> None:
    for spec in runs.specs.values():
        assert pickle.loads(pickle.dumps(spec)) == spec


def test_another_process_makes_the_same_rows(runs: Runs, rows: dict[str, Any]) -> None:
    retried = {runs.left[name]["stdout"].strip() for name in ("failing-again", "failing-strict")}
    for made, spec in runs.specs.items():
        if made in retried:  # rows of two attempts
            continue
        artifact = runs.store.artifact(made)
        published = [row for table in artifact.tables for row in artifact.rows(TABLES[table])]
        assert rows[made] == elsewhere.comparable(published), (made, spec)
