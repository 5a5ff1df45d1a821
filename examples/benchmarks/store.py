"""How long queries, listing and committing take on this machine's disk, on a store of random text.

python examples/benchmarks/store.py [--edits N] [--artifacts N] [--runs N] [--json]
"""

import os
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import made_up
import store_times
import typer

from seal_cli import console
from seal_cli.options import JsonOption
from seal_cli.pipeline.bench import facts, processor
from seal_cli.store.workspace import Workspace
from stages.errors import ConfigError

EditsOption = Annotated[int, typer.Option("--edits", min=1, help="Self-edits, each with a reward.")]
ArtifactsOption = Annotated[
    int,
    typer.Option("--artifacts", min=2, help="Artifacts they are in, half of them of rewards."),
]
RunsOption = Annotated[int, typer.Option("--runs", min=1, help="How often each thing is timed.")]


def store(
    edits: EditsOption = 100_000,
    artifacts: ArtifactsOption = 100,
    runs: RunsOption = 5,
    as_json: JsonOption = False,
) -> None:
    """Time the store on random self-edits, in a folder of its own under TMPDIR."""
    pairs = artifacts // 2
    if edits < pairs:
        raise ConfigError(
            f"{edits} self-edits do not fill {pairs} artifacts.", "Raise --edits, or fewer of them."
        )
    with TemporaryDirectory(prefix="seal-bench-") as folder:
        workspace = Workspace(Path(folder))
        console.say(f"making {edits} self-edits in {workspace.root}")
        made = made_up.make(workspace, edits, pairs, files=1)
        results = []
        for result in store_times.measure(workspace, runs):
            results.append(result)
            console.say(f"{result.what}: {result.seconds:.4f} s")
    device = f"{processor()}, {os.cpu_count()} cores"
    answer = facts(device, "duckdb", "pyarrow") | {
        "folder": folder,
        "edits": made,
        "artifacts": 2 * pairs,
        "results": [asdict(r) for r in results],
    }
    if as_json:
        console.out_json(answer)
        return
    headings = ("what", "median s", "least", "most", "runs")
    rows = [
        [r.what, f"{r.seconds:.4f}", f"{r.least:.4f}", f"{r.most:.4f}", str(r.runs)]
        for r in results
    ]
    console.out_columns(headings, rows, right=headings[1:])


if __name__ == "__main__":
    typer.run(store)
