"""The views, the cache, and what a query must not be able to do."""

import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from seal_cli.store.schema import TABLES


@pytest.fixture
def store(seal: Any, passages: Path, tmp_path: Path) -> Path:
    seal("import", "contexts", passages)
    return tmp_path / "store"


def test_every_view_exists_empty_in_a_fresh_store(seal: Any, tmp_path: Path) -> None:
    assert seal("init").code == 0
    for table in [*TABLES, "artifacts", "lineage", "accuracies"]:
        assert seal("sql", f"select count(*) as n from {table}", "-f", "csv").out == "n\n0\n"
    with duckdb.connect(str(tmp_path / "store/index.duckdb"), read_only=True) as connection:
        names = {row[0] for row in connection.execute("show tables").fetchall()}
    assert names == {*TABLES, "artifacts", "lineage", "accuracies"}


def test_the_index_may_be_deleted_or_damaged_at_any_time(seal: Any, store: Path) -> None:
    query = ["sql", "select count(*) as n from contexts", "-f", "csv"]
    for damage in (Path.unlink, lambda index: index.write_bytes(b"garbage")):
        damage(store / "index.duckdb")
        assert seal(*query).out == "n\n3\n"
        with duckdb.connect(str(store / "index.duckdb"), read_only=True) as connection:
            assert connection.execute("select count(*) from questions").fetchone() == (6,)


def test_artifacts_that_are_copied_in_are_found(seal: Any, store: Path, tmp_path: Path) -> None:
    (other := tmp_path / "other" / "artifacts").mkdir(parents=True)
    for artifact in (store / "artifacts").iterdir():
        shutil.copytree(artifact, other / artifact.name)
    query = "select split, count(*) as n from contexts group by split"
    assert seal("sql", query, "-f", "csv", store=other.parent).out == "split,n\ntrain,3\n"
    assert (other.parent / "index.duckdb").exists()


@pytest.mark.parametrize("form", ["table", "csv", "json", "parquet"])
def test_results_come_in_every_format(seal: Any, store: Path, form: str) -> None:
    from typer.testing import CliRunner

    from seal_cli.app import app

    query = "select title from contexts order by 1"
    result = CliRunner().invoke(app, ["--store", str(store), "sql", query, "-f", form])
    assert result.exit_code == 0
    assert b"Harbour Lun" in result.stdout_bytes


ATTACKS = [
    "COPY (SELECT 1) TO '{outside}/stolen.csv'",
    "COPY contexts TO '{store}/x.parquet'",
    "COPY contexts TO 'sealro://{store}/x.parquet'",
    "COPY contexts TO 'sealro://{part}'",
    "COPY contexts TO 'sealro://{part}' (USE_TMP_FILE false)",
    "COPY (SELECT 1) TO '{part}' (FORMAT parquet, USE_TMP_FILE false)",
    "WITH x AS (COPY (SELECT 1) TO '{store}/x.csv') FROM x",
    "WITH x AS (COPY (SELECT 1) TO 'sealro://{part}') FROM x",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{part}'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO 'sealro://{part}'",
    "EXPORT DATABASE '{outside}/dump'",
    "ATTACH '{outside}/new.duckdb' AS other",
    "ATTACH 'sealro://{store}/index.duckdb' AS other",
    "SELECT * FROM read_csv('{outside}/secret.txt')",
    "SELECT * FROM read_text('{outside}/secret.txt')",
    "SELECT * FROM 'sealro://{outside}/secret.txt'",
    "SELECT * FROM read_text('sealro://{outside}/secret.txt')",
    "SELECT * FROM read_text('sealro://{store}/../secret.txt')",
    "SELECT * FROM read_text('sealro://{store}/link.txt')",
    "SELECT * FROM glob('{outside}/*')",
    "SELECT * FROM read_parquet('https://example.org/x.parquet')",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "SET memory_limit = '100GB'",
    "SET allowed_directories = ['/']",
    "PRAGMA enable_external_access",
    "SELECT getenv('HOME')",
    "CREATE SECRET s (TYPE s3)",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_query_can_neither_write_nor_read_elsewhere(
    seal: Any, store: Path, tmp_path: Path, attack: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for secret in (outside / "secret.txt", tmp_path / "secret.txt"):
        secret.write_text("top secret")
    (store / "link.txt").symlink_to(outside / "secret.txt")
    part = next((store / "artifacts").glob("*/part-00000.parquet"))

    def files() -> dict[Path, bytes]:
        places = (store, outside, tmp_path / "cwd")
        return {p: p.read_bytes() for place in places for p in place.rglob("*") if p.is_file()}

    before = files()
    result = seal("sql", attack.format(outside=outside, store=store, part=part), "-f", "csv")
    assert "top secret" not in result.out
    assert files() == before
    assert result.code != 0 or result.out.count("\n") == 1, result.out  # refused, or nothing found
    assert "Traceback" not in result.err
    assert seal("sql", "select count(*) as n from contexts", "-f", "csv").out == "n\n3\n"


def test_a_query_ends_in_time(seal: Any, store: Path) -> None:
    slow = "select count(*) from range(1000000) a, range(1000000) b where a.range % 7 = b.range % 5"
    result = seal("sql", slow, "--timeout", 0.5)
    assert result.code == 5
    assert "took longer than 0.5 s" in result.err


def test_a_memory_bomb_is_refused(seal: Any, store: Path) -> None:
    bomb = "select list(range) from range(4000000000)"
    result = seal("sql", bomb, "--timeout", 30)
    assert result.code == 5
    assert "Traceback" not in result.err
