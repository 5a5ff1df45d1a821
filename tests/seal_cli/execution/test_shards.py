"""Parts of a run, and the run that takes them over."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from reading import tables_of, weights_of
from small import flip

from seal_cli.api import Seal
from seal_cli.execution.shards import Shard
from stages.errors import ConfigError, InputError

N = 4  # contexts, and shards
# One slot: the cut into batches moves no float.
SMALL = ["--rank", 2, "--epochs", 1, "--repeats", 1, "--slots", 1]


@pytest.fixture
def contexts(seal: Any, tmp_path: Path) -> str:
    path = tmp_path / "passages.jsonl"
    texts = [f"The light of quay {n} is {30 + n} m high. It is old." for n in range(N)]
    path.write_text("".join(json.dumps({"title": t[13:19], "context": t}) + "\n" for t in texts))
    return str(seal("import", "contexts", path).id)


class Parts:
    """A command, run in parts; `whole` is what it gives in another store without any."""

    def __init__(self, seal: Any, store: Path, command: list[object]) -> None:
        self.seal, self.store, self.command = seal, store, command
        other = store.parent / "other"
        shutil.copytree(store, other)
        self.id = seal(*command, store=other).id
        self.whole = other / "artifacts" / self.id

    def run(self, number: int, *options: object) -> Any:
        return self.seal(*self.command, "--shard", f"{number}/{N}", *options)

    def path(self, number: int) -> Path:
        return self.store / "shards" / f"{self.id}-s{number}of{N}"

    def is_whole(self, artifact_id: str) -> None:
        found = self.store / "artifacts" / artifact_id
        assert artifact_id == self.id
        assert tables_of(found) == tables_of(self.whole)
        assert weights_of(found) == weights_of(self.whole)


@pytest.fixture
def writing(seal: Any, contexts: str, random_model: Path, tmp_path: Path) -> Parts:
    scripted = ["--policy", random_model, "--engine", "scripted", "--samples", 2]
    return Parts(seal, tmp_path / "store", ["generate", contexts, *scripted])


@pytest.fixture
def training(seal: Any, writing: Parts, tmp_path: Path) -> Parts:
    edits = seal(*writing.command).id
    shutil.rmtree(tmp_path / "other")
    return Parts(seal, tmp_path / "store", ["adapt", edits, *SMALL])


def test_weights_are_linked_and_rows_in_the_order_of_one_run(seal: Any, training: Parts) -> None:
    for number in (4, 2, 1, 3):
        shard = training.run(number)
        assert shard.id == f"{training.id}-s{number}of{N}"
    merged = seal(*training.command, "--merge-only")
    training.is_whole(merged.id)
    found = training.store / "artifacts" / merged.id / "__weights"
    links = {path.stat().st_ino for path in found.rglob("*.safetensors")}
    apart = (training.store / "shards").rglob("*.safetensors")
    assert links == {path.stat().st_ino for path in apart}
    assert len(links) == 2 * N
    assert seal("verify", "--all").code == 0
    assert [line.split("\t")[0] for line in seal("gc", "--yes").out.splitlines()] == [
        f"shards/{training.id}-s{number}of{N}" for number in range(1, N + 1)
    ]
    training.is_whole(seal(*training.command).id)


def test_a_plain_run_computes_what_no_shard_has(seal: Any, training: Parts) -> None:
    training.run(2)
    merged = seal(*training.command)
    assert "took over the shard s2of4" in merged.err
    training.is_whole(merged.id)
    assert training.run(3).id == training.id  # the whole is there: no part is made any more
    assert not training.path(3).exists()


def test_more_shards_than_contexts_are_empty(seal: Any, writing: Parts) -> None:
    for number in (1, 2, 3, 4, 5):
        assert seal(*writing.command, "--shard", f"{number}/5").code == 0
    writing.is_whole(seal(*writing.command, "--merge-only").id)


def test_shards_are_nowhere_but_in_their_folder(seal: Any, writing: Parts) -> None:
    before = seal("ls").out, seal("sql", "select count(*) from self_edits").out
    shard = writing.run(1).id
    assert (seal("ls").out, seal("sql", "select count(*) from self_edits").out) == before
    assert seal("adapt", "@latest:generate").code == 3
    refused = seal("adapt", shard)
    assert refused.code == 3
    assert "is a shard" in refused.err
    again = writing.run(1)
    assert again.id == shard
    assert "is there already" in again.err
    assert seal("verify", shard).code == 0


def test_merge_only_names_what_is_missing_and_begins_nothing(seal: Any, writing: Parts) -> None:
    none = seal(*writing.command, "--merge-only")
    assert none.code == 3
    assert "there is no shard" in none.err
    for number in (1, 2, 4):
        writing.run(number)
    refused = seal(*writing.command, "--merge-only")
    assert refused.code == 3
    assert refused.out == ""
    assert f"1 of 4 items are missing: {writing.id}-s3of4." in refused.err
    assert list((writing.store / "work").iterdir()) == []
    writing.run(3)
    writing.is_whole(seal(*writing.command, "--merge-only").id)


def test_what_is_needed_for_a_shard_stays(seal: Any, writing: Parts, contexts: str) -> None:
    writing.run(1)
    refused = seal("rm", contexts, "--yes")
    assert refused.code == 2
    assert f"the shard {writing.id}-s1of4 needs it" in refused.err


def test_a_damaged_shard_is_missing(seal: Any, training: Parts) -> None:
    for number in range(1, N + 1):
        training.run(number)
    flip(next(training.path(2).rglob("*.safetensors")))
    refused = seal(*training.command, "--merge-only")
    assert refused.code == 3
    assert "It is left out." in refused.err
    assert f"missing: {training.id}-s2of4" in refused.err
    assert seal("rm", f"{training.id}-s2of4", "--yes").code == 0
    training.run(2)
    training.is_whole(seal(*training.command, "--merge-only").id)


def test_a_shard_of_another_run_is_left_out(seal: Any, writing: Parts) -> None:
    """The folder is called like a shard of this run, and its manifest agrees with that."""
    from seal_cli.store.files import unsealed, write_sealed

    other = seal(*writing.command, "--seed", 1, "--shard", "1/4").id
    shutil.move(writing.store / "shards" / other, writing.path(1))
    manifest = writing.path(1) / "_manifest.json"
    renamed = {"artifact_id": writing.path(1).name, "base": writing.id}
    write_sealed(manifest, unsealed(manifest.read_bytes()) | renamed)
    merged = seal(*writing.command)
    assert "was made with another key" in merged.err
    writing.is_whole(merged.id)


def test_a_shard_with_rows_of_others_is_refused(seal: Any, writing: Parts) -> None:
    from seal_cli.store.files import unsealed, write_sealed

    first = writing.run(1).id
    shutil.move(writing.store / "shards" / first, writing.path(2))
    manifest = writing.path(2) / "_manifest.json"
    named = unsealed(manifest.read_bytes()) | {"artifact_id": writing.path(2).name}
    write_sealed(manifest, named)
    merged = seal(*writing.command)
    assert merged.code == 3
    assert "has rows about" in merged.err


def test_of_cuts_that_overlap_the_one_with_most_is_taken(seal: Any, writing: Parts) -> None:
    for shard in ("1/2", "1/4", "2/4", "3/4"):
        seal(*writing.command, "--shard", shard)
    merged = seal(*writing.command)
    assert [w.rstrip(".") for w in merged.err.split() if "of" in w and w.startswith("s")] == [
        "s1of4", "s2of4", "s3of4",
    ]  # fmt: skip
    writing.is_whole(merged.id)


def test_a_run_keeps_to_the_shards_that_it_began_with(
    seal: Any, training: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a shard that comes while it is interrupted would bring rows that are there already."""
    training.run(1)
    with monkeypatch.context() as broken:
        broken.setenv("SEAL_FAILPOINT", "batch-renamed:error")
        assert seal(*training.command).code == 5  # with the shard journaled, and nothing else
    training.run(2)
    refused = seal(*training.command, "--merge-only")
    assert refused.code == 3
    assert "begun without shards" in refused.err
    merged = seal(*training.command)
    assert "s2of4" not in merged.err
    training.is_whole(merged.id)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--shard", "0/3"], "--shard 0/3 is not understood"),
        (["--shard", "4/3"], "is not understood"),
        (["--shard", "1"], "is not understood"),
        (["--shard", "1/3", "--merge-only"], "exclude each other"),
        (["--shard", "1/3", "--force"], "not for shards"),
        (["--merge-only", "--retry-failed"], "not for shards"),
    ],
)
def test_what_is_refused(seal: Any, writing: Parts, options: list[object], said: str) -> None:
    refused = seal(*writing.command, *options)
    assert (refused.code, refused.out) == (2, "")
    assert said in refused.err


def test_a_run_of_phases_has_no_shards(seal: Any, passages: Path, random_model: Path) -> None:
    asked = seal("import", "contexts", passages).id
    for regime in (["cpt"], ["continual", "--edits", 2]):
        for how in (["--shard", "1/2"], ["--merge-only"]):
            refused = seal("eval", random_model, asked, "--regime", *regime, *how)
            assert refused.code == 2
            assert "it has no shards" in refused.err


def test_a_loop_has_no_shards(seal: Any) -> None:
    assert seal("loop", "--contexts", "tiny", "--shard", "1/2").code == 2
    with pytest.raises(ConfigError, match="takes no 'shard'"):
        Seal("store").loop("tiny", shard="1/2")


def test_the_same_from_python(writing: Parts, contexts: str, random_model: Path) -> None:
    seal = Seal(writing.store)
    how: dict[str, Any] = {"policy": random_model, "engine": "scripted", "samples": 2}
    made = [seal.generate(contexts, **how, shard=f"{n}/{N}").id for n in range(1, N)]
    assert made == [f"{writing.id}-s{n}of{N}" for n in range(1, N)]
    with pytest.raises(InputError, match="s4of4"):
        seal.generate(contexts, **how, merge_only=True)
    seal.generate(contexts, **how, shard=f"{N}/{N}")
    writing.is_whole(seal.generate(contexts, **how, merge_only=True).id)


def test_names_and_parts() -> None:
    shard = Shard.of("2/3")
    assert shard.items(list("abcdefg")) == ["b", "e"]
    assert Shard.named(shard.name) == shard
