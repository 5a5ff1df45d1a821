"""A store of random text: the size that was asked for, and like one of a real run."""

from pathlib import Path

from made_up import make

from seal_cli.store.query import fetch
from seal_cli.store.workspace import Workspace


def test_it_has_the_size_asked_for_and_every_reward_has_its_self_edit(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert make(workspace, 25, 2, files=3, words=4) == 24
    assert len(workspace.ids()) == 5
    query = """
        SELECT count(*) AS n, count(DISTINCT e.self_edit_id) AS edits FROM rewards r
        JOIN lineage l ON l.artifact_id = r.artifact_id
        JOIN self_edits e ON e.artifact_id = l.ancestor AND e.self_edit_id = r.self_edit_id"""
    assert fetch(workspace, query, 60).to_pylist() == [{"n": 24, "edits": 24}]


def test_another_seed_adds_artifacts_and_the_same_one_none(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for seed, n_artifacts in ((0, 3), (0, 3), (1, 5)):
        make(workspace, 4, 1, files=1, seed=seed)
        assert len(workspace.ids()) == n_artifacts
