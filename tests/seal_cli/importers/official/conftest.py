"""Rows of an imported release."""

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Where `seal` looks; a module that imports once for all its tests has its own."""
    return tmp_path / "store"


@pytest.fixture
def ask(seal: Any, store: Path) -> Any:
    """Rows of a query over the imported release."""

    def rows(query: str) -> list[dict[str, Any]]:
        result = seal("sql", query, "-f", "json", store=store)
        assert result.code == 0, result.err
        return [json.loads(line) for line in result.out.splitlines()]

    return rows
