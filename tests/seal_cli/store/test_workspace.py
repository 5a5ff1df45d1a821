"""Where things lie, and what an artifact may be called."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal_cli.store.workspace import Workspace
from stages.errors import ConfigError, InputError


@given(st.text())
def test_nothing_but_an_id_becomes_a_path(text: str) -> None:
    workspace = Workspace(Path("store"))
    try:
        path = workspace.path(text)
    except InputError:
        return
    assert path.parent == workspace.artifacts
    assert "/" not in text


@pytest.mark.parametrize("text", ["score-0123456789abcdef/..", "score-0123456789abcdef\n", "", "."])
def test_near_ids_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        Workspace(Path("store")).path(text)


def test_an_empty_store_has_no_artifacts(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "none")
    assert workspace.ids() == []
    with pytest.raises(InputError):
        workspace.resolve("score")


def test_prefixes_and_latest_resolve(seal: Any, tmp_path: Path) -> None:
    ids = []
    for text in ("One passage.", "Another passage."):
        path = tmp_path / "p.txt"
        path.write_text(text)
        ids.append(seal("import", "contexts", path).id)
    workspace = Workspace(tmp_path / "store")
    assert workspace.resolve("@latest:import") == ids[1]
    assert workspace.resolve(ids[0][:12]) == ids[0]
    assert workspace.resolve(ids[0]) == ids[0]
    with pytest.raises(ConfigError, match="fits 2 artifacts"):
        workspace.resolve("import-")
    assert [a.id for a in workspace.all()] == ids


def test_upstream_finds_what_an_artifact_was_made_from(
    seal: Any, passages: Path, random_model: Path, tmp_path: Path
) -> None:
    contexts = seal("import", "contexts", passages).id
    edits = seal("generate", contexts, "--policy", random_model, "--engine", "scripted").id
    workspace = Workspace(tmp_path / "store")
    artifact = workspace.artifact(edits)
    assert workspace.upstream(artifact, "contexts").id == contexts
    assert workspace.upstream(artifact, "self_edits").id == edits
    with pytest.raises(InputError, match="was not made from rewards"):
        workspace.upstream(artifact, "rewards")
