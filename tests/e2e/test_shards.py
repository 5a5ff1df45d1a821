"""Parts of a run in processes of their own, by the engines that people start them with."""

import shutil
import signal
from pathlib import Path

import pytest
from real import Real
from rounds import ONE, SMALL, Pipeline, copy_inputs
from same_rows import same_rows

CUT = ["generate", "adapt", "score", "eval", "regrade", "quiz"]


def command_of(pipeline: Pipeline, stage: str, ids: dict[str, str]) -> list[object]:
    if stage == "regrade":
        return ["regrade", ids["score"], "--grader", "contained"]
    if stage == "adapt":  # some slots: shards cut the batches otherwise
        return ["adapt", ids["generate"], "--repeats", 2, *SMALL, "--slots", 3]
    return pipeline.command(stage, ids)


def store_with(calm: tuple[Path, dict[str, str]], stage: str, store: Path) -> Path:
    """A store with what the stage needs."""
    needed = {"regrade": "filter", "quiz": "generate"}.get(stage, stage)
    copy_inputs(calm[0], needed, calm[1], store)
    return store


@pytest.mark.parametrize("stage", CUT)
def test_three_shards_are_one_run(
    pipeline: Pipeline, calm: tuple[Path, dict[str, str]], stage: str, tmp_path: Path
) -> None:
    command = command_of(pipeline, stage, calm[1])
    store = store_with(calm, stage, tmp_path / "store")
    whole = store_with(calm, stage, tmp_path / "whole")
    expected = pipeline.forks(*command, store=whole).id
    for number in (3, 1, 2):
        shard = pipeline.forks(*command, "--shard", f"{number}/3", store=store)
        assert shard.id == f"{expected}-s{number}of3"
    assert pipeline.forks(*command, "--merge-only", store=store).id == expected
    same_rows(store / "artifacts" / expected, whole / "artifacts" / expected)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_shard_that_was_ended_goes_on(
    pipeline: Pipeline, calm: tuple[Path, dict[str, str]], number: int, tmp_path: Path
) -> None:
    """As after `scontrol requeue`: the same command again."""
    store = store_with(calm, "adapt", tmp_path / "store")
    command = ["adapt", calm[1]["generate"], "--repeats", 2, *SMALL, *ONE]
    first = [*command, "--shard", "1/2"]
    if number == signal.SIGKILL:
        ended = pipeline.forks(*first, store=store, failpoint="batch-renamed:kill")
        assert ended.code == -number
    else:
        ended = pipeline.forks(*first, "--epochs", 500, store=store, kill_after=2.5, signal=number)
        assert (ended.code, ended.out) == (128 + number, "")
        assert "run the same command to go on" in ended.err
    again = pipeline.forks(*first, store=store)
    assert again.id.endswith("-s1of2")
    assert ("going on after 1 of 2 batches" in again.err) == (number == signal.SIGKILL)
    pipeline.forks(*command, "--shard", "2/2", store=store)
    merged = pipeline.forks(*command, "--merge-only", store=store).id
    whole = store_with(calm, "adapt", tmp_path / "whole")
    assert pipeline.forks(*command, store=whole).id == merged
    same_rows(store / "artifacts" / merged, whole / "artifacts" / merged)


@pytest.mark.parametrize("failpoint", ["batch-renamed:kill", "manifest-written:kill"])
def test_a_merge_that_was_killed_goes_on(
    pipeline: Pipeline, calm: tuple[Path, dict[str, str]], failpoint: str, tmp_path: Path
) -> None:
    store = store_with(calm, "adapt", tmp_path / "store")
    command = pipeline.command("adapt", calm[1])
    for number in (1, 2):
        pipeline.forks(*command, "--shard", f"{number}/2", store=store)
    killed = pipeline.forks(*command, "--merge-only", store=store, failpoint=failpoint)
    assert killed.code == -signal.SIGKILL
    assert pipeline.forks(*command, "--merge-only", store=store).id == calm[1]["adapt"]
    folders = [at / "artifacts" / calm[1]["adapt"] for at in (store, calm[0])]
    same_rows(*folders)


@pytest.fixture
def real(tmp_path: Path) -> Real:
    return Real(tmp_path, "score --repeats 1 --epochs 1")


MAKEFILE = """\
SHARDS := 1 2 3
merged: $(SHARDS:%=shard-%)
\t@{command}
shard-%:
\t@{command} --shard $*/3 > $@
"""


def test_make_with_two_jobs_and_three_shards(real: Real) -> None:
    text = MAKEFILE.format(command=real.command.replace("$", "$$"))
    (real.folder / "Makefile").write_text(text)
    printed = real.sh("make -s -j2")
    assert [(real.folder / f"shard-{n}").read_text() for n in (1, 2, 3)] == [
        f"{printed.strip()}-s{n}of3\n" for n in (1, 2, 3)
    ]
    real.is_whole(printed)


def test_gnu_parallel_with_four_shards(real: Real) -> None:
    if shutil.which("parallel") is None:
        pytest.skip("GNU parallel is not installed: apt-get install parallel")
    printed = real.sh(f"parallel -j2 {real.command!r} --shard {{}}/4 ::: 1 2 4")
    assert len(printed.splitlines()) == 3
    early = real.run(f"{real.command} --merge-only")
    assert (early.returncode, early.stdout) == (3, "")
    assert "-s3of4" in early.stderr
    real.sh(f"{real.command} --shard 3/4")
    real.is_whole(real.sh(f"{real.command} --merge-only"))
