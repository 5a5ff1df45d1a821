"""What an update learns once more: the kept self-edits of earlier rounds, or what is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from seal_cli.store.workspace import Workspace
from stages.errors import InputError

SMALL = ["--rank", 2, "--epochs", 1]


class Rounds:
    """Rounds of one self-edit of two kept about each of three passages, scripted."""

    def __init__(self, seal: Any, contexts: str, policy: object) -> None:
        self.seal, self.contexts, self.policy = seal, contexts, policy
        self.selections: list[str] = []

    def select(self) -> str:
        """The next round's selection, by the newest policy."""
        scripted = ["--engine", "scripted", "--samples", 2]
        edits = self.seal("generate", self.contexts, "--policy", self.policy, *scripted).id
        rewards = self.seal("score", edits, *SMALL, "--repeats", 1).id
        self.selections.append(self.seal("filter", rewards).id)
        return self.selections[-1]

    def learn(self, *how: object) -> Any:
        """The update on the newest selection; its policy goes on."""
        made = self.seal("update", self.selections[-1], *SMALL, *how)
        self.policy = made.id
        return made

    def row(self, policy: object) -> dict[str, Any]:
        """What the policy says of itself."""
        query = f"SELECT n_examples, n_replayed FROM policies WHERE artifact_id = '{policy}'"
        return dict(json.loads(self.seal("sql", query, "-f", "json").out.splitlines()[0]))


@pytest.fixture
def rounds(seal: Any, passages: Path, random_model: Path) -> Rounds:
    return Rounds(seal, seal("import", "contexts", passages).id, random_model)


def aside(seal: Any, artifact: str, store: Path) -> list[str]:
    manifest = json.loads((store / "artifacts" / artifact / "_manifest.json").read_text())
    return [entry["artifact_id"] for entry in manifest["inputs"] if entry.get("aside")]


def test_earlier_rounds_are_found_through_the_policy_and_only_what_was_kept(
    seal: Any, rounds: Rounds, tmp_path: Path
) -> None:
    first = rounds.select()
    plain = rounds.learn()
    again = seal("update", first, *SMALL, "--replay", 9)
    # There is nothing to replay in round 0: another artifact of the same policy.
    assert rounds.row(again.id) == rounds.row(plain.id)
    second = rounds.select()
    learned = rounds.learn("--replay", 0.5)
    assert f"replay: 2 examples from {first}." in learned.err
    assert rounds.row(learned.id) == {"n_examples": 5, "n_replayed": 2}
    assert aside(seal, learned.id, tmp_path / "store") == [first]
    rounds.select()
    learned = rounds.learn("--replay", 99)
    assert f"from {second}, {first}." in learned.err
    # Of twelve self-edits of earlier rounds six were kept.
    assert rounds.row(learned.id) == {"n_examples": 9, "n_replayed": 6}
    assert seal("update", rounds.selections[-1], *SMALL, "--replay", 98).id != learned.id


def test_nothing_to_replay_in_round_0_is_said(seal: Any, rounds: Rounds) -> None:
    rounds.select()
    said = rounds.learn("--replay", 1)
    assert "is of round 0: there is nothing to replay yet" in said.err
    assert rounds.row(said.id) == {"n_examples": 3, "n_replayed": 0}


def test_named_selections_and_contexts_stand_in_place_of_earlier_rounds(
    seal: Any, rounds: Rounds, tmp_path: Path
) -> None:
    first = rounds.select()
    rounds.learn()
    rounds.select()
    known = tmp_path / "known.jsonl"
    known.write_text(json.dumps({"title": "Known", "context": "The sea is salty."}) + "\n")
    contexts = seal("import", "contexts", known).id
    named = rounds.learn("--replay", 9, "--replay-contexts", contexts)
    assert rounds.row(named.id) == {"n_examples": 4, "n_replayed": 1}
    assert aside(seal, named.id, tmp_path / "store") == [contexts]
    both = seal(
        "update", rounds.selections[-1], *SMALL, "--replay", 9,
        "--replay-contexts", contexts, "--replay-from", first,
    )  # fmt: skip
    assert rounds.row(both.id) == {"n_examples": 7, "n_replayed": 4}
    own = ["--replay", 9, "--replay-from", rounds.selections[-1]]
    same = seal("update", rounds.selections[-1], *SMALL, *own)
    assert rounds.row(same.id)["n_replayed"] == 0  # it is learned anyway


def test_sources_without_an_amount_are_refused(seal: Any, rounds: Rounds) -> None:
    first = rounds.select()
    refused = seal("update", first, *SMALL, "--replay-from", first)
    assert refused.code == 2
    assert "--replay 0.5" in refused.err


def test_passages_for_evaluation_are_not_replayed(
    seal: Any, rounds: Rounds, tmp_path: Path
) -> None:
    selection = rounds.select()
    held_out = tmp_path / "held-out.jsonl"
    held_out.write_text(json.dumps({"title": "Lake", "context": "The lake is deep."}) + "\n")
    contexts = seal("import", "contexts", held_out, "--split", "val").id
    how = ["--replay", 1, "--replay-contexts", contexts]
    refused = seal("update", selection, *SMALL, *how)
    assert refused.code == 2
    assert f"1 of split val in {contexts}" in refused.err
    assert seal("update", selection, *SMALL, *how, "--allow-split", "val").code == 0


def test_earlier_rounds_that_are_not_in_the_store_are_named(
    seal: Any, rounds: Rounds, tmp_path: Path
) -> None:
    first = rounds.select()
    rounds.learn()
    rounds.select()
    (tmp_path / "store" / "artifacts" / first).rename(tmp_path / "away")
    refused = rounds.seal("update", rounds.selections[-1], *SMALL, "--replay", 1)
    assert refused.code == 3
    assert f"artifact {first} is not in" in refused.err
    assert seal("update", rounds.selections[-1], *SMALL).code == 0


def test_what_is_replayed_is_not_taken_for_what_the_policy_was_made_from(
    rounds: Rounds, tmp_path: Path
) -> None:
    rounds.select()
    rounds.learn()
    rounds.select()
    learned = rounds.learn("--replay", 1).id
    workspace = Workspace(tmp_path / "store")
    found = workspace.upstream(workspace.artifact(learned), "selections")
    assert found.id == rounds.selections[-1]
    passed_over = workspace.artifact(learned)
    passed_over.manifest["inputs"] = passed_over.manifest["inputs"][-1:]
    with pytest.raises(InputError):
        workspace.upstream(passed_over, "selections")


def test_contexts_without_a_text_of_their_own_are_refused(
    seal: Any, rounds: Rounds, tmp_path: Path
) -> None:
    selection = rounds.select()
    task = {"title": "t", "train": [{"input": [[1]], "output": [[2]]}], "test": []}
    path = tmp_path / "task.jsonl"
    path.write_text(json.dumps(task) + "\n")
    grids = seal("import", "contexts", path, "--domain", "arc").id  # one demonstration: no other
    refused = seal("update", selection, *SMALL, "--replay", 1, "--replay-contexts", grids)
    assert refused.code == 3
    assert "no text of their own" in refused.err
