"""What `seal sql` prints, and how it ends when a query or its result is too much."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from seal_cli.store import query
from stages import sandbox

ROOT = Path(__file__).parents[3]


@pytest.fixture
def store(seal: Any, tmp_path: Path) -> Path:
    seal("init")
    return tmp_path / "store"


def test_columns_of_the_same_name_keep_their_values(seal: Any, store: Path) -> None:
    assert seal("sql", "select 1 a, 2 a", "-f", "csv").out == "a,a\n1,2\n"
    refused = seal("sql", "select 1 a, 2 a", "-f", "json")
    assert refused.code == 2
    assert "two columns are called a" in refused.err


@pytest.mark.parametrize("form", ["csv", "table", "json"])
@pytest.mark.parametrize("value", ["'infinity'::date", "'290000-01-01'::timestamp"])
def test_a_value_that_python_does_not_have(seal: Any, store: Path, value: str, form: str) -> None:
    result = seal("sql", f"select {value} as x", "-f", form)
    assert result.code == 2
    assert "column x has a value that cannot be printed" in result.err
    assert seal("sql", f"select ({value})::varchar as x", "-f", form).code == 0


def test_many_rows_come_in_order_and_whole(seal: Any, store: Path) -> None:
    n = 2 * query.BATCH + 1
    out = seal("sql", f"select range as x from range({n})", "-f", "csv").out
    assert out.split() == ["x", *map(str, range(n))]
    assert len(seal("sql", f"from range({n})", "-f", "json").out.splitlines()) == n
    assert seal("sql", "select 1 as x where false", "-f", "csv").out == "x\n"


def test_a_table_for_people_is_cut_and_says_so(seal: Any, store: Path) -> None:
    result = seal("sql", "select range as x from range(1001)", "-f", "table")
    assert result.out.split() == ["x", *map(str, range(1000))]
    assert "1000 of 1001 rows; --format csv prints them all" in result.err


def test_a_result_that_is_too_large_is_refused(
    seal: Any, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "MEMORY", 1_000_000)
    assert seal("sql", "from range(1000)").code == 0
    result = seal("sql", "from range(1000000)")
    assert result.code == 5
    assert result.out == ""
    assert "the result is larger than" in result.err


def test_an_error_among_the_rows_is_still_one_of_the_query(seal: Any, store: Path) -> None:
    late = "select case when range = 900000 then error('late') end from range(1000000)"
    result = seal("sql", late)
    assert result.code == 2
    assert "the query does not run: Invalid Input Error: late" in result.err


def test_a_long_error_is_cut(seal: Any, store: Path) -> None:
    result = seal("sql", "select error(repeat('x', 100000))")
    assert result.code == 2
    assert len(result.err) < 1500


def test_a_query_that_cannot_be_interrupted_ends_all_the_same(store: Path) -> None:
    # One call of a function that takes a minute; its memory is not counted by DuckDB either.
    program = "from seal_cli.__main__ import main; main()"
    query = "select md5(repeat('a', 4000000000))"
    arguments = ["--store", str(store), "sql", query, "--timeout", "0.5"]
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        cwd=ROOT,
    )
    assert done.returncode == 5, done.stderr
    assert "took longer than 0.5 s" in done.stderr or "needs more than" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - start < 30


def test_memory_is_limited_while_a_query_runs_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import resource

    monkeypatch.setattr(sandbox, "_own", True)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with sandbox.confined(60):
        limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
        assert 0 < limit - sandbox._data_in_use() <= 3 * sandbox.MEMORY + (64 << 20)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
