"""What it takes to add something: dummies are patched into a copy of both packages and run there.

Each of `data/additions/*.patch` is one new thing. The table of examples/guides says how many
modules it may take.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PATCHES = ROOT / "tests/data/additions"
MODULES = {  # at most, DESIGN §4
    "domain": 1,
    "engine": 1,
    "grader": 1,
    "objective": 1,
    "report": 1,
    "reward": 1,
    "stage": 4,
    "transport": 1,
}
FACTS = [
    {"about": "Oslo", "fact": "Oslo lies on a fjord.", "asks": "On what?", "says": "a fjord"},
    {"about": "Lima", "fact": "Lima is dry.", "asks": "Is it dry?", "says": "yes, dry"},
]
RUN = """
import json, sys
from typer.testing import CliRunner
from seal_cli.app import app
from stages import lottery
assert lottery.__file__.startswith(sys.argv[1]), lottery.__file__

def seal(*arguments):
    done = CliRunner().invoke(app, ["--store", "store", *arguments])
    assert done.exit_code == 0, (arguments, done.output, done.stderr)
    return done.stdout.strip()

small = ["--epochs", "1", "--rank", "2"]
contexts = seal("import", "contexts", "facts.jsonl", "--domain", "facts")
edits = seal("generate", contexts, "--policy", sys.argv[2], "--engine", "shout", "--samples", "2")
rewards = seal("score", edits, "--grader", "vowels", "--reward", "squared", *small)
drawn = seal("lottery", rewards, "--share", "1")
policy = seal("update", drawn, "--objective", "worst", *small)
seal("push", drawn, f"flat://{sys.argv[1]}/flat")
def rows(*arguments):
    return [json.loads(line) for line in seal(*arguments, "--format", "json").splitlines()]

print(json.dumps({
    "kinds": [i.partition("-")[0] for i in (contexts, edits, rewards, drawn, policy)],
    "texts": rows("sql", "SELECT completion FROM self_edits"),
    "rules": rows("sql", "SELECT DISTINCT rule FROM rewards"),
    "graders": rows("sql", "SELECT DISTINCT grader FROM verdicts"),
    "methods": rows("sql", "SELECT method FROM policies WHERE method <> 'base'"),
    "domains": rows("sql", "SELECT DISTINCT domain FROM contexts"),
    "far": seal("ls", "--remote", f"flat://{sys.argv[1]}/flat", "--json").splitlines(),
    "longest": seal("report", "longest", "--format", "csv").splitlines(),
}))
"""


def added(patch: str) -> tuple[int, list[int]]:
    """How many modules a patch adds, and how many lines to each file that was there."""
    files = re.split(r"^diff --git .*\n", patch, flags=re.MULTILINE)[1:]
    old = [file for file in files if not file.startswith("new file")]
    lines = [len(re.findall(r"^\+(?!\+\+ )", file, flags=re.MULTILINE)) for file in old]
    return len(files) - len(old), lines


def test_each_thing_has_its_patch() -> None:
    assert sorted(MODULES) == sorted(file.stem for file in PATCHES.glob("*.patch"))


@pytest.mark.parametrize("name", MODULES)
def test_no_more_is_touched_than_is_promised(name: str) -> None:
    modules, lines = added((PATCHES / f"{name}.patch").read_text(encoding="utf-8"))
    assert modules <= MODULES[name]
    assert 0 < len(lines) <= 3  # registries
    assert max(lines) <= 2  # an import and an entry


def test_all_of_them_work(random_model: Path, tmp_path: Path) -> None:
    for package in ("stages", "seal_cli"):
        shutil.copytree(ROOT / package, tmp_path / package)
    for patch in sorted(PATCHES.glob("*.patch")):
        subprocess.run(["git", "apply", str(patch)], cwd=tmp_path, check=True)
    (tmp_path / "facts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in FACTS))
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path), str(random_model)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kinds"] == ["import", "generate", "score", "lottery", "update"]
    assert found["texts"] == [{"completion": "IMPLICATIONS:"}] * 4  # the end of the prompt
    assert found["rules"] == [{"rule": "squared"}]
    assert found["graders"] == [{"grader": "vowels"}]
    assert found["methods"] == [{"method": "worst"}]
    assert found["domains"] == [{"domain": "facts"}]
    far = [json.loads(line)["stage"] for line in found["far"]]
    assert far == ["import", "generate", "score", "lottery"]
    assert [line.rpartition(",")[2] for line in found["longest"]] == ["characters"] + ["13"] * 4
