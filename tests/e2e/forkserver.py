"""A process that has everything imported and forks one `seal` per request.

Reads a JSON object per line from stdin: {argv, cwd, env, out, err, kill_after, signal, patch}.
Answers each with {"code": exit code, or minus the signal that ended it}. `patch` names a function
of this file that is called in the child first: how a test runs a deliberately broken variant.
"""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb  # noqa: F401  # all of these are here to be loaded before the fork
import openai  # noqa: F401
import peft  # noqa: F401
import pyarrow.parquet  # noqa: F401
import torch  # noqa: F401
import transformers
from transformers import AutoModelForCausalLM, LlamaForCausalLM  # noqa: F401

from seal_cli import app  # noqa: F401
from seal_cli.__main__ import main
from seal_cli.execution import attempt
from seal_cli.store.failpoints import failpoint
from seal_cli.store.files import write_sealed

transformers.utils.logging.disable_progress_bar()
attempt.GRAIN = 0.0  # every batch is in the journal when it is done, as slow ones are


def commit_in_pieces() -> None:
    """Publish file by file, as if a directory rename were not needed: what must be noticed."""

    def publish(folder: Path, target: Path, manifest: dict, known: object) -> None:
        manifest["files"] = inventory(folder, {})
        target.mkdir()
        write_sealed(target / "_manifest.json", manifest)
        failpoint("manifest-written")
        shutil.copytree(folder, target, dirs_exist_ok=True)
        failpoint("published")

    from seal_cli.store.publish import _inventory as inventory

    attempt.publish = publish


def count_before_writing() -> None:
    """Let a batch count before its rows are there: the other half of the protocol broken."""
    from seal_cli.store.journal import Journal

    whole = Journal.append

    def append(self: Journal, name: str, rows: Iterable[Any], files: Sequence[str] = ()) -> None:
        every = list(rows)
        whole(self, name, every[:1], files)
        shutil.rmtree(self.batches / name)
        whole(self, name, every, files)

    Journal.append = append  # type: ignore[method-assign, assignment]


def child(request: dict) -> None:
    """Become `seal ARGV`."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
    os.chdir(request["cwd"])
    os.environ.update(request["env"])
    for descriptor, path in ((1, request["out"]), (2, request["err"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if request.get("patch"):
        globals()[request["patch"]]()
    sys.argv = ["seal", *request["argv"]]
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001  # it is printed, and the process ends
        import traceback

        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def serve() -> None:
    """Fork per request until stdin ends."""
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            child(request)
        code = wait(pid, request["kill_after"], request["signal"])
        sys.stdout.write(json.dumps({"code": code}) + "\n")
        sys.stdout.flush()


def wait(pid: int, kill_after: float | None, number: int) -> int:
    """The child's end, which is ours to bring about after `kill_after` seconds."""
    deadline = None if kill_after is None else time.monotonic() + kill_after
    while True:
        done, status = os.waitpid(pid, os.WNOHANG if deadline else 0)
        if done:
            return os.waitstatus_to_exitcode(status)
        if deadline and time.monotonic() >= deadline:
            os.kill(pid, number)
            deadline = None
        time.sleep(0.002)


if __name__ == "__main__":
    serve()
