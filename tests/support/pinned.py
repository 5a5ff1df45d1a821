"""Commands that pin what a refactoring must not change: ids, keys, exit codes, stdout, rows.

All run on the shipped models at fixed slots and a fixed decode batch. `tests/e2e/test_pinned.py`
compares with `tests/data/pinned.json`. Where floats enter, rows differ by the processor: those are
compared with the rows of another commit on the same machine.

      python tests/support/pinned.py compare COMMIT     rows of this tree beside those of a commit
      python tests/support/pinned.py values COMMIT      the same without ids, where those change
      python tests/support/pinned.py write              tests/data/pinned.json anew
"""

import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
GOLDEN = ROOT / "tests" / "data" / "pinned.json"
# Differ from run to run, or say where and when.
VOLATILE = ("seconds", "alone", "source_file", "artifact_id")
# What follows from ids alone.
NAMES = (
    "policy",
    "student",
    "selection",
    "weights",
    "hyperparameters",
    "dataset",
    "judge",
    "parent",
)

SMALL = ["--repeats", 1, "--slots", 4, "--set", "score.decode_batch=32"]
EVAL = ["--slots", 4, "--decode-batch", 32]
FAST = ["--epochs", 1, *EVAL]

# In order; {name} is the id that an earlier one printed, {folder} a folder with the files below.
COMMANDS: dict[str, list[object]] = {
    "contexts": ["import", "contexts", "tiny", "--split", "train", "--limit", 4],
    "held-out": ["import", "contexts", "tiny", "--split", "eval", "--limit", 4],
    "passages": ["import", "contexts", "{folder}/passages.jsonl"],
    "grids": ["import", "contexts", "tiny-grids", "--split", "eval", "--limit", 2],
    "generate": [
        "generate", "{contexts}", "--policy", "tiny", "--samples", 3, "--decode-batch", 32,
    ],
    "scripted": ["generate", "{contexts}", "--policy", "tiny", "--engine", "scripted"],
    "recipe": [
        "generate", "{contexts}", "--policy", "tiny", "--engine", "scripted",
        "--prompt", "active-reading", "--samples", 2,
    ],
    "failing": [
        "generate", "{passages}", "--policy", "tiny", "--samples", 1, "--decode-batch", 32,
    ],
    "failing-again": [
        "generate", "{passages}", "--policy", "tiny", "--samples", 1, "--decode-batch", 32,
        "--retry-failed",
    ],
    "failing-strict": [
        "generate", "{passages}", "--policy", "tiny", "--samples", 1, "--decode-batch", 32,
        "--strict",
    ],
    "forced": ["generate", "{contexts}", "--policy", "tiny", "--engine", "scripted", "--force"],
    "adapt": ["adapt", "{generate}", "--repeats", 2, "--slots", 4],
    "one-at-a-time": ["adapt", "{scripted}", "--repeats", 1, "--slots", 1, "--epochs", 1],
    "score": ["score", "{adapt}", "--set", "score.decode_batch=32"],
    "score-self-edits": ["score", "{generate}", *SMALL],
    "score-gain": ["score", "{generate}", *SMALL, "--reward", "gain"],
    "score-binary": ["score", "{generate}", *SMALL, "--reward", "binary", "--grader", "f1"],
    "halving": [
        "score", "{generate}", "--repeats", 2, "--slots", 4, "--racing", "halving",
        "--set", "score.decode_batch=32",
    ],
    "bounds": [
        "score", "{generate}", "--repeats", 2, "--slots", 4, "--racing", "bounds",
        "--racing-confidence", 0.8, "--set", "score.decode_batch=32",
    ],
    "probe": ["score", "{generate}", *SMALL, "--probe", "{held-out}", "--probe-limit", 2],
    "quiz": ["quiz", "{contexts}", "--policy", "tiny", "--decode-batch", 32],
    "score-quiz": ["score", "{generate}", *SMALL, "--questions", "{quiz}"],
    "proxy": ["score", "{generate}", "--reward", "proxy", "--proxy-model", "tiny"],
    "regrade": ["regrade", "{score}", "--grader", "f1"],
    "filter": ["filter", "{score}"],
    "top-k": ["filter", "{score}", "--rule", "top-k", "--keep", 2],
    "forgetful": ["filter", "{probe}", "--max-forget", 60],
    "by-query": ["filter", "{score}", "--rule", "sql", "--query", "{folder}/rule.sql"],
    "nothing": ["filter", "{score}", "--rule", "threshold", "--threshold", 2],
    "update": ["update", "{filter}", "--epochs", 1],
    "update-replay": [
        "update", "{top-k}", "--epochs", 1, "--replay", 2, "--replay-from", "{filter}",
    ],
    "update-nothing": ["update", "{nothing}"],
    "single": ["eval", "{update}", "{held-out}", *EVAL],
    "eval-probe": ["eval", "tiny", "{held-out}", *FAST, "--probe", "{contexts}"],
    "student": ["eval", "tiny", "{held-out}", *FAST, "--student", "{update}"],
    "cpt": ["eval", "tiny", "{held-out}", "--regime", "cpt", *FAST],
    "cpt-full": ["eval", "tiny", "{held-out}", "--regime", "cpt", "--full", *FAST],
    "continual": [
        "eval", "tiny", "{held-out}", "--regime", "continual", "--edits", 3, "--sequences", 2,
        "--replay", 1, *EVAL,
    ],
    "gate": [
        "eval", "tiny", "{held-out}", "--regime", "continual", "--edits", 2, "--sequences", 2,
        "--gate", 5, "--probe", "{contexts}", *EVAL,
    ],
    "separate": [
        "eval", "tiny", "{held-out}", "--regime", "continual", "--edits", 3, "--sequences", 2,
        "--separate", *EVAL,
    ],
    "fewshot": ["eval", "tiny-grids", "{grids}", "--max-sequences", 8, *FAST],
    "oracle": [
        "eval", "tiny-grids", "{grids}", "--max-sequences", 8, "--voting",
        "--oracle", "{folder}/oracle.json", *FAST,
    ],
    "regrade-eval": ["regrade", "{single}", "--grader", "exact"],
    "loop": [
        "loop", "--contexts", "{contexts}", "--eval-contexts", "{held-out}", "--policy", "tiny",
        "--rounds", 1, "--limit", 2, "--samples", 2, "--slots", 4,
        "--set", "generate.decode_batch=32", "--set", "score.decode_batch=32",
    ],
    "no-such-model": ["generate", "{contexts}", "--policy", "no-such-model"],
    "no-such-choice": ["filter", "{score}", "--rule", "best"],
    "wrong-kind": ["score", "{filter}"],
    "hit": ["score", "{adapt}", "--set", "score.decode_batch=32"],
}  # fmt: skip

FILES = {
    "passages.jsonl": "".join(
        json.dumps({"title": title, "context": text, "questions": asked}) + "\n"
        for title, text, asked in (
            ("Ada", "Ada : Now a jeweler . Fond of melon .", []),
            ("Long", "Now a jeweler . " * 400, []),  # does not fit the tiny model's window
        )
    ),
    "rule.sql": "SELECT self_edit_id, reward > 0.2 AS kept FROM rewards ORDER BY self_edit_id",
    "oracle.json": json.dumps(
        {
            "data_generation": {
                "use_basic_augmentations": True,
                "use_size_augmentations": False,
                "use_chain_augmentations": False,
                "use_repeat_augmentations": False,
            },
            "training": {
                "strategy": "train_using_output_tokens",
                "learning_rate": 0.001,
                "num_train_epochs": 2,
            },
        }
    ),
}


def run(folder: Path) -> dict[str, dict[str, Any]]:
    """Every command in turn, in one process and a store of its own; what each left."""
    os.environ["OMP_NUM_THREADS"] = "1"
    from typer.testing import CliRunner

    from seal_cli.app import app

    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    os.chdir(folder)
    ids: dict[str, str] = {"folder": str(folder)}
    left = {}
    for name, command in COMMANDS.items():
        argv = ["--store", str(folder / "store"), *(str(word).format(**ids) for word in command)]
        done = CliRunner().invoke(app, argv)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        ids[name] = done.stdout.strip()
        left[name] = {
            "code": done.exit_code,
            "stdout": done.stdout,
            "key": _key(folder, ids[name]),
        }
    return left


def _key(folder: Path, artifact_id: str) -> Any:
    """The key material of an artifact, as its manifest has it; null where none was printed."""
    manifest = folder / "store" / "artifacts" / artifact_id / "_manifest.json"
    return json.loads(manifest.read_text(encoding="utf-8"))["key"] if manifest.is_file() else None


def rows(folder: Path, artifact_id: str) -> dict[str, list[dict[str, Any]]]:
    """Table -> rows of an artifact without the columns that differ from run to run."""
    import pyarrow.parquet as pq

    found = {}
    artifact = folder / "store" / "artifacts" / artifact_id
    for file in sorted(artifact.glob("**/part-*.parquet")):
        read = pq.ParquetFile(file).read().to_pylist()
        table = found.setdefault(str(file.parent.relative_to(artifact)), [])
        table += [{k: v for k, v in row.items() if k not in VOLATILE} for row in read]
    return found


def digest(tables: dict[str, list[dict[str, Any]]]) -> str:
    """Of rows in which no float came from a model: the same on every machine."""
    text = json.dumps(tables, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def differences(here: Any, there: Any, place: str = "") -> list[str]:
    """Where two values differ, floats by more than 1e-4 relative."""
    if isinstance(here, float) and isinstance(there, float):
        return [] if math.isclose(here, there, rel_tol=1e-4, abs_tol=1e-6) else [place]
    if isinstance(here, dict) and isinstance(there, dict):
        keys = [k for k in here if k in there]
        return [d for k in keys for d in differences(here[k], there[k], f"{place}/{k}")]
    if isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        pairs = enumerate(zip(here, there, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{place}/{i}")]
    return [] if here == there else [f"{place}: {str(here)[:60]!r} and {str(there)[:60]!r}"]


def golden(folder: Path) -> dict[str, dict[str, Any]]:
    """What `tests/data/pinned.json` holds, of a run in this folder."""
    left = run(folder)
    for name in ("contexts", "passages", "scripted", "recipe"):
        left[name]["rows"] = digest(rows(folder, left[name]["stdout"].strip()))
    return left


def values(tables: Any) -> Any:
    """Rows without ids and what follows from them, in an order that is not theirs."""
    return {
        table: [
            {k: v for k, v in row.items() if k not in NAMES and not k.endswith("_id")}
            for row in rows
        ]
        for table, rows in tables.items()
    }


def compare(commit: str, *, ids: bool = True) -> int:
    """Run here and at a commit; print what differs. 0 when nothing does."""
    with tempfile.TemporaryDirectory() as temporary:
        there = Path(temporary, "there")
        subprocess.run(
            ["git", "-C", str(ROOT), "worktree", "add", "-q", str(there), commit], check=True
        )
        try:
            found = [
                _ran(root, Path(temporary, name)) for name, root in (("a", ROOT), ("b", there))
            ]
        finally:
            subprocess.run(
                ["git", "-C", str(ROOT), "worktree", "remove", "--force", str(there)], check=True
            )
        different = 0
        for name in COMMANDS:
            one, other = (left[name] for left, _ in found)
            (_, here), (_, beside) = found
            pair = [one["stdout"].strip(), other["stdout"].strip()]
            same = one["code"] == other["code"]
            wrong = [] if same else [f"exit codes {one['code']} and {other['code']}"]
            if one["key"] and other["key"]:
                both = [rows(here, pair[0]), rows(beside, pair[1])]
                wrong += differences(*(both if ids else map(values, both)))
            note = "" if pair[0] == pair[1] else f"  (id {pair[1]} before)"
            said = f"{len(wrong)} differences, {wrong[0][:80]}" if wrong else "the same"
            print(f"{name:<18} {pair[0] or one['code']}{note}: {said}")
            different += bool(wrong)
        return 1 if different else 0


def _ran(root: Path, folder: Path) -> tuple[dict[str, dict[str, Any]], Path]:
    folder.mkdir()
    script = (
        "import sys, json, pathlib; sys.path.insert(0, sys.argv[2]);"
        "import pinned; left = pinned.run(pathlib.Path(sys.argv[1]));"
        "pathlib.Path(sys.argv[1], 'left.json').write_text(json.dumps(left))"
    )
    command = [sys.executable, "-c", script, str(folder), str(Path(__file__).parent)]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(root)}, cwd=root)
    return json.loads((folder / "left.json").read_text()), folder


if __name__ == "__main__":
    if sys.argv[1] in ("compare", "values"):
        sys.exit(compare(sys.argv[2], ids=sys.argv[1] == "compare"))
    if sys.argv[1:] == ["write"]:
        with tempfile.TemporaryDirectory() as temporary:
            GOLDEN.write_text(json.dumps(golden(Path(temporary)), indent=1, sort_keys=True) + "\n")
        sys.exit(0)
    sys.exit(__doc__)
