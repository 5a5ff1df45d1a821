"""Fifty commands whose ids, keys, exit codes and stdout a refactoring must not change."""

import json
from pathlib import Path
from typing import Any

import pinned
import pytest


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    before = Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        left = pinned.golden(tmp_path_factory.mktemp("pinned"))
        patch.chdir(before)
    return left


@pytest.mark.parametrize("name", pinned.COMMANDS)
def test_pinned(name: str, here: dict[str, Any]) -> None:
    assert here[name] == json.loads(pinned.GOLDEN.read_text())[name]
