"""What reports say, as rows."""

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def report(seal: Any) -> Any:
    """The rows of a report, as CSV reads them."""
    import csv
    import io

    def rows(name: str, *args: object, **where: Path) -> list[dict[str, str]]:
        result = seal("report", name, "-f", "csv", *args, **where)
        assert result.code == 0, result.err
        return list(csv.DictReader(io.StringIO(result.out)))

    return rows
