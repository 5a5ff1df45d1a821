"""`seal bench`: what it prints."""

import json
from pathlib import Path
from typing import Any

import pytest
from endpoint import Server

QUICK = ["-n", 2, "--slots", 2, "--set", "adapt.epochs=1", "--set", "score.answer_tokens=2"]


def test_adapters_as_json_has_results_and_ratios(seal: Any) -> None:
    said = json.loads(seal("bench", "adapters", "--json", "--set", "adapt.rank=2", *QUICK).out)
    assert [(r["method"], r["slots"]) for r in said["results"]] == [
        ("one at a time", 1),
        ("careful loop", 1),
        ("paper", 1),
        ("batched", 2),
    ]
    for result in said["results"]:
        assert result["train_seconds_per_self_edit"] > 0
        assert result["score_seconds_per_self_edit"] > 0
        assert "parity" in result
    assert said["speedup_over_peft"] > 0
    assert said["speedup_over_careful_loop"] > 0
    assert said["speedup_over_paper"] > 0
    assert {"date", "device", "versions", "command"} <= said.keys()


def test_adapters_of_self_edits_in_the_store(seal: Any, passages: Path, random_model: Path) -> None:
    contexts = seal("import", "contexts", passages).id
    scripted = ["--engine", "scripted", "--samples", 1]
    edits = seal("generate", contexts, "--policy", random_model, *scripted).id
    own = ["--model", random_model, "--self-edits", edits, "--no-paper", "--set", "adapt.rank=2"]
    out = seal("bench", "adapters", *own, *QUICK).out
    assert "one at a time" in out
    assert "batched" in out
    assert "speedup_over_peft" in out


def test_generate_measures_every_batch_size_on_the_same_texts(seal: Any, tmp_path: Path) -> None:
    brief = ["-n", 3, "--decode-batch", "1,3", "--set", "generate.max_tokens=3"]
    said = json.loads(seal("bench", "generate", "--json", *brief).out)
    assert [r["decode_batch"] for r in said["results"]] == [1, 3]
    for result in said["results"]:
        assert result["n_self_edits"] == 3
        assert 0 < result["n_tokens"] <= 9
        assert result["tokens_per_second"] > 0
        assert result["seconds_per_self_edit"] > 0
        assert (result["same_texts"], result["n_failed"]) == (1, 0)
    assert {"date", "device", "versions", "command", "clock"} <= said.keys()
    assert not (tmp_path / "store").exists()


def test_generate_measures_a_server_beside_an_engine(
    seal: Any, server: Server, tmp_path: Path
) -> None:
    server.start()
    asked = ["--engine", "scripted,openai", "--base-url", server.url, "--server-model", "served"]
    brief = ["-n", 4, "--decode-batch", "2,4"]
    for _ in range(2):  # what was answered once is asked again
        said = json.loads(seal("bench", "generate", "--json", *asked, *brief).out)
        rows = [(r["engine"], r["decode_batch"]) for r in said["results"]]
        assert rows == [(name, size) for name in ("scripted", "openai") for size in (2, 4)]
        assert [r["n_failed"] for r in said["results"]] == [0] * 4
        assert said["clock"] == "wall"
    assert not (tmp_path / "store").exists()


def test_generate_of_contexts_in_the_store_without_a_model(seal: Any, passages: Path) -> None:
    contexts = seal("import", "contexts", passages).id
    own = ["--engine", "scripted", "--contexts", contexts, "--set", "generate.samples=1"]
    (heading, row) = seal("bench", "generate", *own, "--decode-batch", 2).out.splitlines()
    assert heading.split()[:3] == ["engine", "batch", "tokens/s"]
    assert row.split()[:2] == ["scripted", "2"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["generate", "--decode-batch", "0"], "--decode-batch 0"),
        (["generate", "--engine", "abacus"], "abacus"),
        (["generate", "--contexts", "import-0"], "no artifact import-0"),
    ],
)
def test_the_others_say_what_they_cannot_do(seal: Any, options: list[str], said: str) -> None:
    refused = seal("bench", *options)
    assert refused.code in (2, 3)
    assert said in refused.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--shape", "huge"], "no shape 'huge'"),
        (["--slots", "many"], "--slots many"),
        (["--self-edits", "generate-0"], "--self-edits goes with --model"),
    ],
)
def test_what_is_not_understood_is_said(seal: Any, options: list[str], said: str) -> None:
    refused = seal("bench", "adapters", *options)
    assert refused.code == 2
    assert said in refused.err
