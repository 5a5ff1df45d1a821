"""A copy that was cut short is neither a hit nor an input, whatever came first."""

import shutil
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from small import Small

NEXT = {
    "generate": lambda i: ["adapt", i, "--rank", 2],
    "score": lambda i: ["filter", i, "--rule", "top-k"],
    "update": lambda i: ["eval", i, "@latest:import", "--engine", "scripted"],
}


def files_of(artifact: Path) -> list[str]:
    found = (path for path in artifact.rglob("*") if path.is_file())
    return sorted(path.relative_to(artifact).as_posix() for path in found)


@pytest.mark.parametrize("stage", NEXT)
def test_a_copy_that_lacks_files(seal: Any, small: Small, made: Small, stage: str) -> None:
    """Every proper subset of its files: what is there after each file, in any order."""
    target, source = small.path(stage), made.path(stage)
    names = files_of(source)
    subsets = [set(c) for n in range(len(names)) for c in combinations(names, n)]
    if len(subsets) > 128:  # each file absent alone or with all after it, in both orders
        orders = (names, names[::-1])
        subsets = [set(names) - {name} for name in names]
        subsets += [set(order[:n]) for order in orders for n in range(len(order))]
    for present in subsets:
        shutil.rmtree(target)
        target.mkdir()
        for name in present:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, target / name)
        for command in (small.commands[stage], NEXT[stage](small.ids[stage])):
            result = seal(*command)
            assert (result.code, result.out) == (3, ""), (present, command, result.err)
            assert "Traceback" not in result.err
    shutil.rmtree(target)
    shutil.copytree(source, target)
    assert seal(*small.commands[stage]).id == small.ids[stage]


@pytest.mark.parametrize("stage", NEXT)
def test_a_copy_whose_last_file_was_cut(seal: Any, small: Small, stage: str) -> None:
    for name in files_of(small.path(stage)):
        file = small.path(stage) / name
        whole = file.read_bytes()
        for size in (0, len(whole) // 2, len(whole) - 1):
            file.write_bytes(whole[:size])
            if name == "_manifest.json" and size == len(whole) - 1:  # its newline
                continue
            result = seal(*small.commands[stage])
            assert (result.code, result.out) == (3, ""), (name, size)
        file.write_bytes(whole)
    assert seal(*small.commands[stage]).id == small.ids[stage]
