"""A policy that is kept as its adapter alone is the policy that merging would have stored."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from small import Small

from seal_cli.execution.runtime import Runtime
from seal_cli.pipeline.models import resolve_model
from seal_cli.pipeline.resolve import Resolver
from seal_cli.settings import Settings
from seal_cli.store.workspace import Workspace
from stages.errors import InputError
from stages.loading import load
from stages.training import directory


def texts(seal: Any, small: Small, policy: str) -> str:
    made = seal("generate", small.ids["import"], "--policy", policy, "--max-tokens", 12).id
    query = f"select completion from self_edits where artifact_id = '{made}'"
    return str(seal("sql", f"{query} order by context_id, sample", "-f", "json").out)


def state(root: Path, policy: str) -> dict[str, Any]:
    """The weights of a policy as runs load it."""
    store = Workspace(root)
    reference = Resolver(store, Settings(None, environ={})).reference(
        resolve_model(store, policy), "auto"
    )
    return dict(Runtime(store, "cpu").model(reference).model.state_dict())


@pytest.fixture
def kept(seal: Any, small: Small) -> str:
    return str(seal(*small.commands["update"], "--keep", "adapter").id)


def test_the_weights_are_those_of_the_merged(seal: Any, small: Small, kept: str) -> None:
    import torch

    merged = small.ids["update"]
    assert kept != merged
    ours, theirs = state(small.root, kept), state(small.root, merged)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert texts(seal, small, kept) == texts(seal, small, merged)
    files = {path.name for path in (small.root / "artifacts" / kept / "__weights").iterdir()}
    assert files == {"adapter_config.json", "adapter_model.safetensors", "merged.json"}
    assert seal(*small.commands["update"], "--keep", "adapter").id == kept
    assert seal("verify", kept).code == 0


def test_rounds_go_on_from_it(seal: Any, small: Small, kept: str) -> None:
    """An adapter on an adapter; the same as from the merged, in another store too."""
    import torch

    again = ["update", small.ids["filter"], "--rank", 2, "--seed", 1, "--policy"]
    second = seal(*again, kept, "--keep", "adapter").id
    ours = state(small.root, second)
    theirs = state(small.root, seal(*again, small.ids["update"]).id)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    other = small.root.parent / "other"
    for artifact in (kept, second):
        shutil.copytree(small.root / "artifacts" / artifact, other / "artifacts" / artifact)
    there = state(other, second)
    assert all(torch.equal(ours[name], there[name]) for name in ours)
    shutil.rmtree(other / "artifacts" / kept)
    with pytest.raises(InputError, match=kept):
        state(other, second)


def test_other_merged_weights_are_said(
    seal: Any, small: Small, kept: str, random_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The digest of the merged weights is compared and decides nothing."""
    place = small.root / "artifacts" / kept / "__weights"
    recorded = json.loads((place / "merged.json").read_text())

    model = load(random_model, "cpu", "float32", "alone").model
    from stages.training import merge

    lora = directory.load(place)
    merge.fold(model, lora)
    merge.compare(place, model, lora)
    copied = small.root.parent / "copied"
    shutil.copytree(place, copied)
    (copied / "merged.json").write_text(json.dumps(recorded | {"sha256": "0" * 64}))
    seal("ls")  # what the stages log is said on stderr
    capsys.readouterr()
    merge.compare(copied, model, lora)
    assert "its weights differ" in capsys.readouterr().err


def test_weights_in_4_bits_are_neither_trained_nor_merged_into(
    seal: Any, small: Small, kept: str
) -> None:
    """Refused before any work: by `update`, and wherever an adapter has to be folded in."""
    generate = ["generate", small.ids["import"], "--policy", kept, "--samples", 1]
    for command in (small.commands["update"], generate):
        refused = seal(*command, "--dtype", "nf4")
        assert (refused.code, refused.out) == (2, "")
        assert "4 bits" in refused.err
        assert "Leave out --dtype nf4" in refused.err
    assert not list((small.root / "work").iterdir())
