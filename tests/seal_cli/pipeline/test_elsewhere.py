"""Every spec pickles, and gives the same rows in another process."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import elsewhere
import pytest

from seal_cli.store.schema import TABLES

ROOT = Path(__file__).parent.parent.parent.parent


@pytest.fixture(scope="module")
def rows(runs: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The rows of every spec, made by another process from the pickles and the store."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "specs").write_bytes(pickle.dumps(runs.specs))
    script = str(ROOT / "tests" / "support" / "elsewhere.py")
    command = [sys.executable, script, str(runs.store.root), "specs", "rows"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, cwd=folder, env=environment)
    found: dict[str, Any] = pickle.loads((folder / "rows").read_bytes())
    return found


def test_every_stage_and_regime_is_among_them(runs: Any) -> None:
    kinds = {type(spec).__name__ for spec in runs.specs.values()}
    assert kinds >= {
        "Generate", "Adapt", "Score", "Proxy", "Quiz", "Filter", "Update", "ByContext", "Cpt",
        "Continual", "RegradeRewards", "RegradeMetrics",
    }  # fmt: skip


def test_a_pickled_spec_comes_back_equal(runs: Any) -> None:
    for spec in runs.specs.values():
        assert pickle.loads(pickle.dumps(spec)) == spec


def test_another_process_makes_the_same_rows(runs: Any, rows: dict[str, Any]) -> None:
    retried = {runs.left[name]["stdout"].strip() for name in ("failing-again", "failing-strict")}
    for made, spec in runs.specs.items():
        if made in retried:  # rows of two attempts
            continue
        artifact = runs.store.artifact(made)
        published = [row for table in artifact.tables for row in artifact.rows(TABLES[table])]
        assert rows[made] == elsewhere.comparable(published), (made, spec)
