"""`seal` in processes of its own, which can be killed, from a server that forks them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO

import pytest
from passages import PASSAGES
from rounds import STAGES, Pipeline

ROOT = Path(__file__).parent.parent.parent


@dataclass
class Ended:
    """One process that has ended; a negative code is the signal that ended it."""

    code: int
    out: str
    err: str

    @property
    def id(self) -> str:
        assert self.code == 0, self.err
        return self.out.strip()


class Forks:
    """Runs `seal` in forked processes."""

    def __init__(self, stdin: IO[str], stdout: IO[str], folder: Path) -> None:
        self.stdin, self.stdout, self.folder = stdin, stdout, folder

    def __call__(
        self,
        *argv: object,
        store: Path,
        failpoint: str = "",
        kill_after: float | None = None,
        signal: int = 9,
        patch: str | None = None,
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> Ended:
        out, err = self.folder / "out", self.folder / "err"
        request = {
            "argv": ["--store", str(store), *map(str, argv)],
            "cwd": str(self.folder),
            "env": {"SEAL_FAILPOINT": failpoint, **environ},
            "out": str(out),
            "err": str(err),
            "kill_after": kill_after,
            "signal": signal,
            "patch": patch,
        }
        self.stdin.write(json.dumps(request) + "\n")
        self.stdin.flush()
        code = json.loads(self.stdout.readline())["code"]
        return Ended(code, out.read_text(), err.read_text())


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """One fork server for all tests of the session."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(Path(__file__).parent / "forkserver.py")]
    server = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert server.stdin is not None
    assert server.stdout is not None
    yield Forks(server.stdin, server.stdout, tmp_path_factory.mktemp("forks"))
    server.stdin.close()
    server.wait(timeout=30)
    server.stdout.close()


@pytest.fixture(scope="session")
def pipeline(
    forks: Forks, random_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Pipeline:
    path = tmp_path_factory.mktemp("kill") / "passages.jsonl"
    path.write_text("".join(json.dumps(passage) + "\n" for passage in PASSAGES))
    return Pipeline(forks, random_model, path)


@pytest.fixture(scope="session")
def calm(
    pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, str]]:
    """A store in which every stage ran undisturbed, and the ids."""
    store = tmp_path_factory.mktemp("calm") / "store"
    ids: dict[str, str] = {}
    for stage in STAGES:
        ids[stage] = pipeline.run(stage, ids, store).id
    return store, ids
