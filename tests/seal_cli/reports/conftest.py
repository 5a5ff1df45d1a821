"""A store with the release in it, and one's own evaluations, for the reports."""

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def released(official: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything at hand of the release, imported once."""
    from typer.testing import CliRunner

    from seal_cli.app import app

    store = tmp_path_factory.mktemp("released") / "store"
    done = CliRunner().invoke(app, ["--store", str(store), "import", "official", str(official)])
    assert done.exit_code == 0, done.stderr
    return store


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
