"""Makes the store that growth.py measures a command in; prints the command, as JSON.

    python examples/benchmarks/growth_stores.py COMMAND ROWS FOLDER

Rows are written as a run writes them, a piece at a time: a million need no more memory than ten
thousand. A context has five questions and five self-edits of forty random words, each examined
once.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from made_up import POLICY, arrow, described, vocabulary
from store_times import SEAL, TOP

from seal_cli.store.artifact import Artifact, folder_of
from seal_cli.store.identity import artifact_id
from seal_cli.store.parts import ROWS_AT_ONCE, write_parts
from seal_cli.store.publish import publish
from seal_cli.store.workspace import Workspace

EACH = 5  # self-edits and questions of a context
ASKED = EACH * (1 + EACH)  # answers of a context, those of the unadapted student among them
Columns = Callable[[range], dict[str, Any]]

_SPREAD = 0x9E3779B97F4A7C15  # odd: no two numbers of 64 bits become the same
_CHANCE = np.random.default_rng(0)
_WORDS = vocabulary(_CHANCE)


def made(
    store: Workspace,
    stage: str,
    tables: dict[str, tuple[int, Columns]],
    inputs: list[Artifact],
    name: str = "",
) -> Artifact:
    """Publish an artifact: of each table how many rows, and the columns of some of them."""
    kind = next(iter(tables))
    wanted = artifact_id(stage, {"inputs": [a.id for a in inputs], "benchmark": name})
    folder = store.work_path(wanted)
    counted = {
        table: write_parts(folder / folder_of(table, kind), table, _pieces(table, *how, wanted))
        for table, how in tables.items()
    }
    manifest = described(wanted, stage, kind, inputs, 0, name) | {"tables": counted}
    manifest["about"] |= {"writer": POLICY, "student": POLICY}
    publish(folder, store.path(wanted), manifest)
    return store.artifact(wanted)


def _pieces(table: str, n: int, columns: Columns, wanted: str) -> Iterator[pa.Table]:
    for start in range(0, n, ROWS_AT_ONCE):
        yield arrow(table, columns(range(start, min(n, start + ROWS_AT_ONCE))), wanted)


def ident(kind: str, number: int) -> str:
    """16 hex digits without order, as those of a digest."""
    return f"{(number * _SPREAD + len(kind)) % (1 << 64):016x}"


def _texts(n: int, words: int) -> list[str]:
    return [" ".join(row) for row in _WORDS[_CHANCE.integers(len(_WORDS), size=(n, words))]]


def contexts(rows: range) -> dict[str, Any]:
    """Passages of eight sentences."""
    n = len(rows)
    sentences = iter(_texts(8 * n, 8))
    return {
        "context_id": [ident("context", i) for i in rows],
        "ordinal": list(rows),
        "domain": "knowledge",
        "split": "train",
        "title": [f"Passage {i}" for i in rows],
        "text": [". ".join(next(sentences) for _ in range(8)) + "." for _ in rows],
    }


def questions(rows: range) -> dict[str, Any]:
    """Those of the contexts, in turn."""
    return {
        "question_id": [ident("question", i) for i in rows],
        "context_id": [ident("context", i // EACH) for i in rows],
        "ordinal": [i % EACH for i in rows],
        "question": [f"What is {text}?" for text in _texts(len(rows), 5)],
        "answers": [[f"gold {i}"] for i in rows],
        "origin": "gold",
    }


def self_edits(rows: range) -> dict[str, Any]:
    """Those of the contexts, in turn."""
    n = len(rows)
    prompts = _texts(n // EACH + 2, 100)
    return _of_edits(rows) | {
        "prompt_name": "implications",
        "prompt": [prompts[(i - rows[0]) // EACH] for i in rows],
        "completion": _texts(n, 40),
        "n_tokens": 40,
        "seed": list(rows),
        "finish": "stop",
    }


def _of_edits(rows: range) -> dict[str, Any]:
    return {
        "self_edit_id": [ident("edit", i) for i in rows],
        "context_id": [ident("context", i // EACH) for i in rows],
        "sample": [i % EACH for i in rows],
        "policy": POLICY,
        "round": 0,
        "status": "ok",
    }


def rewards(rows: range) -> dict[str, Any]:
    """Random ones."""
    adapted = _CHANCE.integers(0, EACH + 1, len(rows)) / EACH
    return _of_edits(rows) | {
        "student": POLICY,
        "grader": "offline-2",
        "baseline_accuracy": 0.2,
        "adapted_accuracy": adapted,
        "adapted_std": 0.0,
        "gain": adapted - 0.2,
        "reward": adapted,
        "n_repeats": 1,
        "n_questions": EACH,
        "basis": "answers",
        "rule": "accuracy",
        "origin": "gold",
    }


def selections(rows: range) -> dict[str, Any]:
    """One of five is kept."""
    return {name: _of_edits(rows)[name] for name in ("self_edit_id", "context_id")} | {
        "rank": [i % EACH + 1 for i in rows],
        "rule": "best-of-n",
        "kept": [i % EACH == 0 for i in rows],
        "reason": "random",
        "reward": 0.6,
        "weight": [1.0 if i % EACH == 0 else None for i in rows],
    }


def adapters(rows: range) -> dict[str, Any]:
    """One for each self-edit."""
    return {
        "adapter_id": [ident("adapter", i) for i in rows],
        "self_edit_id": [ident("edit", i) for i in rows],
        "context_id": [ident("context", i // EACH) for i in rows],
        "method": "self-edits",
        "student": POLICY,
        "repeat": 0,
        "seed": list(rows),
        "status": "ok",
        "hyperparameters": json.dumps({"rank": 32, "epochs": 10, "learning_rate": 1e-3}),
        "n_steps": 50,
        "seconds": 0.1,
    }


def answers(rows: range) -> dict[str, Any]:
    """Of a context those of the unadapted student, then of each adapter; half of them right."""
    edits = [None if i % ASKED < EACH else i // ASKED * EACH + i % ASKED // EACH - 1 for i in rows]
    asked = [i // ASKED * EACH + i % EACH for i in rows]
    said = _texts(len(rows), 6)
    return {
        "answer_id": [ident("answer", i) for i in rows],
        "context_id": [ident("context", i // ASKED) for i in rows],
        "question_id": [ident("question", i) for i in asked],
        "student": POLICY,
        "self_edit_id": [None if i is None else ident("edit", i) for i in edits],
        "adapter_id": [None if i is None else ident("adapter", i) for i in edits],
        "method": ["unadapted" if i is None else "self-edits" for i in edits],
        "repeat": 0,
        "text": [f"gold {q}" if i % 2 else t for i, q, t in zip(rows, asked, said, strict=True)],
        "n_tokens": 6,
        "status": "ok",
        "scope": "own",
    }


def verdicts(rows: range) -> dict[str, Any]:
    """On the answers."""
    return {
        "answer_id": [ident("answer", i) for i in rows],
        "context_id": [ident("context", i // ASKED) for i in rows],
        "grader": "offline-2",
        "correct": [i % 2 == 1 for i in rows],
        "score": [float(i % 2) for i in rows],
    }


def metrics(rows: range) -> dict[str, Any]:
    """One for each method of an evaluation."""
    return {
        "method": ["unadapted", "self-edits"],
        "policy": POLICY,
        "round": 0,
        "dataset": "random",
        "regime": "single",
        "metric": "accuracy",
        "value": 0.5,
        "n": len(rows),
        "grader": "offline-2",
        "basis": "answers",
    }


def _asked(store: Workspace, n: int) -> Artifact:
    tables = {"contexts": (n, contexts), "questions": (n * EACH, questions)}
    return made(store, "import", tables, [])


def _examined(n: int) -> dict[str, tuple[int, Columns]]:
    """What was said about `n` contexts."""
    return {
        "adapters": (n * EACH, adapters),
        "answers": (n * ASKED, answers),
        "verdicts": (n * ASKED, verdicts),
    }


def _rewarded(store: Workspace, n: int) -> Artifact:
    about = _asked(store, -(-n // EACH))
    edits = made(store, "generate", {"self_edits": (n, self_edits)}, [about])
    return made(store, "score", {"rewards": (n, rewards)}, [edits])


def prepared(store: Workspace, command: str, n: int) -> list[str]:
    """The store of a command; what runs in it."""
    arguments = _ARGUMENTS[command](store, n)
    if command == "update":
        return [sys.executable, str(Path(__file__)), "prepare", *arguments, str(store.root)]
    return [*SEAL, "--store", str(store.root), *arguments]


def _generate(store: Workspace, n: int) -> list[str]:
    about = _asked(store, -(-n // EACH))
    return [
        "generate",
        about.id,
        "--policy",
        "tiny",
        "--engine",
        "scripted",
        "--samples",
        str(EACH),
    ]


def _filter(store: Workspace, n: int) -> list[str]:
    return ["filter", _rewarded(store, n).id]


def _regrade(store: Workspace, n: int) -> list[str]:
    number = -(-n // ASKED)
    about = _asked(store, number)
    edits = made(store, "generate", {"self_edits": (number * EACH, self_edits)}, [about])
    tables = {"rewards": (number * EACH, rewards), **_examined(number)}
    return ["regrade", made(store, "score", tables, [edits]).id, "--grader", "contained"]


def _update(store: Workspace, n: int) -> list[str]:
    rewarded = _rewarded(store, n)
    return [made(store, "filter", {"selections": (n, selections)}, [rewarded]).id]


def _report(store: Workspace, n: int) -> list[str]:
    number = -(-n // EACH)
    tables = {"metrics": (2, metrics), "self_edits": (n, self_edits), **_examined(number)}
    made(store, "eval", tables, [_asked(store, number)])
    return ["report", "rounds", "--timeout", "600"]


def _sql(store: Workspace, n: int) -> list[str]:
    _rewarded(store, n)
    return ["sql", TOP, "--timeout", "600"]


def _ls(store: Workspace, n: int) -> list[str]:
    for i in range(n):
        made(store, "import", {"contexts": (1, contexts)}, [], f"artifact {i}")
    return ["ls"]


def _hit(store: Workspace, n: int) -> list[str]:
    command = _filter(store, n)
    ran = [*SEAL, "--store", str(store.root), *command]
    subprocess.run(ran, check=True, stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[2])
    return command


def _commit(store: Workspace, n: int) -> list[str]:
    _ls(store, n)
    return _filter(store, 250)


_ARGUMENTS: dict[str, Callable[[Workspace, int], list[str]]] = {
    "generate": _generate,
    "filter": _filter,
    "regrade": _regrade,
    "update": _update,
    "report": _report,
    "sql": _sql,
    "ls": _ls,
    "hit": _hit,
    "commit": _commit,
}


def prepare(selection: str, root: str) -> None:
    """What `seal update` does before it loads a model."""
    from seal_cli.api import Seal
    from seal_cli.execution.spec import Job, Plan
    from seal_cli.pipeline import update

    seal = Seal(root)
    spec = update.update(seal.resolver(), selection, policy="tiny")
    spec.check(seal.store)
    spec.open(seal.runtime, seal.store, Job("update-benchmark", Plan(), Path(root)))


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(*sys.argv[2:])
    else:
        workspace = Workspace(Path(sys.argv[3], "store"))
        workspace.create()
        print(json.dumps(prepared(workspace, sys.argv[1], int(sys.argv[2]))))
