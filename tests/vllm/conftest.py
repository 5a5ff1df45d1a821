"""Real vLLM on the CPU: the model it serves, adapters for it, and a server of it.

Run by `make test-vllm` in an environment of its own. Without vLLM these tests fail.
"""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

# Before anything imports vLLM: in this process, without looking anything up or counting users.
os.environ |= {
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
}

from stages.engines.settings import VllmConfig
from stages.engines.vllm import VllmEngine
from stages.engines.vllm_process import Served
from stages.loading import load
from stages.models import LanguageModel
from stages.training import Lora

ROOT = Path(__file__).parent.parent.parent
TINY = ROOT / "seal_cli" / "tiny"
TARGETS = ("q_proj", "v_proj", "gate_proj", "down_proj")
MakeLora = Callable[..., Lora]
STARTS_WITHIN = 400  # seconds; about 20 on an idle machine


@dataclass(frozen=True)
class Server:
    """A running server: its base URL (with /v1), the model's name there, its log and process."""

    url: str
    model: str
    log: Path
    process: "subprocess.Popen[bytes]"


def pytest_configure(config: pytest.Config) -> None:
    """VLLM's own calls of xgrammar are not ours to correct."""
    config.addinivalue_line("filterwarnings", "ignore:max_rollback_tokens:DeprecationWarning")


@pytest.fixture(scope="session")
def small() -> VllmConfig:
    """Few adapters at once, so that tests can have more than that."""
    return VllmConfig(kv_cache_mib=64, adapters=4)


@pytest.fixture(scope="session")
def served() -> Served:
    """The shipped model in float32, where two engines can be compared token for token."""
    return Served(TINY, "tiny", "float32")


@pytest.fixture(scope="session")
def lm() -> LanguageModel:
    """The same in transformers."""
    return load(TINY, "cpu", "float32")


@pytest.fixture(scope="session")
def engine(served: Served, small: VllmConfig, lm: LanguageModel) -> VllmEngine:
    """An engine that expects adapters of rank 8; vLLM is started when it is first asked."""
    return VllmEngine(served, small, lambda: lm, rank=8)


@pytest.fixture(scope="session")
def make_lora() -> MakeLora:
    """`make_lora(lm, rank, seed)`: an adapter large enough to change answers."""
    import torch

    def make(lm: LanguageModel, rank: int, seed: int, targets: Sequence[str] = TARGETS) -> Lora:
        chance = torch.Generator().manual_seed(seed)
        weights = {}
        for name, module in lm.model.named_modules():
            if name.rsplit(".", 1)[-1] in targets:
                n_out, n_in = module.weight.shape
                weights[name] = (
                    torch.randn(rank, n_in, generator=chance) * 0.1,
                    torch.randn(n_out, rank, generator=chance) * 0.1,
                )
        return Lora(rank, 2 * rank, weights)

    return make


@pytest.fixture(scope="session")
def loras(lm: LanguageModel, make_lora: MakeLora) -> list[Lora]:
    """Three of different ranks."""
    return [make_lora(lm, rank=4 + 2 * seed, seed=seed) for seed in range(3)]


@pytest.fixture(scope="session")
def arc_grammar() -> Callable[[], str]:
    """The grammar of few-shot tool calls."""
    from stages.domains.arc import Arc

    def grammar() -> str:
        found = Arc().grammar()
        assert found is not None
        return found

    return grammar


Serve = Callable[..., Server]


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """`serve()`: a new server of the tiny model on a free port, for a test that kills it.

    `serve(port=...)` starts it again where one was killed; further arguments go to vLLM.
    """
    started: list[Server] = []

    def start(*arguments: str, port: int | None = None) -> Server:
        log = tmp_path_factory.mktemp("server") / "log"
        server = _start(port or free_port(), log, *arguments)
        started.append(server)
        return server

    yield start
    for server in started:
        server.process.terminate()
    for server in started:
        server.process.wait(timeout=30)


@pytest.fixture(scope="session")
def server(serve: Serve) -> Server:
    """The server that the tests share. Leave it alive and its adapters as they were."""
    return serve()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(port: int, log: Path, *arguments: str) -> Server:
    command = [
        sys.executable, str(Path(__file__).parent / "serve.py"),
        "--model", str(TINY), "--served-model-name", "tiny",
        "--host", "127.0.0.1", "--port", str(port),
        "--dtype", "float32", "--enforce-eager", "--max-model-len", "512",
        "--kv-cache-memory-bytes", str(64 << 20), "--max-num-seqs", "64",
        "--enable-lora", "--max-loras", "2", "--max-cpu-loras", "8", "--max-lora-rank", "16",
        "--structured-outputs-config", '{"backend":"xgrammar","disable_any_whitespace":true}',
        *arguments,
    ]  # fmt: skip
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
        "VLLM_LOGGING_LEVEL": "INFO",
    }
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment)
    server = Server(f"http://127.0.0.1:{port}/v1", "tiny", log, process)
    for _ in range(4 * STARTS_WITHIN):
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return server
        except OSError:
            time.sleep(0.25)
    process.kill()
    raise RuntimeError(f"the server did not start:\n{log.read_text()[-3000:]}")
