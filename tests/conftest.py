"""What many tests need: a tiny real model, real passages, and `seal` as a user runs it."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from endpoint import Server
from passages import PASSAGES

pytest_plugins = ["stores", "small"]
# Before torch is imported: two OpenMP threads on shared cores are slower than one.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
# xdist sets it in its workers: what is printed to no terminal would be cut to it.
os.environ.pop("COLUMNS", None)

ROOT = Path(__file__).parent.parent
OFFICIAL = ROOT.parent / "shared" / "data" / "official" / "general-knowledge"


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random-weight byte-level model of `examples/random_model.py`."""
    return make_model(tmp_path_factory.mktemp("models") / "random")


@pytest.fixture(scope="session")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a chat template and other weights."""
    return make_model(tmp_path_factory.mktemp("models") / "chat", chat=True, seed=1)


def make_model(path: Path, **options: Any) -> Path:
    """Run the example's `make`."""
    import random_model

    random_model.make(path, **options)
    return path


@pytest.fixture(scope="session")
def language_model(random_model: Path) -> Any:
    """The random model, loaded."""
    from stages.loading import load

    return load(random_model, "cpu", "float32")


@pytest.fixture(scope="session")
def official() -> Path:
    """The released SEAL data, where it lies beside the checkout."""
    if not OFFICIAL.is_dir():
        pytest.skip(f"the released SEAL data is not at {OFFICIAL}")
    return OFFICIAL


@pytest.fixture
def passages(tmp_path: Path) -> Path:
    """Three passages with two questions each, as JSON lines."""
    path = tmp_path / "passages.jsonl"
    path.write_text("".join(json.dumps(passage) + "\n" for passage in PASSAGES))
    return path


class Result:
    """What a command left: exit code, stdout, stderr."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def id(self) -> str:
        """The one id on stdout."""
        assert self.code == 0, self.err
        (line,) = self.out.splitlines()
        return line


Seal = Callable[..., Result]


@pytest.fixture
def seal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Seal:
    """`seal --store TMP/store ARGS`, in this process, in an empty directory."""
    from typer.testing import CliRunner

    from seal_cli.app import app

    cwd = tmp_path / "cwd"
    cwd.mkdir(exist_ok=True)
    monkeypatch.chdir(cwd)
    store = tmp_path / "store"

    def run(*args: object, stdin: str | None = None, store: Path = store) -> Result:
        result = CliRunner().invoke(app, ["--store", str(store), *map(str, args)], input=stdin)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """An OpenAI-compatible server that fails as told; `start` it."""
    served = Server(tmp_path / "server.log")
    yield served
    served.stop()
