"""Which self-edits are kept: every shipped rule on rewards by hand, and SQL of the user's own."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stages.config import FilterConfig
from stages.config.filter import RULES
from stages.errors import ConfigError, InputError
from stages.filter import RULES as RULE_FILES
from stages.filter import filter as select
from stages.filter import rule_text
from stages.records import Reward, Selection

Make = Callable[..., Reward]


def table(rows: Sequence[Reward]) -> pa.Table:
    names = Reward.__slots__
    return pa.table({name: [getattr(row, name) for row in rows] for name in names})


def run(rows: Sequence[Reward], sql: str | None = None, **fields: Any) -> list[Selection]:
    config = FilterConfig(**fields)
    edits = pa.table({"self_edit_id": [r.self_edit_id for r in rows], "n_tokens": range(len(rows))})
    tables = {"rewards": table(rows), "self_edits": edits}
    text = rule_text(config) if sql is None else sql
    return list(select(rows, tables=tables, query=text, config=config))


def kept(selections: Sequence[Selection]) -> list[str]:
    return [row.self_edit_id for row in selections if row.kept]


@pytest.fixture
def mixed(reward: Make) -> list[Reward]:
    """Context a: a tie at the top; b: none helps and one failed; c: only failed; d: invalid."""
    return [
        reward("a0", 0.5),
        reward("a1", 0.75),
        reward("a2", 0.75),
        reward("b0", 0.25),
        reward("b1", None),
        reward("b2", 0.5),
        reward("c0", None),
        reward("d0", 0.0, status="invalid"),
        reward("d1", 0.25),
    ]


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"rule": "best-of-n"}, ["a1", "b2", "d1"]),
        ({"rule": "top-k", "keep": 1}, ["a1", "b2", "d1"]),
        ({"rule": "top-k", "keep": 2}, ["a1", "a2", "b0", "b2", "d1"]),
        ({"rule": "improves"}, ["a1", "a2"]),
        ({"rule": "improves", "margin": 0.25}, []),
        ({"rule": "improves", "margin": -0.1}, ["a0", "a1", "a2", "b2"]),
        ({"rule": "threshold"}, ["a0", "a1", "a2", "b2"]),
        ({"rule": "threshold", "threshold": 0.75}, ["a1", "a2"]),
        ({"rule": "threshold", "threshold": -1.0}, ["a0", "a1", "a2", "b0", "b2", "d1"]),
    ],
)
def test_a_rule_keeps_what_it_says(
    mixed: list[Reward], fields: dict[str, Any], names: list[str]
) -> None:
    assert kept(run(mixed, **fields)) == names


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "sql"])
def test_there_is_one_row_per_reward_in_order_with_a_reason(mixed: list[Reward], rule: str) -> None:
    rows = run(mixed, rule=rule)
    assert [row.self_edit_id for row in rows] == [row.self_edit_id for row in mixed]
    assert {row.rule for row in rows} == {rule}
    assert all(row.reason for row in rows)
    assert [row.reward for row in rows] == [row.reward for row in mixed]
    ranks = {row.self_edit_id: row.rank for row in rows}
    assert sorted(ranks[name] for name in ("a0", "a1", "a2")) == [1, 2, 3]
    assert ranks["a1"] < ranks["a2"] < ranks["a0"]


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "sql"])
def test_failed_and_invalid_rows_say_so_and_are_never_kept(mixed: list[Reward], rule: str) -> None:
    said = {row.self_edit_id: row for row in run(mixed, rule=rule, threshold=-1, margin=-1, keep=9)}
    assert [said[name].kept for name in ("b1", "c0", "d0")] == [False] * 3
    assert said["c0"].reason == "failed: out of memory"
    assert said["d0"].reason == "invalid"


def test_the_earliest_sample_wins_a_tie_whatever_the_order_of_the_rows(reward: Make) -> None:
    rows = [reward("a2", 0.5), reward("a0", 0.5), reward("a1", 0.5)]
    for order in (rows, rows[::-1], rows[1:] + rows[:1]):
        assert kept(run(order)) == ["a0"]


@pytest.mark.parametrize("rule", ["best-of-n", "top-k"])
@pytest.mark.parametrize(("floor", "best"), [(0.0, 0.0), (1.0, 0.5)])
def test_an_invalid_self_edit_takes_no_place_of_a_usable_one(
    reward: Make, rule: str, floor: float, best: float
) -> None:
    rows = [reward("a0", floor, status="invalid"), reward("a1", best)]
    assert kept(run(rows, rule=rule)) == ["a1"]


def test_a_proxy_reward_has_no_gain_to_improve_by(reward: Make) -> None:
    row = reward("a0", 12.0, rule="proxy", gain=None, adapted_accuracy=None)
    with pytest.raises(ConfigError, match="no gain to improve by"):
        run([row], rule="improves")
    assert [selection.kept for selection in run([row])] == [True]


def test_the_query_of_the_user_sees_both_tables_and_the_parameters(mixed: list[Reward]) -> None:
    query = """
        SELECT r.self_edit_id, 'short' AS reason
        FROM rewards r JOIN self_edits e USING (self_edit_id)
        WHERE e.n_tokens < $keep AND r.reward >= $threshold AND r.gain > $margin
    """
    rows = run(mixed, query, rule="sql", query="mine.sql", keep=2, threshold=0.6, margin=0.1)
    assert kept(rows) == ["a1"]
    reasons = {row.self_edit_id: row.reason for row in rows}
    assert (reasons["a1"], reasons["a0"]) == ("short", "not returned by the rule")


def test_rank_and_kept_are_the_users_when_it_returns_them(reward: Make) -> None:
    rows = [reward("a0", 0.5), reward("a1", 0.6), reward("a2", 0.7)]
    query = """
        SELECT self_edit_id, sample + 10 AS rank, sample <> 1 AS kept FROM rewards WHERE sample > 0
    """
    found = [(row.rank, row.kept, row.reason) for row in run(rows, query)]
    assert found == [
        (0, False, "not returned by the rule"),
        (11, False, "not kept by the rule"),
        (12, True, "returned by the rule"),
    ]


def test_a_null_in_kept_is_not_kept(reward: Make) -> None:
    assert kept(run([reward("a0", 0.5)], "SELECT self_edit_id, NULL AS kept FROM rewards")) == []


def test_a_failed_self_edit_is_not_kept_even_when_the_user_wants_it(reward: Make) -> None:
    rows = run([reward("a0", None), reward("a1", 0.1)], "SELECT self_edit_id FROM rewards")
    assert kept(rows) == ["a1"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT self_edit_id FROM rewards WHERE beauty > 1", "beauty"),
        ("SELECT self_edit_id FROM nowhere", "nowhere"),
        ("SELEC self_edit_id", "not understood"),
        ("", "0 statements"),
        ("-- only a comment", "0 statements"),
        ("SELECT 1; SELECT 2", "2 statements"),
        ("SELECT self_edit_id FROM rewards; DROP TABLE rewards", "Only SELECT"),
        ("SELECT context_id FROM rewards", "no self_edit_id"),
        ("SELECT context_id FROM rewards WHERE false", "no self_edit_id"),
        ("SELECT self_edit_id FROM rewards UNION ALL SELECT self_edit_id FROM rewards", "twice"),
        ("SELECT 'other' AS self_edit_id", "not in the rewards"),
        ("SELECT NULL AS self_edit_id", "must be a text|self_edit_id None"),
        ("SELECT self_edit_id FROM rewards WHERE reward > $beauty", "beauty"),
        ("SELECT self_edit_id FROM rewards WHERE error('no') IS NULL", "no"),
        ("SET memory_limit = '1GB'", "Only SELECT"),
    ],
)
def test_a_query_that_cannot_be_a_rule_is_a_config_error(
    reward: Make, query: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        run([reward("a0", 0.5), reward("a1", 0.6)], query)
    assert refused.value.hint


@pytest.mark.parametrize(
    "columns",
    [
        "self_edit_id, 'first' AS rank",
        "self_edit_id, 'nan'::DOUBLE AS rank",
        "[sample] AS self_edit_id",
    ],
)
def test_an_odd_value_in_a_column_of_ours_is_a_config_error(reward: Make, columns: str) -> None:
    with pytest.raises(ConfigError):
        run([reward("a0", 0.5)], f"SELECT {columns} FROM rewards")


@pytest.mark.parametrize(
    "query",
    [
        "COPY rewards TO '{dir}/out.csv'",
        "COPY (SELECT 1 AS self_edit_id) TO '{dir}/out.parquet'",
        "ATTACH '{dir}/out.db' AS other",
        "EXPORT DATABASE '{dir}/out'",
        "SELECT * FROM read_csv('{dir}/secret.csv')",
        "SELECT * FROM '{dir}/secret.csv'",
        "SELECT content AS self_edit_id FROM read_text('{dir}/secret.csv')",
        "SELECT file AS self_edit_id FROM glob('{dir}/*')",
        "INSTALL httpfs",
        "SELECT * FROM read_csv('http://localhost:1/x.csv')",
    ],
)
def test_a_query_touches_neither_disk_nor_network(reward: Make, tmp_path: Path, query: str) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("self_edit_id\na0\n")
    with pytest.raises(ConfigError):
        run([reward("a0", 0.5)], query.format(dir=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]
    assert secret.read_text() == "self_edit_id\na0\n"


def test_a_query_does_not_see_python_variables(
    reward: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"self_edit_id": ["a0"]})
    monkeypatch.setattr("stages.filter.secret", table, raising=False)
    with pytest.raises(ConfigError, match="secret"):
        run([reward("a0", 0.5)], "SELECT self_edit_id FROM secret")


def test_a_reward_is_a_number(reward: Make) -> None:
    with pytest.raises(ValueError):
        reward("a0", math.nan)


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "sql"])
def test_every_shipped_rule_says_what_it_does_in_its_first_line(rule: str) -> None:
    assert (RULE_FILES / f"{rule}.sql").read_text(encoding="utf-8").startswith("-- ")


def test_rule_sql_and_a_query_file_go_together(tmp_path: Path) -> None:
    path = tmp_path / "mine.sql"
    path.write_text("SELECT self_edit_id FROM rewards", encoding="utf-8")
    assert rule_text(FilterConfig(rule="sql", query=str(path))).startswith("SELECT")
    wrong = [
        FilterConfig(rule="sql"),
        FilterConfig(rule="improves", query=str(path)),
        FilterConfig(rule="sql", query=str(tmp_path / "gone.sql")),
    ]
    for config in wrong:
        with pytest.raises(ConfigError):
            rule_text(config)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError):
        rule_text(FilterConfig(rule="sql", query=str(path)))


@pytest.fixture
def probed(reward: Make) -> list[Reward]:
    """Of context a the best forgets 20 points, the next 10 and the third none; b's is not known."""
    return [
        reward("a0", 0.9, probe_baseline=0.6, probe_accuracy=0.4),
        reward("a1", 0.8, probe_baseline=0.6, probe_accuracy=0.5),
        reward("a2", 0.7, probe_baseline=0.6, probe_accuracy=0.6),
        reward("b0", 0.9, probe_baseline=0.6),
        reward("b1", 0.6, probe_baseline=0.6, probe_accuracy=0.7),
        reward("c0", 0.0, status="invalid", probe_baseline=0.6),
        reward("c1", None, probe_baseline=0.6),
    ]


@pytest.mark.parametrize(
    ("points", "names"),
    [
        (None, ["a0", "b0"]),
        (100.0, ["a0", "b1"]),
        (20.0, ["a0", "b1"]),  # no more than 20 points
        (19.9, ["a1", "b1"]),
        (10.0, ["a1", "b1"]),
        (5.0, ["a2", "b1"]),
        (0.0, ["a2", "b1"]),
    ],
)
def test_the_best_of_those_that_forget_little_enough_is_kept(
    probed: list[Reward], points: float | None, names: list[str]
) -> None:
    assert kept(run(probed, max_forget=points)) == names


def test_what_forgets_too_much_says_so(probed: list[Reward]) -> None:
    rows = {row.self_edit_id: row for row in run(probed, max_forget=5)}
    assert (rows["a0"].rank, rows["a0"].reason) == (0, "loses 20 points on the probe, over 5")
    assert rows["a1"].reason == "loses 10 points on the probe, over 5"
    assert rows["b0"].reason == "what it makes the student forget is not known"
    assert rows["c0"].reason == "invalid"
    assert rows["c1"].reason == "failed: out of memory"
    assert rows["a2"].rank == 1


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "sql"])
def test_max_forget_goes_with_every_rule(probed: list[Reward], rule: str) -> None:
    found = kept(run(probed, rule=rule, max_forget=5, keep=9, threshold=0, margin=-1))
    assert set(found) <= {"a2", "b1"}
    assert "a2" in found


def test_a_query_of_the_user_sees_the_probe_and_its_limit(probed: list[Reward]) -> None:
    query = """
        SELECT self_edit_id FROM rewards
        WHERE 100 * (probe_baseline - probe_accuracy) <= $max_forget / 2 AND status = 'ok'
    """
    assert kept(run(probed, query, max_forget=20)) == ["a1", "a2", "b1"]
    everything = "SELECT self_edit_id FROM rewards WHERE status = 'ok'"
    assert kept(run(probed, everything, max_forget=5)) == ["a2", "b1"]


def test_without_a_probe_nothing_can_be_said_of_forgetting(mixed: list[Reward]) -> None:
    with pytest.raises(InputError, match="needs a probe") as refused:
        run(mixed, max_forget=5)
    assert "--probe" in refused.value.hint


def test_what_a_query_finds_in_another_table_may_forget_no_more(probed: list[Reward]) -> None:
    rows = run(probed, "SELECT self_edit_id FROM self_edits", max_forget=5)
    assert kept(rows) == ["a2", "b1", "c0"]
    assert rows[0].reason == "loses 20 points on the probe, over 5"
