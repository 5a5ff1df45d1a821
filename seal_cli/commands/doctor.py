"""`seal doctor`: what is installed, what is missing and the line that installs it."""

import importlib.util
import os
import shutil
from importlib import metadata
from typing import Annotated

import typer
from rich.table import Table

from seal_cli import __version__, console
from seal_cli.api import nodes
from seal_cli.options import JsonOption, store_of
from seal_cli.pipeline.models import SHIPPED

REQUIRED = (
    "torch",
    "transformers",
    "peft",
    "datasets",
    "duckdb",
    "pyarrow",
    "typer",
    "rich",
    "pydantic",
    "numpy",
    "safetensors",
    "fsspec",
    "rapidfuzz",
    "snowballstemmer",
)
EXTRAS = {
    "vllm": "vllm",
    "openai": "openai",
    "s3": "s3fs",
    "ray": "ray",
    "plot": "matplotlib",
    "constrained": "xgrammar",
    "nf4": "bitsandbytes",
    "sftp": "asyncssh",
}
INSTALL = "pip install -c constraints.txt"  # in the checkout: the tested set


RayFlag = Annotated[bool, typer.Option("--ray", help="Also list the nodes of the Ray cluster.")]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="HOST:PORT",
        help="Ray cluster. [default: RAY_ADDRESS, else this machine]",
    ),
]


def doctor(
    ctx: typer.Context,
    as_json: JsonOption = False,
    ray: RayFlag = False,
    ray_address: AddressOption = None,
) -> None:
    """Check this machine: packages, devices, memory.

    Exits 2 when a required package is missing.
    """
    facts = _packages() | _machine() | _store(ctx) | (_nodes(ray_address) if ray else {})
    if as_json:
        console.out_json({name: {"ok": ok, "fact": fact} for name, (ok, fact) in facts.items()})
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        for name, (ok, fact) in facts.items():
            table.add_row("ok" if ok else "--", name, console.safe(fact))
        console.out_rich(table)
    if not all(facts[name][0] for name in REQUIRED):
        raise typer.Exit(2)


def _packages() -> dict[str, tuple[bool, str]]:
    facts = {"seal": (True, __version__)}
    for package in REQUIRED:
        facts[package] = _version(package, f"{INSTALL} {package}")
    for extra, package in EXTRAS.items():
        facts[f"extra {extra}"] = _version(package, f"{INSTALL} -e '.[{extra}]'")
    return facts


def _version(package: str, line: str) -> tuple[bool, str]:
    """Found by import, not by distribution name: vLLM's CPU build has another one."""
    if importlib.util.find_spec(package) is None:
        return False, f"not installed: {line}"
    for name in (package, f"{package}-cpu"):
        try:
            return True, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return True, "installed"


def _machine() -> dict[str, tuple[bool, str]]:
    if importlib.util.find_spec("torch") is None:
        return {}
    import torch

    cuda = torch.cuda.is_available()
    name = torch.cuda.get_device_name() if cuda else "none: everything runs on the CPU"
    threads = os.environ.get(
        "OMP_NUM_THREADS", "not set: small models use one thread by themselves"
    )
    facts = {
        "gpu": (cuda, name),
        "cores": (True, str(os.cpu_count())),
        "OMP_NUM_THREADS": (True, threads),
    }
    for model, folder in SHIPPED.items():
        how = "comes with" if folder.is_dir() else "not in"
        facts[f"model {model}"] = folder.is_dir(), f"{how} this installation"
    return facts


def _nodes(address: str | None) -> dict[str, tuple[bool, str]]:
    """What the nodes of a cluster have, and whether they can make the rows that are made here."""
    found = {}
    for number, node in enumerate(nodes(address)):
        versions = ", ".join(f"{name} {version}" for name, version in node.versions.items())
        has = f"{node.cpus:g} CPUs, {node.gpus:g} GPUs, {node.memory / 1e9:.1f} GB"
        found[f"ray node {number}"] = node.fits, f"{node.host}, {has}: {versions}"
    return found


def _store(ctx: typer.Context) -> dict[str, tuple[bool, str]]:
    workspace = store_of(ctx)
    if not workspace.artifacts.is_dir():
        return {"store": (False, f"{workspace.root} does not exist yet: seal init")}
    free = shutil.disk_usage(workspace.root).free / 2**30
    writable = os.access(workspace.root, os.W_OK)
    fact = f"{workspace.root}, {len(workspace.ids())} artifacts, {free:.1f} GiB free"
    return {"store": (writable, fact if writable else f"{workspace.root} is not writable")}
