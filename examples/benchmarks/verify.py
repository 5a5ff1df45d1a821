"""How fast `seal verify --all` reads a store, beside sha256 alone, and how much memory it takes.

    python examples/benchmarks/verify.py [--artifacts 1000] [--megabytes 2000] [--folder DIR]

Makes a store of artifacts with a small table and weights each, then reads every file with plain
sha256 and verifies the store, in turn, each in a process of its own. Files are in the page cache.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

from seal_cli.store.identity import artifact_id
from seal_cli.store.manifest import FORMAT
from seal_cli.store.parts import write_parts
from seal_cli.store.publish import publish
from seal_cli.store.schema import to_table
from seal_cli.store.workspace import Workspace
from stages.records import Context

PLAIN = """
import hashlib, pathlib, sys
for path in pathlib.Path(sys.argv[1]).rglob("*"):
    if path.is_file():
        with path.open("rb") as stream:
            hashlib.file_digest(stream, "sha256").hexdigest()
"""


def make(root: Path, artifacts: int, size: int) -> None:
    """A store with `artifacts` artifacts, each with `size` bytes of weights."""
    store = Workspace(root)
    store.create()
    for i in range(artifacts):
        key = {"i": i}
        name, folder = artifact_id("import", key), store.work / "draft"
        rows = [Context(f"{i}-{k}", k, "knowledge", "train", "T", f"text {k}") for k in range(20)]
        (folder / "__weights").mkdir(parents=True)
        (folder / "__weights" / "model.safetensors").write_bytes(os.urandom(size))
        write_parts(folder, "contexts", [to_table("contexts", rows, name)])
        publish(folder, store.path(name), manifest(name, key, len(rows)))


def manifest(name: str, key: dict[str, int], rows: int) -> dict[str, object]:
    """The manifest of an import that no command ran."""
    moment = "2026-01-01T00:00:00+00:00"
    counts = {"rows": rows, "status": {"ok": rows}}
    return {
        "format": FORMAT, "artifact_id": name, "stage": "import", "kind": "contexts",
        "status": "ok", "inputs": [], "about": {}, "source": None, "base": name, "attempt": 0,
        "key": {"stage": "import", **key}, "config": {}, "models": {},
        "tables": {"contexts": counts}, "argv": [], "versions": {}, "host": "", "device": "cpu",
        "git": None, "started_at": moment, "created_at": moment, "seconds": 0.0,
    }  # fmt: skip


def timed(command: list[str]) -> tuple[float, float, float]:
    """Seconds, seconds of a core, and MB of memory at the most."""
    start = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    taken = time.perf_counter() - start
    return taken, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3


def main() -> None:
    """Print the measurement."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--artifacts", type=int, default=1000)
    options.add_argument("--megabytes", type=int, default=2000)
    options.add_argument("--folder", type=Path)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        root = Path(folder) / "store"
        size = asked.megabytes * 1_000_000 // asked.artifacts
        # Elsewhere, for what this process takes counts for those that it starts.
        maker = get_context("spawn").Process(target=make, args=(root, asked.artifacts, size))
        maker.start()
        maker.join()
        found = [path for path in root.rglob("*") if path.is_file()]
        megabytes = sum(path.stat().st_size for path in found) / 1e6
        commands = {
            "sha256": [sys.executable, "-c", PLAIN, str(root / "artifacts")],
            "seal verify": [
                sys.executable,
                "-m",
                "seal_cli",
                "--store",
                str(root),
                "verify",
                "--all",
            ],
        }
        best: dict[str, float] = {}
        for _ in range(3):
            for name, command in commands.items():
                seconds, core, memory = timed(command)
                best[name] = min(core, best.get(name, core))
                what = f"{megabytes / seconds:6.0f} MB/s {seconds:6.2f} s"
                print(f"{name:12}{what}, of a core {core:5.2f} s, {memory:5.0f} MB", flush=True)
        share = best["sha256"] / best["seal verify"]
        print(
            f"{asked.artifacts} artifacts, {megabytes:.0f} MB: {share:.2f} of plain sha256 at best"
        )


if __name__ == "__main__":
    main()
