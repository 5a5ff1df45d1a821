"""A loop on a model as large as SmolLM2-135M, killed at random: what it loses is one batch."""

import os
import random
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from rounds import same_stores
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from seal_cli.store.files import read_sealed

ROOT = Path(__file__).parents[2]
SEAL = (sys.executable, "-c", "from seal_cli.__main__ import main; main()")
SETS = (
    "generate.engine=scripted", "adapt.epochs=4", "adapt.rank=2", "score.answer_tokens=2",
    "update.rank=2", "update.epochs=1",
)  # fmt: skip


@pytest.fixture
def smol(random_model: Path, tmp_path: Path) -> Path:
    """Its shape with random weights; the tokenizer is the small model's, of bytes."""
    tokenizer = AutoTokenizer.from_pretrained(random_model)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
        num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=2048,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    folder = tmp_path / "smol"
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def journaled(store: Path) -> int:
    """How many batches of the score stage under way are in its journal."""
    records = (store / "work").glob("score-*/batches/*[0-9]/batch.json")
    return sum(len(read_sealed(path).get("batches", [path])) for path in records)


def killed_in_score(process: "subprocess.Popen[str]", store: Path, wait: float) -> int:
    """Kill it a while after its journal has a batch; what the journal has then."""
    while process.poll() is None and not journaled(store):
        time.sleep(0.05)
    with suppress(subprocess.TimeoutExpired):
        process.wait(wait)
    process.kill()
    process.communicate()
    return journaled(store)


@pytest.mark.soak
def test_a_loop_on_a_large_model_killed_at_random_loses_one_batch(
    smol: Path, passages: Path, tmp_path: Path
) -> None:
    def started(name: str, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*SEAL, "--store", str(tmp_path / name), *arguments],
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )

    imported = started("calm", "import", "contexts", str(passages)).communicate()[0].strip()
    shutil.copytree(tmp_path / "calm", tmp_path / "store")
    loop = [
        "loop", "--contexts", imported, "--policy", str(smol), "--rounds", "1", "--limit", "3",
        "--samples", "1", "--repeats", "1", "--slots", "1", "--eval-limit", "1",
        *(part for name in SETS for part in ("--set", name)),
    ]  # fmt: skip
    expected, said = started("calm", *loop).communicate()
    assert expected.startswith("update-"), said
    wait = random.Random(3).uniform(0, 8)
    kept = killed_in_score(started("store", *loop), tmp_path / "store", wait)
    out, said = started("store", *loop).communicate()
    assert out == expected
    # Three contexts, each a batch: what was in the journal is not made again, one was under way.
    assert kept in (1, 2)
    assert f"going on after {kept} of 3 batches" in said
    same_stores(tmp_path / "store", tmp_path / "calm")
