"""`--engine vllm` from the command line: the pipe, keys, resuming, and what stdout has."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from seal_cli.signals import Stopped
from stages.engines import vllm_process

ROOT = Path(__file__).parent.parent.parent
SMALL = ["--set", "vllm.kv_cache_mib=64", "--set", "vllm.adapters=4"]
WRITE = ["--policy", "tiny", "--samples", 2, "--limit", 2, "--temperature", 0, *SMALL]


def texts(seal: Any, artifact: str, columns: str) -> list[dict[str, Any]]:
    table = "self_edits" if artifact.startswith("generate") else "answers"
    query = f"SELECT {columns} FROM {table} WHERE artifact_id = '{artifact}' ORDER BY ALL"
    return [json.loads(line) for line in seal("sql", query, "--format", "json").out.splitlines()]


@pytest.fixture
def contexts(seal: Any) -> str:
    return str(seal("import", "contexts", "tiny", "--split", "train", "--limit", 4).id)


def test_greedy_rows_and_rewards_are_those_of_transformers(
    seal: Any, contexts: str, tmp_path: Path
) -> None:
    by_vllm = seal("generate", contexts, "--engine", "vllm", *WRITE).id
    by_transformers = seal("generate", contexts, *WRITE).id
    assert by_vllm != by_transformers
    columns = "self_edit_id, completion, status, n_tokens, finish"
    assert texts(seal, by_vllm, columns) == texts(seal, by_transformers, columns)
    training = ["--rank", 4, "--epochs", 2]
    scored = seal("score", "-", "--engine", "vllm", *training, *SMALL, stdin=by_vllm).id
    other = seal("score", by_transformers, *training).id
    assert scored != other
    columns = "answer_id, method, adapter_id, text, n_tokens, status"
    answers = texts(seal, scored, columns)
    assert answers == texts(seal, other, columns)
    assert len({row["adapter_id"] for row in answers}) == 5  # four adapters and none
    key = key_of(tmp_path, scored)
    engine = {"name": "vllm", "semantics": 1, "max_model_len": 0}
    assert key["examining"]["engine"] == engine
    # Kept adapters, asked through the same engine: it is not started anew for them.
    before = vllm_process._running
    adapters = seal("adapt", by_vllm, "--repeats", 1, *training).id
    kept = seal("score", adapters, "--engine", "vllm", *SMALL).id
    assert texts(seal, kept, "text, n_tokens") == texts(seal, scored, "text, n_tokens")
    assert vllm_process._running is before


def key_of(folder: Path, artifact: str) -> Any:
    manifest = folder / "store" / "artifacts" / artifact / "_manifest.json"
    return json.loads(manifest.read_text())["key"]


def test_eval_and_loop_take_the_engine_for_all_they_ask(
    seal: Any, contexts: str, tmp_path: Path
) -> None:
    brief = ["--set", "update.epochs=1", "--set", "adapt.epochs=1", "--set", "adapt.rank=4"]
    brief += ["--set", "vllm.kv_cache_mib=64", "--set", "vllm.adapters=4"]
    shape = ["--rounds", 1, "--limit", 2, "--samples", 2, "--eval-limit", 1]
    looped = seal("loop", "--contexts", contexts, "--engine", "vllm", *shape, *brief)
    assert looped.code == 0, looped.err
    store = [json.loads(line) for line in seal("ls", "--json").out.splitlines()]
    keys = {a["artifact_id"]: key_of(tmp_path, a["artifact_id"]) for a in store}
    stages = {name.split("-")[0] for name in keys}
    assert {"generate", "score", "eval", "update"} <= stages
    for name, key in keys.items():
        parts = {
            "generate": ("writing",),
            "score": ("examining",),
            "eval": ("writing", "examining"),
        }
        for part in parts.get(name.split("-")[0], ()):
            assert key[part]["engine"]["name"] == "vllm"


def test_an_interrupted_run_goes_on_where_it_was(
    seal: Any, contexts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stages.engines.vllm import VllmEngine

    asked = []
    complete = VllmEngine.complete

    def failing(self: Any, requests: Any, loras: Any = ()) -> Any:
        asked.append(len(requests))
        if len(asked) == 2:
            raise Stopped(15)
        return complete(self, requests, loras)

    command = ["generate", contexts, "--engine", "vllm", "--policy", "tiny", "--samples", 128]
    command += ["--max-tokens", 3, *SMALL]
    with monkeypatch.context() as patch:
        patch.setattr(VllmEngine, "complete", failing)
        assert seal(*command).code == 143
    assert asked == [256, 256]
    asked.clear()
    monkeypatch.setattr(VllmEngine, "complete", lambda *a: (asked.append(1), complete(*a))[1])
    resumed = seal(*command)
    assert "going on after 1 of 2 batches" in resumed.err
    assert asked == [1]
    assert seal(*command).id == resumed.id
    assert asked == [1]
    assert len({row["seed"] for row in texts(seal, resumed.id, "seed")}) == 512


def test_a_process_writes_the_id_to_stdout_and_nothing_else(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "SEAL_STORE": str(tmp_path / "store")}
    for name in [name for name in environment if name.startswith(("VLLM_", "OMP_"))]:
        del environment[name]  # as a user has it

    def run(*args: object, stdin: str = "") -> str:
        command = [sys.executable, "-m", "seal_cli", *map(str, args)]
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, cwd=tmp_path, env=environment
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    contexts = run("import", "contexts", "tiny", "--split", "train", "--limit", 1)
    written = run("generate", "-", "--engine", "vllm", *WRITE, "--json", stdin=contexts)
    assert json.loads(written)["status"] == "ok"


def test_doctor_finds_it(seal: Any) -> None:
    facts = json.loads(seal("doctor", "--json").out)
    assert facts["extra vllm"]["ok"]
    assert facts["extra vllm"]["fact"][0].isdigit()
