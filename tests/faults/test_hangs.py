"""Nothing hangs, and nothing that varies decides: locks, pipes, rules of `filter`."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from seal_cli.store.ledger import Ledger
from stages import filter as filtering
from stages import repeatable, sandbox
from stages.config import FilterConfig
from stages.errors import ConfigError, InputError, ResourceError
from stages.records import Reward


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


@pytest.fixture
def rewards(scored: Any) -> str:
    """Published rewards in `TMP/store`."""
    return str(scored.rewards.id)


def test_a_lock_on_the_index_keeps_nobody_waiting(seal: Any, rewards: str, tmp_path: Path) -> None:
    lock = tmp_path / "store" / "locks" / "index.lock"
    lock.parent.mkdir(exist_ok=True)
    (tmp_path / "store" / "index.stamp").unlink(missing_ok=True)
    with lock.open("a") as stream, at_most(60):
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert seal("sql", "select count(*) from rewards").code == 0
        made = seal("filter", rewards).id
        assert seal("filter", rewards).id == made
        assert seal("filter", rewards, "--rule", "improves").code == 0
    assert seal("sql", "select count(*) as n from selections", "-f", "csv").code == 0
    assert (tmp_path / "store" / "index.duckdb").exists()


def test_a_pipe_in_place_of_a_ledger_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "endpoint.jsonl")
    with at_most(5), pytest.raises(InputError, match="no regular file"):
        Ledger(tmp_path / "endpoint.jsonl")


def test_a_pipe_in_place_of_a_table_is_refused(seal: Any, rewards: str, tmp_path: Path) -> None:
    folder = tmp_path / "store" / "artifacts" / rewards
    part = next(folder.glob("part-*.parquet"))
    part.unlink()
    os.mkfifo(part)
    with at_most(60):
        assert seal("filter", rewards).code == 3
        found = seal("sql", "select count(*) as n from rewards", "-f", "csv")
        assert found.out == "n\n0\n"
        assert f"{rewards} is not whole: {part.name}" in found.err


def test_a_pipe_in_a_models_folder_is_refused(random_model: Path, tmp_path: Path) -> None:
    import shutil

    from stages.models import check_directory

    shutil.copytree(random_model, tmp_path / "model")
    os.mkfifo(tmp_path / "model" / "added_tokens.json")
    with at_most(5), pytest.raises(InputError, match="no regular file"):
        check_directory(tmp_path / "model")


def run(query: str, n: int = 20) -> list[str]:
    """The self-edits that a rule keeps."""
    rows = [
        Reward(
            self_edit_id=f"e{i:04}", context_id="c", sample=i, policy="p", round=0, student="p",
            grader="g", baseline_accuracy=0.0, adapted_accuracy=0.5, adapted_std=0.0, gain=0.5,
            reward=0.5, n_repeats=1, n_questions=1, status="ok", reason="",
        )
        for i in range(n)
    ]  # fmt: skip
    table = pa.table({"self_edit_id": [r.self_edit_id for r in rows], "sample": range(n)})
    config = FilterConfig(rule="sql", query="mine.sql")
    made = filtering.filter(rows, tables={"rewards": table}, query=query, config=config)
    return [row.self_edit_id for row in made if row.kept]


def test_a_rule_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filtering, "SECONDS", 0.5)
    with at_most(20), pytest.raises(ResourceError, match=r"longer than 0\.5 s"):
        run("SELECT 'e' || count(*) AS self_edit_id FROM range(100000000000)")


def test_a_rule_that_wants_all_memory_does_not_get_it() -> None:
    query = (
        "SELECT list(a.range) || list(b.range) AS self_edit_id FROM range(99999) a, range(99999) b"
    )
    with at_most(90), pytest.raises(ResourceError):
        run(query)


def test_a_rule_is_no_place_for_all_rows_of_a_range() -> None:
    with at_most(20), pytest.raises(ConfigError, match="not in the rewards"):
        run("SELECT 'x' || range AS self_edit_id FROM range(500000000)")


def test_the_first_rows_are_the_first_that_were_written() -> None:
    kept = [run("SELECT self_edit_id FROM rewards LIMIT 7", n=5000) for _ in range(3)]
    assert kept == [[f"e{i:04}" for i in range(7)]] * 3


def varying_functions() -> list[str]:
    """Every function of DuckDB's own that it does not call CONSISTENT."""
    query = (
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'scalar' "
        "AND stability <> 'CONSISTENT' AND regexp_full_match(function_name, '[a-z_]+') ORDER BY 1"
    )
    with duckdb.connect() as connection:
        return [name for (name,) in connection.execute(query).fetchall()]


def test_every_function_that_varies_is_refused() -> None:
    names = varying_functions()
    assert {"random", "uuid", "now"} <= set(names)
    with duckdb.connect() as connection:
        for name in names:
            for text in (f"{name}()", f"{name.upper()} /* a */ (1, 2)", f'"{name}"(self_edit_id)'):
                with pytest.raises(ConfigError, match=r"the rule uses|not understood"):
                    repeatable.check_repeatable(connection, f"SELECT {text} FROM rewards")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT self_edit_id FROM rewards WHERE random() > 0.5",
        "SELECT self_edit_id FROM rewards ORDER BY random() LIMIT 2",
        "SELECT self_edit_id FROM rewards USING SAMPLE 3",
        "SELECT self_edit_id FROM rewards TABLESAMPLE reservoir(20%)",
        "SELECT self_edit_id FROM (SELECT * FROM rewards USING SAMPLE 50% (bernoulli))",
        "WITH r AS (SELECT random() AS x) SELECT self_edit_id FROM rewards, r WHERE x > 0.5",
        "SELECT self_edit_id FROM rewards WHERE current_timestamp > '2026-01-01'",
        "SELECT self_edit_id FROM rewards WHERE current_date > '2026-01-01'",
        "SELECT self_edit_id FROM rewards WHERE today() > '2026-01-01'",
        "SELECT self_edit_id FROM rewards WHERE age('2026-01-01'::TIMESTAMP) > INTERVAL 1 DAY",
        "SELECT self_edit_id FROM rewards WHERE nextval('s') > 1",
        "SELECT list_transform([1], x -> random())::TEXT AS self_edit_id FROM rewards",
        "FROM query('SELECT self_edit_id FROM rewards WHERE random() > 0.5')",
        "FROM query_table('rewards')",
        "SELECT self_edit_id FROM rewards WHERE getenv('HOME') = '/root'",
        "SELECT self_edit_id FROM rewards, duckdb_settings()",
        "SELECT self_edit_id FROM rewards WHERE txid_current() > 1",
    ],
)
def test_a_rule_that_need_not_give_the_same_twice_is_refused(query: str) -> None:
    with pytest.raises(ConfigError):
        run(query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT self_edit_id FROM rewards ORDER BY hash(self_edit_id) LIMIT 3",
        "SELECT self_edit_id, row_number() OVER (ORDER BY sample) AS rank FROM rewards",
        "SELECT self_edit_id FROM rewards WHERE sample IN (SELECT range FROM range(3))",
        "SELECT self_edit_id FROM rewards WHERE sample >= $threshold",
        "SELECT unnest(list(self_edit_id)) AS self_edit_id FROM rewards",
    ],
)
def test_a_rule_that_gives_the_same_is_not(query: str) -> None:
    assert run(query) == run(query)


@pytest.mark.parametrize("text", ["now", "rewards", "'random()'", "/* random() */ self_edit_id"])
def test_words_are_no_calls(text: str) -> None:
    with duckdb.connect() as connection:
        repeatable.check_repeatable(connection, f"SELECT {text} FROM rewards -- now()")


def test_a_rank_beyond_64_bits_is_a_sentence() -> None:
    with pytest.raises(ConfigError, match="rank 1701411") as refused:
        run("SELECT self_edit_id, 170141183460469231731687303715884105727 AS rank FROM rewards")
    assert "64 bits" in refused.value.hint


def test_no_limit_stays_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    monkeypatch.setattr(sandbox, "_own", True)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    run("SELECT self_edit_id FROM rewards")
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert sandbox.MEMORY == 2 << 30
