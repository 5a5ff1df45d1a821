"""`seal bench`: what it prints."""

import json
from pathlib import Path
from typing import Any

import pytest

QUICK = ["-n", 2, "--slots", 2, "--set", "adapt.epochs=1", "--set", "score.answer_tokens=2"]


def test_adapters_as_json_has_results_and_ratios(seal: Any) -> None:
    said = json.loads(seal("bench", "adapters", "--json", "--set", "adapt.rank=2", *QUICK).out)
    assert [(r["method"], r["slots"]) for r in said["results"]] == [
        ("one at a time", 1),
        ("paper", 1),
        ("batched", 2),
    ]
    for result in said["results"]:
        assert result["train_seconds_per_self_edit"] > 0
        assert result["score_seconds_per_self_edit"] > 0
        assert "parity" in result
    assert said["speedup_over_peft"] > 0
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
