"""`seal` in processes as a shell starts them, on eight contexts of the tiny world."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from same_rows import same_rows

SEAL = f"{sys.executable} -m seal_cli"
_whole: dict[str, tuple[Path, str]] = {}  # what a command gives undisturbed, by its text


@cache
def base(limit: int) -> tuple[Path, str, str]:
    """A store with contexts and self-edits, made once, and their ids."""
    folder = Path(tempfile.mkdtemp(prefix="seal-base-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)

    def sh(*command: object) -> str:
        line = [sys.executable, "-m", "seal_cli", "--store", str(folder / "store")]
        line += [*map(str, command), "-q"]
        return subprocess.run(
            line, check=True, cwd=folder, text=True, stdout=subprocess.PIPE
        ).stdout.strip()

    contexts = sh("import", "contexts", "tiny", "--split", "train", "--limit", limit)
    return folder, contexts, sh("generate", contexts, "--policy", "tiny", "--samples", 2)


class Real:
    """A store with contexts and self-edits, and a command about them."""

    def __init__(self, folder: Path, command: str, limit: int = 8) -> None:
        self.folder, self.store = folder, folder / "store"
        # Tests under `make` must not pass its flags on to the `make` that they start.
        outside = {name: value for name, value in os.environ.items() if "MAKE" not in name}
        self.environ = outside | {"SEAL_STORE": str(self.store), "SEAL": SEAL}
        self.base, self.contexts, self.edits = base(limit)
        shutil.copytree(self.base / "store", self.store)
        verb, *options = command.split()
        source = self.edits if verb in ("adapt", "score") else ""
        options = [self.contexts if word == "CONTEXTS" else word for word in options]
        self.command = " ".join(["$SEAL", verb, source, *options])

    def sh(self, script: str, **environ: str) -> str:
        """What a script prints. It succeeds."""
        done = self.run(script, environ)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, script: str, environ: Mapping[str, str] | None = None) -> Any:
        """A script, ended."""
        process = self.start(script, **(environ or {}))
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(script, process.returncode, out, err)

    def start(self, script: str, **environ: str) -> "subprocess.Popen[str]":
        """A script, running; the last of it is its process."""
        return subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            env=self.environ | environ, cwd=self.folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    @property
    def whole(self) -> tuple[Path, str]:
        """Another store in which one process ran the command, and what it printed."""
        if self.command not in _whole:
            store = self.base / f"whole-{len(_whole)}"
            shutil.copytree(self.base / "store", store)
            _whole[self.command] = store, self.sh(self.command, SEAL_STORE=str(store))
        return _whole[self.command]

    def is_whole(self, printed: str) -> None:
        """What was printed is one line, the id of that one process, and so are the rows."""
        store, expected = self.whole
        assert printed == expected
        same_rows(*(at / "artifacts" / expected.strip() for at in (self.store, store)))
        assert list((self.store / "work").iterdir()) == []
