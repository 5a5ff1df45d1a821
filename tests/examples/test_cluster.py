"""The cluster examples: those that can be run here are, with the rows of one process."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from real import Real

CLUSTER = Path(__file__).parents[2] / "examples" / "cluster"
SHELL = sorted(CLUSTER.glob("*.sh"))
YAML = sorted(CLUSTER.glob("*.yaml"))
OTHERS = {  # options of sbatch, parallel, kubectl and ray
    "--array", "--parsable", "--job-name", "--requeue", "--open-mode", "--signal", "--dependency",
    "--kill-on-invalid-dep", "--batch", "--quote", "--line-buffer", "--jobs", "--from-literal",
    "--for", "--timeout", "--generate", "--head", "--node-ip-address", "--port", "--address",
    "--include-dashboard", "--disable-usage-stats", "--shape",
}  # fmt: skip


@pytest.fixture
def score(tmp_path: Path) -> Real:
    real = Real(tmp_path, "score --repeats 1 --epochs 1 -q")
    place = tmp_path / "bin"
    place.mkdir()
    (place / "seal").write_text(f'#!/bin/sh\nexec {sys.executable} -m seal_cli "$@"\n')
    (place / "seal").chmod(0o755)
    real.environ["PATH"] = f"{place}:{os.environ['PATH']}"
    real.environ["RUN"] = real.command.removeprefix("$SEAL ")
    return real


def test_make(score: Real) -> None:
    score.is_whole(score.sh(f'make -s -f {CLUSTER}/Makefile -j2 SHARDS=3 RUN="$RUN"'))
    assert len(list(score.store.glob("shards/*of3"))) == 3


def test_gnu_parallel(score: Real) -> None:
    if shutil.which("parallel") is None:
        pytest.skip("GNU parallel is not installed: apt-get install parallel")
    score.is_whole(score.sh(f"{CLUSTER}/parallel.sh 3 $RUN"))
    assert len(list(score.store.glob("shards/*of3"))) == 3


def test_pods_share_nothing_but_the_remote(score: Real) -> None:
    """What the containers run, by the shell: the index of Kubernetes counts from 0."""
    remote = {"SEAL_REMOTE": f"file://{score.folder}/remote"}
    score.sh(f"seal push {score.edits} $SEAL_REMOTE -q", **remote)
    shards, merge = (container(CLUSTER / f"kubernetes{end}.yaml") for end in ("", "-merge"))
    for index in range(2):
        given = {"JOB_COMPLETION_INDEX": str(index), "SHARDS": "2"}
        store = str(score.folder / f"pod-{index}")
        score.sh(shards["args"][0], SEAL_STORE=store, **given, **remote)
    merged = score.sh(merge["args"][0], SEAL_STORE=str(score.folder / "pod-merge"), **remote)
    assert merged.strip() == score.whole[1].strip()


def container(path: Path) -> Any:
    return yaml.safe_load(path.read_text())["spec"]["template"]["spec"]["containers"][0]


def test_jobs_agree() -> None:
    for path in YAML:
        assert container(path)["command"] == ["bash", "-euo", "pipefail", "-c"]
    job = yaml.safe_load((CLUSTER / "kubernetes.yaml").read_text())["spec"]
    given = {
        entry["name"]: entry["value"] for entry in container(CLUSTER / "kubernetes.yaml")["env"]
    }
    assert job["completionMode"] == "Indexed"
    assert int(given["SHARDS"]) == job["completions"]


@pytest.mark.parametrize("path", SHELL, ids=lambda path: path.name)
def test_shell_files_parse(path: Path) -> None:
    assert subprocess.run(["bash", "-n", path], capture_output=True).stderr == b""
    assert os.access(path, os.X_OK)


def test_options_exist() -> None:
    """No file names an option that neither `seal` nor the engine's own program has."""
    import typer

    from seal_cli.app import app
    from seal_cli.groups import Group

    known, groups = set(OTHERS), [typer.main.get_command(app)]
    for command in groups:  # it grows
        known.update(name for one in command.params for name in one.opts + one.secondary_opts)
        if isinstance(command, Group):
            groups += [command.get_command(None, name) for name in command.list_commands(None)]
    files = [*SHELL, *YAML, CLUSTER / "Makefile", CLUSTER / "README.md"]
    named = {
        (path.name, option)
        for path in files
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", path.read_text())
    }
    assert {option for _, option in named} >= {"--shard", "--merge-only", "--ray"}
    assert {(path, option) for path, option in named if option not in known} == set()
