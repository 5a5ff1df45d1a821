"""Killed at every step and run again, a stage publishes what an undisturbed run publishes."""

import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from rounds import STAGES, Pipeline, copy_inputs, same, same_stores

from seal_cli.store.failpoints import FAILPOINTS
from seal_cli.store.workspace import Workspace

KILLED = -signal.SIGKILL
OF_A_STAGE = FAILPOINTS[: FAILPOINTS.index("published") + 1]
BATCHED = {"generate", "adapt", "score", "eval", "cpt", "continual"}


def kill_and_rerun(
    pipeline: Pipeline,
    calm: tuple[Path, dict[str, str]],
    stage: str,
    failpoint: str,
    store: Path,
    patch: str | None = None,
) -> None:
    """The property: killed there and run again, the stage gives the undisturbed artifact."""
    calm_store, ids = calm
    killed = pipeline.run(stage, ids, store, failpoint=failpoint, patch=patch)
    # Publishing is the last word: what is killed after it is done.
    assert killed.code == KILLED, (failpoint, killed.err)
    assert all(artifact.manifest for artifact in Workspace(store).all())
    again = pipeline.run(stage, ids, store, patch=patch)
    assert again.id == ids[stage]
    same(store / "artifacts" / again.id, calm_store / "artifacts" / ids[stage])
    assert list((store / "work").iterdir()) == []


def failpoints_of(stage: str) -> list[str]:
    """Every fail point; those of a batch also at the second batch, where there is one.

    What is after the batches is the same for every regime of eval.
    """
    if stage in ("cpt", "continual"):
        return ["batch-written:kill@2", "batch-renamed:kill@2"]
    later = ["batch-written:kill@2", "batch-renamed:kill@2"] if stage in BATCHED else []
    return [f"{name}:kill" for name in OF_A_STAGE] + later


@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_every_step_a_stage_ends_the_same(
    pipeline: Pipeline, calm: tuple[Path, dict[str, str]], stage: str, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    copy_inputs(calm[0], stage, calm[1], store)
    for failpoint in failpoints_of(stage):
        kill_and_rerun(pipeline, calm, stage, failpoint, store)
        shutil.rmtree(store / "artifacts" / calm[1][stage])


@pytest.mark.parametrize(
    ("patch", "failpoint"),
    [("commit_in_pieces", "manifest-written"), ("count_before_writing", "batch-renamed")],
)
def test_a_broken_commit_would_be_noticed(
    pipeline: Pipeline,
    calm: tuple[Path, dict[str, str]],
    patch: str,
    failpoint: str,
    tmp_path: Path,
) -> None:
    store = tmp_path / "store"
    copy_inputs(calm[0], "generate", calm[1], store)
    with pytest.raises(AssertionError):
        kill_and_rerun(pipeline, calm, "generate", f"{failpoint}:kill", store, patch)


def test_finished_batches_are_not_computed_again(
    pipeline: Pipeline, calm: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    store, ids = tmp_path / "store", calm[1]
    copy_inputs(calm[0], "adapt", ids, store)
    pipeline.run("adapt", ids, store, failpoint="batch-renamed:kill@2")
    batches = sorted((store / "work" / ids["adapt"] / "batches").iterdir())
    journaled = [pq.read_table(b / "adapters.parquet") for b in batches]
    timed = {row["adapter_id"]: row["seconds"] for t in journaled for row in t.to_pylist()}
    again = pipeline.run("adapt", ids, store)
    assert "going on after 2 of 3 batches" in again.err
    published = pq.read_table(store / "artifacts" / again.id / "part-00000.parquet").to_pylist()
    assert len(timed) == 4
    assert {r["adapter_id"]: r["seconds"] for r in published}.items() >= timed.items()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_interrupted_it_says_how_to_go_on(
    pipeline: Pipeline,
    calm: tuple[Path, dict[str, str]],
    number: int,
    code: int,
    tmp_path: Path,
) -> None:
    store, ids = tmp_path / "store", calm[1]
    copy_inputs(calm[0], "adapt", ids, store)
    command = [*pipeline.command("adapt", ids), "--epochs", 500]
    ended = pipeline.forks(*command, store=store, kill_after=2.5, signal=number)
    assert ended.code == code, ended.err
    assert "run the same command to go on" in ended.err
    assert ended.out == ""
    assert "Traceback" not in ended.err


def test_a_failing_disk_is_exit_5_and_the_rerun_completes(
    pipeline: Pipeline, calm: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    store, ids = tmp_path / "store", calm[1]
    copy_inputs(calm[0], "generate", ids, store)
    for failpoint in OF_A_STAGE:
        failed = pipeline.run("generate", ids, store, failpoint=f"{failpoint}:error")
        assert failed.code == 5, failpoint
        assert "Traceback" not in failed.err
    assert pipeline.run("generate", ids, store).id == ids["generate"]


@pytest.mark.parametrize("failpoint", ["index-written", "index-replaced"])
def test_the_index_is_tried_again_after_a_kill_or_a_full_disk(
    pipeline: Pipeline, calm: tuple[Path, dict[str, str]], tmp_path: Path, failpoint: str
) -> None:
    store, ids = tmp_path / "store", calm[1]
    copy_inputs(calm[0], "filter", ids, store)
    query = ["sql", "select count(*) as n from rewards", "-f", "csv"]

    def sql(action: str = "") -> Any:
        at = f"{failpoint}:{action}" if action else ""
        return pipeline.forks(*query, store=store, failpoint=at)

    whole = sql().out
    ended = pipeline.run("filter", ids, store)  # a stage leaves the index alone
    assert sql("kill").code == KILLED
    failed = sql("error")
    assert (failed.code, failed.out) == (0, whole)
    assert "index.duckdb could not be written" in failed.err
    assert sql().out == whole
    with duckdb.connect(str(store / "index.duckdb"), read_only=True) as connection:
        named = connection.execute("SELECT artifact_id FROM artifacts").fetchall()
        assert (ended.id,) in named
        assert connection.execute("SELECT count(*) > 0 FROM selections").fetchone() == (True,)


def loop_killed_and_resumed(
    forks: Any, command: list[object], store: Path, delays: Iterator[float]
) -> tuple[str, int]:
    """Run a loop in this store, killing it after each delay until it ends; id and kills."""
    kills = 0
    while True:
        ended = forks(*command, store=store, kill_after=next(delays, None))
        if ended.code != KILLED:
            return ended.id, kills
        kills += 1


def test_a_loop_on_tiny_killed_at_random_ends_with_the_same_policy(
    forks: Any, tmp_path: Path
) -> None:
    command = [
        "loop", "--contexts", "tiny", "--rounds", 2, "--limit", 2, "--samples", 2,
        "--eval-limit", 2,
    ]  # fmt: skip
    expected, _ = loop_killed_and_resumed(forks, command, tmp_path / "calm", iter(()))
    chance = random.Random(11)
    delays = (chance.uniform(0.3, 3.0) for _ in range(4))
    policy, kills = loop_killed_and_resumed(forks, command, tmp_path / "store", delays)
    assert policy == expected
    assert kills >= 1
    same_stores(tmp_path / "store", tmp_path / "calm")


@pytest.mark.soak
@pytest.mark.parametrize("engine", ["scripted", "transformers"])
def test_a_loop_killed_fifty_times_ends_the_same(
    pipeline: Pipeline, calm: tuple[Path, dict[str, str]], tmp_path: Path, engine: str
) -> None:
    chance = random.Random(0)
    command = [
        "loop", "--contexts", calm[1]["import"], "--policy", pipeline.model, "--rounds", 2,
        "--limit", 3, "--samples", 2, "--repeats", 1, "--set", f"generate.engine={engine}",
        "--set", "generate.max_tokens=40", "--set", "adapt.epochs=2", "--set", "adapt.rank=2",
        "--set", "update.rank=2",
    ]  # fmt: skip
    undisturbed = tmp_path / "undisturbed"
    copy_inputs(calm[0], "generate", calm[1], undisturbed)
    expected = pipeline.forks(*command, store=undisturbed).id
    kills = 0
    while kills < 50:
        store = tmp_path / f"store{kills}"
        copy_inputs(calm[0], "generate", calm[1], store)
        delays = (chance.uniform(0.05, 2.0) for _ in range(1000))
        policy, more = loop_killed_and_resumed(pipeline.forks, command, store, delays)
        kills += more
        assert policy == expected
        same_stores(store, undisturbed)
