"""Push and pull with the hub: its own client against a server that has as much of its HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import Repository, serving
from places import (  # noqa: F401
    At,
    said,
    test_a_flipped_byte_is_found_and_repaired,
    test_several_pushers_of_one_id,
    test_tables_first_and_weights_later,
    test_there_and_back,
    whole,
)
from small import Small

CANARY = "hf_right_canary"


def at(url: str, endpoint: str, repository: Repository, home: Path) -> At:
    def spoil(name: str) -> None:
        _, files = repository.commits[-1]
        content = bytearray(files[name])
        content[len(content) // 2] ^= 1
        repository.commits.append(
            (f"{len(repository.commits):040}", files | {name: bytes(content)})
        )

    environ = {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_TOKEN": CANARY}
    environ |= {"HF_HUB_DISABLE_XET": "1"}  # this server has LFS alone
    return At(url, spoil, environ | {"HF_HOME": str(home)})


@pytest.fixture
def hub() -> Iterator[tuple[str, Repository]]:
    with serving("someone/adapters") as found:
        yield found


@pytest.fixture
def place(hub: tuple[str, Repository], tmp_path: Path) -> At:
    return at("hf://someone/adapters", *hub, tmp_path / "hf")


def test_a_push_is_one_commit_whose_adapters_peft_loads(
    hub: tuple[str, Repository], place: At, made: Small, tmp_path: Path, random_model: Path
) -> None:
    from huggingface_hub import ModelCard
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    _, repository = hub
    said(place.seal(made.root, "push", made.ids["adapt"], place.url), 0)
    assert len(repository.commits) == 2
    card = ModelCard(repository.files["README.md"].decode())
    assert card.data.library_name == "peft"
    assert "seal" in card.data.tags
    clone = repository.write_to(tmp_path / "clone")
    (folder, *_) = [f.parent for f in clone.rglob("adapter_config.json")]
    subfolder = folder.relative_to(clone).as_posix()
    assert made.ids["adapt"] in subfolder
    assert "PeftModel.from_pretrained(base, " in card.text
    base = AutoModelForCausalLM.from_pretrained(random_model)
    model = PeftModel.from_pretrained(base, clone, subfolder=subfolder)
    assert model.active_peft_config.r == 2
    before = repository.commits[-1][0]
    said(place.seal(made.root, "push", made.ids["adapt"], place.url), 0)
    assert repository.commits[-1][0] == before  # nothing to say, no commit
    said(place.seal(made.root, "push", made.ids["update"], place.url), 0)
    text = repository.files["README.md"].decode()
    assert f"`{made.ids['adapt']}`" in text
    assert f"`{made.ids['update']}`" in text
    assert CANARY not in str(repository.commits)
    assert {token.removeprefix("Bearer ") for token in repository.tokens} - {""} == {CANARY}


def test_a_dataset_repository_loads_by_table(made: Small, tmp_path: Path) -> None:
    from datasets import load_dataset

    with serving("someone/rewards", "datasets") as (endpoint, repository):
        place = at("hf://datasets/someone/rewards", endpoint, repository, tmp_path / "hf")
        said(place.seal(made.root, "push", made.ids["score"], place.url, "--no-weights"), 0)
        clone = repository.write_to(tmp_path / "clone")
    cache = str(tmp_path / "cache")
    rewards = load_dataset(str(clone), "rewards", split="train", cache_dir=cache)
    assert (
        rewards.num_rows
        == made.store.artifact(made.ids["score"]).manifest["tables"]["rewards"]["rows"]
    )
    answers = load_dataset(str(clone), "answers", split="train", cache_dir=cache)
    assert "text" in answers.column_names
    assert answers.num_rows > 0


def test_commits_of_others_come_in_between(
    hub: tuple[str, Repository], place: At, made: Small, tmp_path: Path
) -> None:
    _, repository = hub
    stages = ("import", "generate", "adapt", "score")
    running = [
        place.begun(made.root, "push", made.ids[s], place.url, "--no-closure") for s in stages
    ]
    for process in running:
        _, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
    print(f"{repository.refused} commits were refused and made again")
    said(place.seal(tmp_path / "other", "pull", made.ids["score"], place.url), 0)
    assert whole(tmp_path / "other", made.ids["score"])
    text = repository.files["README.md"].decode()
    assert all(f"`{made.ids[s]}`" in text for s in stages)


def test_what_cannot_be_reached_is_said(place: At, made: Small, tmp_path: Path) -> None:
    other, edits = tmp_path / "other", made.ids["generate"]
    assert f"{edits} is not at {place.url}" in said(place.seal(other, "pull", edits, place.url), 3)
    assert "there is no hf://someone/else" in said(
        place.seal(other, "pull", edits, "hf://someone/else"), 2
    )
    assert "is no repository" in said(place.seal(other, "pull", edits, "hf://someone/a/b"), 2)
    wrong = place.seal(made.root, "push", edits, place.url, HF_TOKEN="wrong")
    assert "refuses access" in said(wrong, 5)
    closed = place.seal(other, "pull", edits, place.url, HF_ENDPOINT="http://127.0.0.1:1")
    assert "cannot be used" in said(closed, 5)
