"""What identical means for runs that were cut otherwise."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reading import tables_of
from safetensors.numpy import load_file

CLOSE = 1e-4  # relative; other batches sum floats in another order


def same_rows(left: Path, right: Path) -> None:
    """Ids, texts, answers, verdicts and rewards are equal, losses to 1e-4; weights follow them."""
    found, expected = tables_of(left), tables_of(right)
    assert found.keys() == expected.keys()
    for table, rows in expected.items():
        assert len(found[table]) == len(rows), table
        for one, other in zip(found[table], rows, strict=True):
            assert exact(one) == exact(other), table
            assert losses(one) == pytest.approx(losses(other), rel=CLOSE), table
    files = [sorted(p.relative_to(at) for p in at.glob("__weights/**/*")) for at in (left, right)]
    assert files[0] == files[1]
    for file in (f for f in files[0] if f.suffix == ".safetensors"):
        ours, theirs = load_file(left / file), load_file(right / file)
        assert ours.keys() == theirs.keys()
        for name, tensor in theirs.items():
            np.testing.assert_allclose(ours[name], tensor, rtol=1e-3, atol=1e-5)


def exact(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not is_loss(name)}


def losses(row: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in row.items() if is_loss(name) and value is not None}


def is_loss(name: str) -> bool:
    return name.endswith("_loss")
