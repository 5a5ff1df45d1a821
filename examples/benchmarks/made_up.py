"""A store of any size, made of random text: what store.py times and big_store.py keeps.

A pair is an artifact of self-edits and one of their rewards; all are made from one of contexts.
They are published as every artifact is; the rows are random, and no model is run. No fixture for
tests of what the rows say.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from seal_cli.store.artifact import Artifact
from seal_cli.store.identity import artifact_id
from seal_cli.store.manifest import FORMAT
from seal_cli.store.parts import writer
from seal_cli.store.publish import publish
from seal_cli.store.schema import arrow_schema
from seal_cli.store.workspace import Workspace

PER_CONTEXT = 5
POLICY = "model-0123456789abcdef"
VOCABULARY = 20_000


def make(
    workspace: Workspace, edits: int, pairs: int, *, files: int = 4, words: int = 40, seed: int = 0
) -> int:
    """Make or extend a store: `edits` self-edits in `pairs` artifacts of `files` Parquet files.

    Every file gets as many, so there may be a few less: returns how many there are. Another `seed`
    gives other artifacts.
    """
    workspace.create()
    chance = np.random.default_rng(seed)
    known = vocabulary(chance)
    per_file = edits // pairs // files
    contexts = add(workspace, "import", "contexts", [passages(known)], [], "contexts")
    for pair in range(pairs):
        written = [
            self_edits(chance, known, f"{seed} {pair} {file}", per_file, words)
            for file in range(files)
        ]
        name = f"{seed} {pair}"
        source = add(workspace, "generate", "self_edits", written, [contexts], name)
        add(workspace, "score", "rewards", [rewards(chance, e) for e in written], [source], name)
    return per_file * files * pairs


def vocabulary(chance: np.random.Generator) -> np.ndarray:
    """Random words."""
    return np.array([f"{word:x}" for word in chance.integers(16**4, 16**8, VOCABULARY)])


def add(
    workspace: Workspace,
    stage: str,
    kind: str,
    files: Sequence[dict[str, Any]],
    inputs: Sequence[Artifact],
    name: str,
) -> Artifact:
    """Publish one artifact, a Parquet file for each of `files`, unless it is there."""
    wanted = artifact_id(stage, {"inputs": [a.id for a in inputs], "benchmark": name})
    if not workspace.path(wanted).exists():
        folder = workspace.work_path(wanted)
        folder.mkdir(exist_ok=True)
        for part, columns in enumerate(files):
            table = arrow(kind, columns, wanted)
            with writer(folder / f"part-{part:05}.parquet", kind) as file:
                file.write_table(table)
        n_rows = sum(len(next(iter(columns.values()))) for columns in files)
        manifest = described(wanted, stage, kind, inputs, n_rows, name)
        publish(folder, workspace.path(wanted), manifest)
    return workspace.artifact(wanted)


def arrow(kind: str, columns: dict[str, Any], wanted: str) -> pa.Table:
    """One file's rows: what is not given is null, a single value stands in every row."""
    n_rows = len(next(iter(columns.values())))
    columns = columns | {"artifact_id": wanted}
    arrays = []
    schema = arrow_schema(kind)
    for field in schema:
        value = columns.get(field.name)
        several = isinstance(value, list | np.ndarray)
        arrays.append(pa.array(value if several else [value] * n_rows, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def described(
    wanted: str, stage: str, kind: str, inputs: Sequence[Artifact], n_rows: int, name: str
) -> dict[str, Any]:
    """A manifest with everything that one of a real run has."""
    now = datetime.now(UTC)
    key = {"stage": stage, "inputs": [a.id for a in inputs], "benchmark": name}
    return {
        "format": FORMAT,
        "artifact_id": wanted,
        "stage": stage,
        "kind": kind,
        "status": "ok",
        "inputs": [
            {"artifact_id": a.id, "kind": a.kind, "manifest_sha256": a.digest} for a in inputs
        ],
        "about": {"domain": "knowledge"},
        "source": None if inputs else "random",
        "base": wanted,
        "attempt": 0,
        "key": key | {"domain": "knowledge"},
        "config": {},
        "models": {POLICY: {"name": "random", "path": "/nowhere"}},
        "tables": {kind: {"rows": n_rows, "status": {"ok": n_rows}}},
        "argv": ["benchmark"],
        "versions": {},
        "host": "benchmark",
        "device": "cpu",
        "git": None,
        "started_at": now.isoformat(timespec="seconds"),
        "created_at": now.isoformat(timespec="milliseconds"),
        "seconds": 0.0,
    }


def passages(words: np.ndarray) -> dict[str, Any]:
    """A hundred contexts."""
    n = range(100)
    texts = [" ".join(words[100 * i : 100 * i + 100]) for i in n]
    return {
        "context_id": [ident("context", i) for i in n],
        "ordinal": list(n),
        "domain": "knowledge",
        "split": "train",
        "title": [f"Passage {i}" for i in n],
        "text": texts,
    }


def self_edits(
    chance: np.random.Generator, words: np.ndarray, name: str, n: int, length: int
) -> dict[str, Any]:
    """The columns of `n` self-edits about the passages in turn."""
    drawn = words[chance.integers(len(words), size=(n, length))]
    about = [i // PER_CONTEXT % 100 for i in range(n)]
    return {
        "self_edit_id": [ident(name, i) for i in range(n)],
        "context_id": [ident("context", i) for i in about],
        "sample": [i % PER_CONTEXT for i in range(n)],
        "policy": POLICY,
        "round": 0,
        "prompt_name": "implications",
        "prompt": [
            f"List what follows.\n{' '.join(words[100 * i : 100 * i + 100])}" for i in about
        ],
        "completion": [" ".join(row) for row in drawn],
        "status": "ok",
        "n_tokens": chance.integers(30, 80, n),
        "seed": chance.integers(2**62, size=n),
        "finish": "stop",
    }


def rewards(chance: np.random.Generator, edits: dict[str, Any]) -> dict[str, Any]:
    """Random rewards of these self-edits."""
    n = len(edits["self_edit_id"])
    adapted = chance.random(n)
    return {
        **{name: edits[name] for name in ("self_edit_id", "context_id", "sample", "policy")},
        "round": 0,
        "student": POLICY,
        "grader": "offline-2",
        "baseline_accuracy": 0.25,
        "adapted_accuracy": adapted,
        "adapted_std": chance.random(n) / 10,
        "gain": adapted - 0.25,
        "reward": adapted,
        "n_repeats": 3,
        "n_questions": 5,
        "status": "ok",
        "basis": "answers",
        "rule": "accuracy",
        "origin": "gold",
    }


def ident(*parts: object) -> str:
    """What a row is called; any 16 hex digits will do here."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
