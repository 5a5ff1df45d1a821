"""What workers bring, and what the executor costs: a score of self-edits on the tiny world.

      python examples/benchmarks/machines.py [--self-edits N] [--workers 1,2] [--epochs N] [--json]

Scores the same self-edits in this process and on Ray workers of this machine, each time in a copy
of the store and after a few others: what it takes until workers run and models are loaded is
printed apart. `overhead` is one worker's time over this process's, `speedup` that of one worker
over that of several. Both mean something on idle cores alone: the load is printed beside them.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a worker has one core, and so has this process

from seal_cli.api import Seal

SAMPLES = 5


def prepared(folder: Path, n_edits: int) -> tuple[str, str]:
    """A store with a few self-edits, and with so many: their ids."""
    seal = Seal(folder / "base", environ={})
    contexts = seal.import_contexts("tiny", split="train", limit=n_edits // SAMPLES)
    few = seal.generate(contexts, "tiny", samples=1, limit=8)
    return few.id, seal.generate(contexts, "tiny", samples=SAMPLES).id


def timed(folder: Path, name: str, edits: tuple[str, str], how: dict[str, Any]) -> dict[str, Any]:
    """One run in a copy of the store: its seconds, and those of the few before it."""
    shutil.copytree(folder / "base", folder / name)
    seal, moments = Seal(folder / name, environ={}), [time.perf_counter()]
    for source in edits:
        made = seal.score(source, repeats=1, slots=8, **how)
        moments.append(time.perf_counter())
    seal.close()
    start, seconds = moments[1] - moments[0], moments[2] - moments[1]
    rewards = [row["reward"] for row in made.records()]
    return {"run": name, "start": start, "seconds": seconds, "rewards": rewards}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--self-edits", type=int, default=200)
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    folder = Path(tempfile.mkdtemp(prefix="seal-machines-"))
    edits = prepared(folder, given.self_edits)
    how = {"epochs": given.epochs}
    runs = [timed(folder, "this process", edits, how)]
    for number in map(int, given.workers.split(",")):
        spread = {"executor": "ray", "workers": number}
        runs.append(timed(folder, f"{number} workers", edits, how | spread))
    shutil.rmtree(folder)
    rewards = [run.pop("rewards") for run in runs]
    seconds = {run["run"]: run["seconds"] for run in runs}
    alone = seconds.get("1 workers")
    found: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: metadata.version(name) for name in ("torch", "ray")},
        "cores": len(os.sched_getaffinity(0)),
        "load": load,
        "self_edits": given.self_edits,
        "runs": runs,
        "same_rewards": all(one == rewards[0] for one in rewards),
        "overhead": alone and alone / seconds["this process"] - 1,
        "speedup": {name: alone / s for name, s in seconds.items() if alone and s},
    }
    if given.json:
        print(json.dumps(found))
        return
    for run in runs:
        print(f"{run['run']:<14}{run['seconds']:>8.1f} s, after {run['start']:.1f} s to start")
    print(f"load before: {load:.1f} on {found['cores']} cores")
    print(f"rewards are {'the same' if found['same_rewards'] else 'NOT the same'}")
    if alone:
        print(f"overhead of the executor with one worker: {found['overhead']:+.1%}")
        for name, ratio in found["speedup"].items():
            print(f"{name:<14}{ratio:>6.2f} times one worker")


if __name__ == "__main__":
    main()
