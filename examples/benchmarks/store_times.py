"""How long the store takes on this machine: records of what was timed, on a store of random text.

What a person waits for is timed as whole `seal` processes, start-up included; committing and
journaling, which no command does alone, are timed in this process. `store.py` prints them.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import made_up
import numpy as np

from seal_cli.store.identity import artifact_id
from seal_cli.store.index import STAMP
from seal_cli.store.journal import Journal
from seal_cli.store.parts import write_parts
from seal_cli.store.publish import publish
from seal_cli.store.schema import from_table, to_table
from seal_cli.store.workspace import Workspace
from stages.errors import ResourceError
from stages.records import SelfEdit

SEAL = (sys.executable, "-c", "from seal_cli.__main__ import main; main()")
# A reward is joined to the very self-edits it was given for, as everywhere (`lineage`).
TOP = """
    SELECT r.reward, e.completion
    FROM rewards r
    JOIN lineage l ON l.artifact_id = r.artifact_id
    JOIN self_edits e ON e.artifact_id = l.ancestor AND e.self_edit_id = r.self_edit_id
    ORDER BY r.reward DESC LIMIT 10"""
COMMITTED = 250  # self-edits of an artifact: a round of the paper, 50 passages and 5 samples
JOURNALED = 5  # self-edits of a batch: one passage


@dataclass(frozen=True)
class Measured:
    """What was timed how often: the median, the shortest and the longest."""

    what: str
    seconds: float
    runs: int
    least: float
    most: float


def measure(workspace: Workspace, runs: int) -> Iterator[Measured]:
    """Time a store that `made_up` made. Some artifacts and a work folder are left in it."""
    edits = random_edits(COMMITTED)
    yield timed("start-up (seal --version)", runs, lambda: seal(workspace, "--version"))
    yield timed("index rebuild (seal init)", runs, lambda: rebuilt(workspace))
    yield timed("seal ls", runs, lambda: seal(workspace, "ls"))
    yield timed("top 10 by reward, joined (seal sql)", runs, lambda: seal(workspace, "sql", TOP))
    numbers = count()
    yield timed(
        f"commit of an artifact of {COMMITTED} self-edits",
        runs,
        lambda: committed(workspace, edits, next(numbers)),
    )
    journal = Journal(workspace.work_path(artifact_id("generate", {"benchmark": "journal"})), "")
    journal.begin({})
    yield timed(
        f"journal append per row, {JOURNALED} rows a batch",
        runs,
        lambda: journal.append(f"{next(numbers):06}", edits[:JOURNALED]),
        parts=JOURNALED,
    )
    journal.discard()


def timed(what: str, runs: int, act: Callable[[], None], parts: int = 1) -> Measured:
    """Run it once to warm up, then `runs` times; seconds are those of one of its `parts`."""
    act()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        act()
        seconds.append((time.perf_counter() - start) / parts)
    return Measured(what, statistics.median(seconds), runs, min(seconds), max(seconds))


def seal(workspace: Workspace, *arguments: str) -> None:
    """One command on this store, as a process of its own that runs this very package."""
    command = [*SEAL, "--store", str(workspace.root), *arguments]
    home = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=home)
    if done.returncode:
        raise ResourceError(
            f"seal {arguments[0]} ended with {done.returncode}: {done.stderr.strip()}",
            "What fails here fails on any store: see to it first.",
        )


def rebuilt(workspace: Workspace) -> None:
    """Have the index made from nothing, by the command that does little else."""
    workspace.index.unlink(missing_ok=True)
    (workspace.root / STAMP).unlink(missing_ok=True)
    seal(workspace, "init", "--config", str(workspace.root / "seal.toml"))


def random_edits(n: int) -> list[SelfEdit]:
    """Self-edits as records."""
    chance = np.random.default_rng(0)
    columns = made_up.self_edits(chance, made_up.vocabulary(chance), "bench", n, length=40)
    return from_table(SelfEdit, made_up.arrow("self_edits", columns, ""))


def committed(workspace: Workspace, edits: list[SelfEdit], number: int) -> None:
    """Write an artifact's files and publish it, as the runner does when its rows are there."""
    name = f"commit {number}"
    wanted = artifact_id("generate", {"benchmark": name})
    folder = workspace.work_path(wanted)
    folder.mkdir()
    write_parts(folder, "self_edits", [to_table("self_edits", edits, wanted)])
    manifest = made_up.described(wanted, "generate", "self_edits", [], len(edits), name)
    publish(folder, workspace.path(wanted), manifest)
