"""Real vLLM on the CPU: the model it serves, adapters for it, and a server of it.

Run by `make test-vllm` in an environment of its own. Without vLLM these tests fail.
"""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
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

ROOT = Path(__file__).parent.parent.parent
TINY = ROOT / "seal_cli" / "tiny"
STARTS_WITHIN = 120  # seconds; about 20 on an idle machine


@dataclass(frozen=True)
class Server:
    """A running server: its base URL (with /v1), the model's name there, its log and process."""

    url: str
    model: str
    log: Path
    process: "subprocess.Popen[bytes]"


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
